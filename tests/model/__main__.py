"""``python -m tests.model --runs 10000 --seed 0``: run the model; every failure names its seed."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from routeq_mqtt.topics import Sharing
from tests.model.plan import make_plan
from tests.model.world import Verdict, run_world

_MEMORY = Path("/dev/shm")


@dataclass
class Report:
    """What is kept of one run."""

    seed: int
    verdict: Verdict
    digest: str
    error: str = ""


def run_seed(seed: int, *, still: bool = False, sharing: Sharing = "auto") -> Report:
    """One run in a folder of its own, in memory where that is possible."""
    folder = Path(
        tempfile.mkdtemp(prefix="routeq-model-", dir=_MEMORY if _MEMORY.is_dir() else None)
    )
    try:
        verdict = run_world(seed, make_plan(seed, still=still, sharing=sharing), folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, its seed must be told
        return Report(seed, Verdict(), "", f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    digest = hashlib.sha256("\n".join(verdict.trace).encode()).hexdigest()[:12]
    return Report(seed, verdict, digest)


def show(report: Report, *, trace: bool) -> None:
    """A failure, or a run that was asked for."""
    verdict = report.verdict
    if trace:
        print("\n".join(verdict.trace))
    plan = make_plan(report.seed)
    kind = "5" if plan.reports_no_subscribers else "5 untruthful" if plan.mqtt5 else "3.1.1"
    print(
        f"seed={report.seed} mqtt={kind} jobs={verdict.jobs} runs={verdict.runs} "
        f"lost={verdict.lost} stuck={verdict.stuck} doubled={verdict.doubled} "
        f"crashed={verdict.crashed} untimely={verdict.untimely} "
        f"error={report.error!r} "
        f"faults={dict(verdict.faults)} digest={report.digest}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first run; each has the next")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="print what happened in each run")
    parser.add_argument("--log", action="store_true", help="show the library's own log")
    parser.add_argument("--still", action="store_true", help="never set the wall clock")
    parser.add_argument("--sharing", choices=get_args(Sharing), default="auto")
    options = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG if options.log else logging.CRITICAL + 1)
    sys.unraisablehook = lambda unraisable: None  # coroutines of killed processes
    warnings.simplefilter("ignore", RuntimeWarning)  # they were never awaited, on purpose
    seeds = range(options.seed, options.seed + options.runs)
    began = time.monotonic()
    bad, jobs, runs = 0, 0, 0
    faults: Counter[str] = Counter()
    digest = hashlib.sha256()
    with ProcessPoolExecutor(options.processes) as pool:
        one = partial(run_seed, still=options.still, sharing=options.sharing)
        run = map(one, seeds) if options.processes == 1 else pool.map(one, seeds, chunksize=20)
        for report in run:
            verdict = report.verdict
            jobs, runs, faults = jobs + verdict.jobs, runs + verdict.runs, faults + verdict.faults
            digest.update(report.digest.encode())
            failed = bool(report.error) or not verdict.good
            bad += failed
            if failed or options.trace:
                show(report, trace=options.trace)
    print(
        f"runs={options.runs} jobs={jobs} job_runs={runs} bad={bad} "
        f"seconds={time.monotonic() - began:.1f} digest={digest.hexdigest()[:12]} "
        f"faults={dict(sorted(faults.items()))}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of texts must be walked in the same order each time.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.model", *sys.argv[1:]])  # noqa: S606
    sys.exit(main())
