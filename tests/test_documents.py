"""The documents say what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path

from routeq_mqtt.presence.status import SchedulerStatus, WorkerLoad, WorkerStatus
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire import extensions, table
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.options import _CHECKS as OPTIONS
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.observe import catalogue
from tests.cluster.cluster import Cluster
from tests.cluster.process import ROOT
from tests.test_readme import README, Story

WIRE = (ROOT / "docs" / "wire-format.md").read_text()


def first_column(section: str) -> set[str]:
    """What stands in backticks or as a number in the first column of the tables of a part."""
    rows = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)
    return {
        word
        for row in rows
        for word in re.findall(r"`(\w+)`|^(\d+)$", row)
        for word in word
        if word
    }


def part(heading: str, end: str = "\n## ") -> str:
    return WIRE.partition(heading)[2].partition(end)[0]


def names(kind: type) -> set[str]:
    return {spec.name for spec in fields(kind)}


def test_the_table_of_the_envelope_has_every_field() -> None:
    table = part("\n## Envelope\n", "\n`options`:")
    assert first_column(table) == names(Envelope) - {"extra"}
    assert first_column(part("\n`options`:\n")) == set(OPTIONS)


def test_the_table_of_the_failed_record_has_every_field() -> None:
    assert first_column(part("\n## Failed record\n")) == names(FailedRecord)


def test_the_tables_of_the_statuses_have_every_field() -> None:
    statuses = part("\n## Statuses\n")
    assert first_column(statuses) == names(WorkerStatus) | names(WorkerLoad)
    scheduler = statuses.partition("`routeq/scheduler`")[2]
    assert names(SchedulerStatus) <= set(re.findall(r"`(\w+)`", scheduler))


def test_the_table_of_extension_types_has_every_number() -> None:
    assert first_column(part("\n## Values\n")) == {str(kind) for kind in extensions._DECODERS}


def test_the_page_of_settings_has_every_setting() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    missing = {f"ROUTEQ_{name.upper()}" for name in names(Settings)} - set(
        re.findall(r"`(ROUTEQ_\w+)`", page)
    )
    assert not missing


def test_the_design_has_the_table_of_topics() -> None:
    """To renew it: python -c "from routeq_mqtt.wire.table import shown; print(shown())"."""
    design = (ROOT / "docs" / "design.md").read_text()
    assert f"\n{table.shown()}\n" in design


def test_the_wire_format_has_the_table_of_requests() -> None:
    """To renew it: print `routeq_mqtt.wire.observe.catalogue.shown()`."""
    assert f"\n{catalogue.shown()}\n" in WIRE


def test_the_scheduler_answers_every_request() -> None:
    """Each of the roles has some of them; none has one twice."""
    source = "".join(
        path.read_text() for path in (ROOT / "routeq_mqtt" / "scheduler").rglob("*.py")
    )
    for kind in catalogue.REQUESTS.values():
        assert len(re.findall(rf"(requests|asks)\.{kind.__name__}: self\.", source)) == 1, kind


def test_the_table_of_topics_has_every_topic() -> None:
    topics = Topics()
    named = {name for name in vars(Topics) if not name.startswith("_")}
    spelled = set()
    for name in named - {
        "queue_of",
        "is_foreign",
        "worker_of",
        "stats_of",
        "order_of",
        "lineage_of",
        "all_intake",
        "all_dealt_intake",
        "dealt_prefix",
        "shared",
        "alone",
        "all_buses",
        "bus_of",
        "client_prefix",
        "group",
        "namespace",
        "within",
        "sharing",
    }:
        spell = getattr(topics, name)
        if callable(spell):
            spell = spell(*(["*"] * len(signature(spell).parameters)))
        spelled.add(spell.rstrip("/#"))
    listed = {re.sub(r"<[^>]*>", "*", kind.topic) for kind in table.KINDS}
    assert spelled - {"queue", "$queue", "routeq", "routeq/orders"} == listed - {
        "*",  # a trigger's
        "routeq/rpc/census",
    }


async def test_the_message_of_a_device_is_a_job(
    cluster: Cluster, tmp_path: Path, mosquitto_pub: str
) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    story = Story(cluster, folder)
    story.install()
    jobs = re.search(r"^`jobs\.py`:\n\n```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert jobs is not None
    await story.python("jobs.py", jobs[1])
    await story.sh("routeq-mqtt scheduler")
    await story.sh("routeq-mqtt worker --app jobs")
    [line] = re.findall(r"^```sh\n(.*?)\n```$", WIRE, re.MULTILINE | re.DOTALL)
    await story.sh(line)
    await story.says("mail to a@example.org: Hello")


def test_the_map_of_the_design_has_every_package_and_no_file_that_is_not_there() -> None:
    _, _, rest = (ROOT / "docs" / "design.md").read_text().partition("\n## Where things are\n")
    text = rest.partition("\n## ")[0]
    rows = {row.split("|")[1]: row for row in text.splitlines() if row.startswith("| `")}
    places = {name: row for cell, row in rows.items() for name in re.findall(r"`(\w+)/`", cell)}
    packages = {path.parent.name for path in (ROOT / "routeq_mqtt").glob("*/__init__.py")}
    assert set(places) == packages
    texts = {ROOT / "routeq_mqtt" / name: row for name, row in places.items()}
    texts[ROOT / "broker" / "routeq_broker"] = text.partition("`broker/routeq_broker/`")[2]
    gone = [
        f"{folder.name}/{file}"
        for folder, told in texts.items()
        for file in re.findall(r"`([\w*]+\.py)`", told)
        if not any(folder.glob(file))
    ]
    assert not gone


def test_every_page_has_its_place_in_the_site() -> None:
    """`make docs` builds it; this says at once what it would refuse."""
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    placed = re.findall(r": ([\w/-]+\.md)$", nav, re.MULTILINE)
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert len(placed) == len(set(placed)), "a page is named twice"
    assert pages - set(placed) == set(), "add them to nav in mkdocs.yml"
    assert set(placed) - pages == {"index.md"}, "index.md is made of the README"
