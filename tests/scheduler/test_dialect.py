"""What needs no server: places of databases, and migrations that both kinds take."""

from __future__ import annotations

import pytest

from routeq_mqtt import ConfigurationError
from routeq_mqtt.scheduler.store.engines.postgres.schema import VERSION, migrations_from
from routeq_mqtt.scheduler.store.engines.postgres.url import PostgresUrl, place_of
from routeq_mqtt.scheduler.store.schema.schema import MIGRATIONS

# What PostgreSQL says in another way than by the types of columns.
_OTHERWISE = ("TRIGGER", "OR REPLACE", "json_", "x'", "randomblob", "rowid")


def test_a_new_migration_of_the_file_is_one_of_postgresql_too() -> None:
    """Else it needs to be written by hand there; the types are translated."""
    scripts = migrations_from(VERSION, "db")
    assert len(scripts) == len(MIGRATIONS) - VERSION
    assert not [one for script in scripts for one in _OTHERWISE if one in script]


def test_the_place_is_shown_without_its_password() -> None:
    place = place_of("postgresql://me:secret@db.example:5433/bus?schema=one&sslmode=require")
    assert isinstance(place, PostgresUrl)
    assert str(place) == "postgresql://me@db.example:5433/bus?schema=one&sslmode=require"
    assert "secret" not in repr(place)
    assert place.schema == "one"
    assert place.conninfo == "postgresql://me:secret@db.example:5433/bus?sslmode=require"


@pytest.mark.parametrize("option", ["password", "sslpassword"])
def test_no_secret_among_the_options_is_shown(option: str) -> None:
    place = place_of(f"postgresql://me@host/bus?{option}=secret")
    assert isinstance(place, PostgresUrl)
    assert (str(place), "secret" in place.conninfo) == (
        f"postgresql://me@host/bus?{option}=***",
        True,
    )


@pytest.mark.parametrize("schema", ["", "Upper", "a-b", '"; DROP', "x" * 64])
def test_a_schema_is_a_plain_name(schema: str) -> None:
    with pytest.raises(ConfigurationError, match="schema="):
        place_of(f"postgresql://me@host/bus?schema={schema}")
