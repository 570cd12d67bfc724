"""The documents say what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from routeq_mqtt.presence.status import SchedulerStatus, WorkerLoad, WorkerStatus
from routeq_mqtt.settings import Settings
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire import extensions
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.options import _CHECKS as OPTIONS
from routeq_mqtt.wire.record import FailedRecord
from tests.bed.bed import Bed
from tests.bed.process import ROOT
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


def test_the_readme_has_every_setting() -> None:
    missing = {f"ROUTEQ_{name.upper()}" for name in names(Settings)} - set(
        re.findall(r"`(ROUTEQ_\w+)`", README)
    )
    assert not missing


def test_the_design_has_every_topic() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    code = Path(str(Topics.__module__.replace(".", "/")) + ".py")
    spelled = re.findall(r'f"\{self\.control\}/([\w/]+)', (ROOT / code).read_text())
    missing = {topic for topic in spelled if f"routeq/{topic.rstrip('/')}" not in design}
    assert not missing - {"reply", "reply/", "probe", "probe/"}


async def test_the_message_of_a_device_is_a_job(
    bed: Bed, tmp_path: Path, mosquitto_pub: str
) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    story = Story(bed, folder)
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
