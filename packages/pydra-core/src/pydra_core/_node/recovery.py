"""What a driver does before it serves: make disk and journal agree after whatever happened.

`/var/run/cdi` is empty after a reboot, and a process can be killed between any two writes. Spec files follow
the journal: missing ones are written again, unknown ones removed. An intent whose prepare never finished is
undone; the kubelet will ask again if the pod still wants it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pydra_core._state.journal import Journal
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import Intent, Record, Released
from pydra_core._state.spec_files import SpecFiles
from pydra_core.driver import Driver

_log = logging.getLogger(__name__)


async def recover(driver: Driver, journal: Journal, specs: SpecFiles) -> None:
    """Bring spec files and hardware to the journal's state.

    Raises:
        HostError: the CDI directory cannot be used.
    """
    ledger = journal.ledger
    for intent in ledger.all_intents():
        await _undo(driver, journal, specs, intent)
    prepared = ledger.all_prepared()
    rewritten = [record.uid for record in prepared if specs.ensure(record)]
    orphans = specs.remove_all_but({record.uid for record in prepared})
    _log.info(
        "recovered",
        extra={
            "prepared": len(prepared),
            "specs_rewritten": len(rewritten),
            "specs_removed": len(orphans),
        },
    )


async def _undo(driver: Driver, journal: Journal, specs: SpecFiles, intent: Intent) -> None:
    _log.warning("undoing an interrupted prepare", extra={"uid": intent.uid, "claim": intent.name})
    if driver.changes_hardware:
        await driver.unprepare(specs.prepared_claim(intent))
    await journal.transact(_released(intent.uid), durable=True)


def _released(uid: str) -> Callable[[Ledger], Sequence[Record]]:
    return lambda _: [Released(uid)]
