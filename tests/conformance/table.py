"""All normative statements: those without a check say why they have none."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.registry import Entry

MARKER = "<!-- conformance -->"

_CLIENT = "binds the client"
_AUTH = "of extended authentication, which is refused: 4.12.0-1"
_DISK = "no check can break the disk of both brokers: `tests/broker/test_disk.py` does so here"


def _numbered(section: str, last: int, **why: str) -> dict[str, str]:
    notes = {int(name[1:]): text for name, text in why.items()}
    return {f"{section}-{number}": notes.get(number, "") for number in range(1, last + 1)}


STATEMENTS_5: dict[str, str] = {
    **_numbered("1.5.4", 3), **_numbered("1.5.5", 1), **_numbered("1.5.7", 1),
    **_numbered("2.1.3", 1),
    **{f"2.2.1-{n}": "" for n in range(2, 7)}, **_numbered("2.2.2", 1),
    **_numbered("3.1.0", 2), **_numbered("3.1.2", 30, n20=_CLIENT, n21=_CLIENT),
    **_numbered("3.1.3", 12), **_numbered("3.1.4", 6), **_numbered("3.2.0", 2),
    **_numbered(
        "3.2.2", 22, n4=_CLIENT, n5=_CLIENT, n11=_CLIENT, n14=_CLIENT,
        n15=_CLIENT + "; `tests/broker/test_attacks.py` ends one that exceeds ours",
        n18=_CLIENT, n21=_CLIENT,
    ),
    **_numbered("3.3.1", 13), **_numbered("3.3.2", 20, n10=_CLIENT),
    **_numbered("3.3.4", 10, n8=_CLIENT),
    **_numbered("3.4.2", 3), **_numbered("3.5.2", 3), **_numbered("3.6.1", 1),
    **_numbered("3.6.2", 3), **_numbered("3.7.2", 3),
    **_numbered("3.8.1", 1), **_numbered("3.8.3", 5), **_numbered("3.8.4", 8),
    **_numbered("3.9.2", 2), **_numbered("3.9.3", 2), **_numbered("3.10.1", 1),
    **_numbered("3.10.3", 2), **_numbered("3.10.4", 6), **_numbered("3.11.2", 2),
    **_numbered("3.11.3", 2), **_numbered("3.12.4", 1), **_numbered("3.14.0", 1),
    **_numbered("3.14.1", 1), **_numbered("3.14.2", 4), **_numbered("3.14.4", 3),
    **_numbered("3.15.1", 1), **_numbered("3.15.2", 3, n1=_AUTH, n2=_AUTH, n3=_AUTH),
    **_numbered("4.1.0", 2), **_numbered("4.2.0", 1), **_numbered("4.3.1", 1),
    **_numbered("4.3.2", 5), **_numbered("4.3.3", 13),
    **_numbered("4.4.0", 2), **_numbered("4.5.0", 2, n2=_CLIENT), **_numbered("4.6.0", 6),
    **_numbered("4.7.0", 1), **_numbered("4.7.1", 2), **_numbered("4.7.2", 1),
    **_numbered("4.7.3", 4), **_numbered("4.8.2", 6), **_numbered("4.9.0", 3),
    **_numbered("4.12.0", 7, n2=_AUTH, n3=_AUTH, n5=_AUTH), **_numbered("4.12.1", 2, n1=_AUTH),
    **_numbered("4.13.1", 1), **_numbered("4.13.2", 1), **_numbered("6.0.0", 4),
}  # fmt: skip

STATEMENTS_3: dict[str, str] = {
    **_numbered("1.5.3", 3), **_numbered("2.2.2", 2),
    **_numbered("2.3.1", 7, n2=_CLIENT, n3=_CLIENT),
    **_numbered("3.1.0", 2), **_numbered("3.1.2", 24, n23=_CLIENT),
    **_numbered("3.1.3", 11), **_numbered("3.1.4", 5),
    **_numbered("3.2.0", 1), **_numbered("3.2.2", 6), **_numbered("3.3.1", 12),
    **_numbered("3.3.2", 3), **_numbered("3.3.4", 1), **_numbered("3.3.5", 2),
    **_numbered("3.6.1", 1), **_numbered("3.6.4", 1), **_numbered("3.8.1", 1),
    **_numbered("3.8.3", 4), **_numbered("3.8.4", 6),
    **_numbered("3.9.3", 2), **_numbered("3.10.1", 1), **_numbered("3.10.3", 2),
    **_numbered("3.10.4", 6), **_numbered("3.12.4", 1), **_numbered("3.14.1", 1),
    **_numbered("3.14.4", 3), **_numbered("4.1.0", 2), **_numbered("4.2.0", 1),
    **_numbered("4.3.1", 1), **_numbered("4.3.2", 2), **_numbered("4.3.3", 2),
    **_numbered("4.4.0", 1), **_numbered("4.5.0", 2, n2=_CLIENT), **_numbered("4.6.0", 6),
    **_numbered("4.7.1", 3), **_numbered("4.7.2", 1), **_numbered("4.7.3", 4),
    **_numbered("4.8.0", 2, n2=_DISK), **_numbered("6.0.0", 4),
}  # fmt: skip


def rendered(entries: Sequence[Entry]) -> str:
    """The table of docs/broker.md."""
    lines = ["| statement | MQTT 5 | MQTT 3.1.1 |", "|---|---|---|"]
    names = list(dict.fromkeys((*STATEMENTS_5, *STATEMENTS_3)))
    for name in sorted(names, key=_order):
        cells = [
            _cell(name, statements, [e.name for e in entries if name in getattr(e, version)])
            for statements, version in ((STATEMENTS_5, "v5"), (STATEMENTS_3, "v3"))
        ]
        lines.append(f"| MQTT-{name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _cell(name: str, statements: dict[str, str], checks: list[str]) -> str:
    if name not in statements:
        return ""
    if checks:
        return "pass: " + ", ".join(f"`{check}`" for check in checks)
    return f"not tested here: {statements[name]}"


def _order(name: str) -> tuple[int, ...]:
    section, _, number = name.partition("-")
    return (*(int(part) for part in section.split(".")), int(number))
