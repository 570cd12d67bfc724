"""Every type that a program can meet is written down: no checker has to infer one."""

from __future__ import annotations

import pytest

from tests.api.test_programs import need_pyright, pyright


@pytest.mark.slow
def test_all_types_are_known() -> None:
    need_pyright()
    answer = pyright("--verifytypes", "routeq_mqtt", "--ignoreexternal")["typeCompleteness"]
    causes = [
        f"{symbol['name']}: {' '.join(cause['message'].split())}"
        for symbol in answer["symbols"]
        if not symbol["isTypeKnown"]
        for cause in symbol["diagnostics"]
        if cause["severity"] == "error" and "partially unknown" not in cause["message"]
    ]
    assert not causes, "annotate these:\n" + "\n".join(causes)
    assert answer["completenessScore"] == 1
    assert answer["exportedSymbolCounts"]["withKnownType"] > 5_000  # it has looked
