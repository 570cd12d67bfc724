"""routeq-mqtt, with a worker that reports its load at the first job and then not for a minute.

As under load: what the bus knows of a worker's jobs may be old when the worker leaves.
"""

from __future__ import annotations

from routeq_mqtt.cli import main
from routeq_mqtt.worker.report import load
from tests.cluster.process import ENTRY

ENV = {ENTRY: __name__}

if __name__ == "__main__":
    load._REPORT_SPACING = 60.0
    main()
