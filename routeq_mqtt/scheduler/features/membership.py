"""Whether a job may join the chain or the batch that it names.

Only its producer and its own jobs know the id of a chain or a batch; still, a client that gets hold
of one can end or alter nothing with it:

| a job that names | may join |
|---|---|
| a chain | until the chain's first job is here, which comes last, or in the same message |
| the callbacks of a batch | while the batch is open: until the last of its messages has come |
| a batch | if that is known, and is no broadcast: those are the scheduler's own |
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.schema.identity import OWN
from routeq_mqtt.scheduler.store.sql import special as sql_special
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.envelopes.callbacks import CALLBACKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.scheduler.store.database import Transaction
    from routeq_mqtt.scheduler.store.rows import NewRow


@dataclass(frozen=True, slots=True)
class Memberships:
    """What is known of the chains and batches that some rows name, before they are taken in.

    Attributes:
        complete: chains whose first job is here.
        known: batches that there are.
        open: those of them that more of their own messages are to come for.
        broadcasts: those of them that are the scheduler's own.
    """

    complete: frozenset[str]
    known: frozenset[str]
    open: frozenset[str]
    broadcasts: frozenset[str]

    @classmethod
    async def load(cls, work: Transaction, rows: Sequence[NewRow]) -> Memberships:
        """Of rows that a transaction is about to take in; their batches have begun."""
        chains = {row.chain for row in rows if row.chain is not None}
        callbacks = {chain.removeprefix(CALLBACKS) for chain in chains if _is_callback(chain)}
        batches = {row.batch for row in rows if row.batch is not None} | callbacks
        found = await work.read(sql_special.BATCHES_OPEN, (_json(batches),)) if batches else []
        own = await work.read(sql_special.BROADCASTS, (_json(batches),)) if batches else []
        complete = await work.read(sql_special.COMPLETE, (_json(chains),)) if chains else []
        return cls(
            complete=frozenset(str(row[0]) for row in complete),
            known=frozenset(str(row[0]) for row in found),
            open=frozenset(str(row[0]) for row in found if row[1]),
            broadcasts=frozenset(str(row[0]) for row in own),
        )

    def refuses(self, row: NewRow) -> str:
        """Why a job that is not here yet may not join; empty: it may."""
        if row.proven or row.origin == OWN:
            return ""
        if row.batch is not None and row.batch not in self.known:
            return f"batch={shown(row.batch)} is not known"
        if row.batch in self.broadcasts:
            return f"batch={shown(row.batch)} is a broadcast: it takes no other job"
        if row.chain is None:
            return ""
        if _is_callback(row.chain):
            batch = row.chain.removeprefix(CALLBACKS)
            return "" if batch in self.open else f"batch={shown(batch)} is not open for callbacks"
        return f"chain={shown(row.chain)} is complete" if row.chain in self.complete else ""


def _is_callback(chain: str) -> bool:
    return chain.startswith(CALLBACKS)


def _json(values: Iterable[str]) -> str:
    return json.dumps(list(values))
