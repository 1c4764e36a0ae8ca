"""Who has what, from the journals: one row for each device a claim holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydra_cdi import SpecDirectory
from pydra_core._state.records import DeviceUse, Intent, Prepared
from pydra_core._state.survey import Survey


class State(StrEnum):
    """How a claim stands with a device; `free`, or what is left of it, is known from the API server only."""

    PREPARED = "prepared"
    WORKING = "in progress"
    ADOPTED = "adopted"
    FREE = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One device, or a share of it, and who has it.

    `consumed` is what a share takes, `left` what all of them leave (of `State.FREE`). `since` is when the claim's spec file was written: after a reboot, that is the start of the driver. None where the
    claim has no spec file. With a `resource`, a pod without a claim has it: `claim` is the ID it has of that extended
    resource, and if the kubelet does not tell the pod, `perhaps` are those that ask for some. These are named with their
    namespaces.
    """

    driver: str
    pool: str
    device: str
    state: State
    uid: str = ""
    namespace: str = ""
    claim: str = ""
    resource: str = ""
    requests: tuple[str, ...] = ()
    share: str = ""
    admin: bool = False
    consumed: tuple[tuple[str, str], ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    since: datetime | None = None
    pods: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()


def uses(surveys: Iterable[Survey], cdi_dir: Path) -> Iterator[Use]:
    """Every use of every device, by driver, pool and device."""
    specs = SpecDirectory(cdi_dir)
    for survey in surveys:
        found = (use for r in survey.held for use in _of(survey.driver, r, specs))
        yield from sorted(found, key=lambda u: (u.pool, u.device, u.share, u.uid))


def _of(driver: str, record: Prepared | Intent, specs: SpecDirectory) -> Iterator[Use]:
    since = _written(specs.file(f"{driver}/claim", record.uid))
    for use in record.uses:
        yield Use(
            driver=driver,
            pool=use.pool,
            device=use.device,
            state=_state(record),
            uid=record.uid,
            namespace=record.namespace,
            claim=record.name,
            resource=record.resource,
            requests=_requests(record, use),
            share=use.share_id,
            admin=use.admin,
            consumed=tuple(sorted(use.consumed.items())),
            since=since,
        )


def _state(record: Prepared | Intent) -> State:
    if isinstance(record, Intent):
        return State.WORKING
    return State.ADOPTED if record.adopted else State.PREPARED


def _requests(record: Prepared | Intent, use: DeviceUse) -> tuple[str, ...]:
    key = (use.pool, use.device, use.share_id)
    return tuple(a.request for a in record.answers if (a.pool, a.device, a.share_id) == key)


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
    except OSError:
        return None
