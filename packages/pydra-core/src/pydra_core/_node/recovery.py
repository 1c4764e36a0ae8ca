"""What a driver does before it serves, and when another instance dies: make disk, journal and hardware agree.

`/var/run/cdi` is empty after a reboot, and a process can be killed between any two writes. Spec files follow
the journal: missing ones are written again, unknown ones removed. What was interrupted between prepared and
released is undone; the kubelet will ask again if a pod still wants it. Nothing here keeps a driver from
serving: what cannot be mended now is logged, and told to the claim it concerns when the kubelet asks.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence

import msgspec

from pydra_core._node.prepare import ClaimPath
from pydra_core._state.instances import Instances
from pydra_core._state.journal import Journal
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import Intent, Record, ref_of
from pydra_core._state.spec_files import SpecFiles
from pydra_core.errors import HostError

_log = logging.getLogger(__name__)
_PATIENCE = 10.0
"""Seconds a start waits for hardware to be undone; it goes on in the background."""
_EVERY = 2.0
"""Seconds between two looks at what other instances left."""
_AGAIN = 60.0
"""Seconds until an undoing that failed is tried again without being asked."""


class Recovery:
    """Mends what dead instances left."""

    def __init__(
        self, claims: ClaimPath, journal: Journal, instances: Instances, specs: SpecFiles
    ) -> None:
        self._claims = claims
        self._journal = journal
        self._instances = instances
        self._specs = specs
        self._tried: dict[str, float] = {}

    async def start(self, node: str) -> None:
        """Bring spec files and hardware to the journal's state, as far as they let us.

        A journal that was lost or damaged is first told what the spec files still tell; `node` is the name of
        the node's own pool.
        """
        if self._journal.adopts:
            await self._adopt(node)
        await self._undo_orphans()
        try:
            await self._journal.transact(self._mend_spec_files, durable=False)
        except HostError as err:
            _log.error("spec files could not be mended", extra={"why": str(err)})

    async def watch(self) -> None:
        """Undo what other instances leave when they die, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            await self._journal.refresh()
            await self._undo_orphans()

    async def _adopt(self, node: str) -> None:
        def adopt(ledger: Ledger) -> Sequence[Record]:
            known = {record.uid for record in ledger.all_prepared()}
            at_work = {i.uid for i in ledger.all_intents() if not self._is_orphan(i)}
            begun = {i.uid: i for i in ledger.all_intents()}
            return [
                msgspec.structs.replace(
                    r, namespace=i.namespace, name=i.name, uses=i.uses, resource=i.resource
                )
                if (i := begun.get(r.uid))
                else r
                for r in self._specs.adopt(known | at_work, node)
            ]

        try:
            await self._journal.transact(adopt, durable=True)
        except HostError as err:
            _log.error("claims could not be read back from spec files", extra={"why": str(err)})
        for record in self._journal.ledger.all_prepared():
            if record.adopted:
                _log.warning("claim read back from its spec file", extra={"uid": record.uid})

    async def _undo_orphans(self) -> None:
        """Undo what nobody is at work on any more."""
        now = time.monotonic()
        orphans = [i for i in self._journal.ledger.all_intents() if self._is_orphan(i)]
        due = [i for i in orphans if now >= self._tried.get(i.uid, -math.inf) + _AGAIN]
        self._tried = {i.uid: self._tried.get(i.uid, now) for i in orphans} | {
            i.uid: now for i in due
        }
        await asyncio.gather(*(self._undo(intent) for intent in due))

    def _is_orphan(self, intent: Intent) -> bool:
        mine = (intent.instance, intent.boot) == (self._instances.me, self._instances.boot)
        return not mine and not self._instances.is_another_at_work(intent.instance, intent.boot)

    async def _undo(self, intent: Intent) -> None:
        """Unprepare as if the kubelet had asked: one claim's trouble stays its own."""
        details = {"uid": intent.uid, "claim": intent.name}
        _log.warning("undoing an interrupted prepare or unprepare", extra=details)
        await self._claims.unprepare(ref_of(intent), time.monotonic() + _PATIENCE)

    def _mend_spec_files(self, ledger: Ledger) -> Sequence[Record]:
        """Write what is missing, remove what is unknown; in a transaction, for others write them too."""
        prepared = ledger.all_prepared()
        rewritten = 0
        for record in prepared:
            try:
                rewritten += self._specs.ensure(record)
            except HostError as err:
                details = {"uid": record.uid, "claim": record.name, "why": str(err)}
                _log.error("spec file of a prepared claim cannot be written", extra=details)
        living = [i.uid for i in ledger.all_intents() if not self._is_orphan(i)]
        kept = {*living, *(record.uid for record in prepared)}
        removed = self._specs.remove_all_but(kept)
        counts = {"prepared": len(prepared), "specs_rewritten": rewritten, "specs_removed": removed}
        _log.info("recovered", extra=counts)
        return []
