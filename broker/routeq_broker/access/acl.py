"""Who may read and write which topics: mosquitto's `acl_file`, with the same meaning.

``topic [read|write|readwrite|deny] <filter>`` lines belong to the ``user <name>`` line above them,
to clients without a user name where there is none. ``pattern …`` lines are for everybody; ``%u``
is the user name, ``%c`` the client identifier. What no line allows is refused; denials come first.

One thing more than mosquitto: write access to ``$client/<id>`` is the right to connect with that
client identifier. It counts where the files speak of ``$client/`` at all; for mosquitto such lines
are topics without a user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routeq_broker.access.users import lines_of
from routeq_broker.errors import AccessFileBroken
from routeq_broker.routing.filters import covers, is_valid_filter, matches

if TYPE_CHECKING:
    from pathlib import Path

READ, WRITE = 1, 2
_ACCESS = {"read": READ, "write": WRITE, "readwrite": READ | WRITE, "deny": 0}
_DANGEROUS = "+#"
_NAMED = re.compile("%[cu]")  # both in one go: a client may be called "%u"
_REMEMBERED = 4_096
CLIENT = "$client/"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: a filter and what it allows; 0: nothing."""

    name: str
    access: int

    def holds_for(self, topic: str) -> bool:
        """Whether it speaks of a topic; one with a leading ``$`` must be named with it."""
        if topic.startswith("$") and not self.name.startswith("$"):
            return False
        return matches(self.name, topic)


@dataclass(slots=True)
class Acl:
    """All rules: of each user (None: of clients without a name), and the patterns."""

    users: dict[str | None, list[Rule]] = field(default_factory=dict)
    patterns: list[Rule] = field(default_factory=list)

    @classmethod
    def read(cls, *paths: Path) -> Acl:
        """Read files of rules.

        Raises:
            AccessFileBroken: one cannot be read or has a line that makes no sense; names it.
        """
        acl = cls()
        for path in paths:
            user: str | None = None
            for number, line in lines_of(path):
                kind, _, rest = line.partition(" ")
                if kind == "user" and rest.strip():
                    user = rest.strip()
                    acl.users.setdefault(user, [])
                    continue
                rule = _rule(rest)
                if kind not in {"topic", "pattern"} or rule is None:
                    raise AccessFileBroken(
                        f"{path}, line {number}: {line!r} is not a rule; write it as "
                        "`user NAME`, `topic read|write|readwrite|deny FILTER` or `pattern …`"
                    )
                rules = acl.patterns if kind == "pattern" else acl.users.setdefault(user, [])
                rules.append(rule)
        return acl

    @property
    def speaks_of_clients(self) -> bool:
        """Whether some rule says who may use which client identifier."""
        every = [*self.patterns, *(rule for rules in self.users.values() for rule in rules)]
        return any(rule.name.startswith(CLIENT) for rule in every)

    def rights(self, user: str | None, client_id: str) -> Rights:
        """What one client may do."""
        rules = list(self.users.get(user, ()))
        if not any(character in (user or "") + client_id for character in _DANGEROUS):
            # A name with a wildcard in it would make a pattern match the topics of others.
            names = {"%c": client_id, "%u": user or ""}
            rules += [
                Rule(_NAMED.sub(lambda found: names[found[0]], rule.name), rule.access)
                for rule in self.patterns
                if user is not None or "%u" not in rule.name
            ]
        return Rights(sorted(rules, key=lambda rule: rule.access != 0))


class Rights:
    """What one client may do.

    Args:
        rules: denials first.
    """

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules
        self._known: dict[tuple[str, int], bool] = {}

    def may_read(self, topic: str) -> bool:
        """Whether it may be given messages of a topic."""
        return self._may(topic, READ)

    def may_write(self, topic: str) -> bool:
        """Whether it may publish to a topic."""
        return self._may(topic, WRITE)

    def may_share(self, name: str) -> bool:
        """Whether it may join a group on a filter: a member takes messages away from the others.

        mosquitto does not check this, and drops what it then gives to a member that may not read
        it.
        """
        if "+" not in name and "#" not in name:
            return self._may(name, READ)
        if any(not rule.access for rule in self._rules):
            return False
        return any(rule.access & READ and covers(rule.name, name) for rule in self._rules)

    def _may(self, topic: str, access: int) -> bool:
        known = self._known.get((topic, access))
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[topic, access] = self._decide(topic, access)
        return known

    def _decide(self, topic: str, access: int) -> bool:
        for rule in self._rules:
            if rule.holds_for(topic):
                if not rule.access:
                    return False
                if rule.access & access:
                    return True
        return False


def _rule(text: str) -> Rule | None:
    first, _, rest = text.strip().partition(" ")
    name = rest.strip() if first in _ACCESS else text.strip()
    access = _ACCESS.get(first, READ | WRITE)
    return Rule(name, access) if is_valid_filter(name) else None
