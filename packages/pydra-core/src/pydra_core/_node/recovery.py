"""What a driver does before it serves: make disk and journal agree after whatever happened.

`/var/run/cdi` is empty after a reboot, and a process can be killed between any two writes. Spec files follow
the journal: missing ones are written again, unknown ones removed. What was interrupted between prepared and
released is undone; the kubelet will ask again if a pod still wants it. Nothing here keeps a driver from
serving: what cannot be mended now is logged, and told to the claim it concerns when the kubelet asks.
"""

from __future__ import annotations

import asyncio
import logging
import time

from pydra_core._node.prepare import ClaimPath
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import Intent
from pydra_core._state.spec_files import SpecFiles
from pydra_core._values import ClaimRef
from pydra_core.errors import HostError

_log = logging.getLogger(__name__)
_PATIENCE = 10.0
"""Seconds a start waits for hardware to be undone; it goes on in the background."""


async def recover(claims: ClaimPath, ledger: Ledger, specs: SpecFiles) -> None:
    """Bring spec files and hardware to the journal's state, as far as they let us."""
    await asyncio.gather(*(_undo(claims, intent) for intent in ledger.all_intents()))
    prepared = ledger.all_prepared()
    rewritten = 0
    for record in prepared:
        try:
            rewritten += specs.ensure(record)
        except HostError as err:
            details = {"uid": record.uid, "claim": record.name, "why": str(err)}
            _log.error("spec file of a prepared claim cannot be written", extra=details)
    removed = specs.remove_all_but({record.uid for record in prepared})
    counts = {"prepared": len(prepared), "specs_rewritten": rewritten, "specs_removed": removed}
    _log.info("recovered", extra=counts)


async def _undo(claims: ClaimPath, intent: Intent) -> None:
    """Unprepare as if the kubelet had asked: one claim's trouble stays its own."""
    details = {"uid": intent.uid, "claim": intent.name}
    _log.warning("undoing an interrupted prepare or unprepare", extra=details)
    ref = ClaimRef(uid=intent.uid, namespace=intent.namespace, name=intent.name)
    await claims.unprepare(ref, time.monotonic() + _PATIENCE)
