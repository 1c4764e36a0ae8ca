"""What the claim path writes into the journal, and what it may conclude from it; `prepare` calls this."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from pydra_core._node.checks import uses_of
from pydra_core._state.instances import Instances, milliseconds
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import DeviceAnswer, DeviceUse, Intent, Prepared, Record
from pydra_core._state.spec_files import SpecFiles
from pydra_core._values import Claim, PreparedDevice
from pydra_core.driver import Driver
from pydra_core.errors import HostError


class Entries:
    """Makes the records of one instance of a driver."""

    def __init__(self, driver: Driver, instances: Instances, specs: SpecFiles) -> None:
        self._driver = driver
        self._instances = instances
        self._specs = specs

    def intent(
        self, known: Prepared, *, answers: tuple[DeviceAnswer, ...], spec: msgspec.Raw
    ) -> Intent:
        """This instance is about to change hardware for a claim, or takes its devices."""
        return Intent(
            uid=known.uid,
            namespace=known.namespace,
            name=known.name,
            uses=known.uses,
            answers=answers,
            spec=spec,
            instance=self._instances.me,
            boot=self._instances.boot,
            as_is=known.as_is,
            resource=known.resource,
        )

    def prepared(self, claim: Claim, devices: Sequence[PreparedDevice]) -> Prepared:
        """What the driver answered. Raises `DriverFailedError` if its edits are not valid CDI."""
        rendered = self._specs.render(claim.uid, devices)
        return Prepared(
            uid=claim.uid,
            namespace=claim.namespace,
            name=claim.name,
            uses=uses_of(claim),
            answers=rendered.answers,
            spec=rendered.spec,
            boot=self._instances.boot,
            as_is=self.is_as_is(claim),
            resource=claim.ref.resource,
            given=milliseconds() if claim.ref.resource else 0,
        )

    def is_as_is(self, claim: Claim) -> bool:
        """Whether the driver leaves hardware alone for this claim, although not for all."""
        return self._driver.changes_hardware and not self._driver.changes(claim)

    def changed(self, known: Prepared | Intent) -> bool:
        """Whether there may be something of the claim to undo."""
        return self._driver.changes_hardware and not known.as_is

    def must_last(self, record: Prepared) -> bool:
        """Whether the record must be on disk before it is answered.

        A container with an extended resource is looked after anew after a reboot (PreStartContainer), so only
        hardware that was changed must not be forgotten; and all pods wait for the answer.
        """
        return not record.resource or self.changed(record)

    def leaves(self, ledger: Ledger, uid: str) -> bool:
        """Whether a claim that was in the way holds nothing any more, or another instance is about to undo it."""
        begun = ledger.intent(uid)
        if begun is None:
            return ledger.prepared(uid) is None
        return bool(begun.answers) and begun.instance != self._instances.me


def given_again(uid: str, boot: str) -> Callable[[Ledger], Sequence[Record]]:
    """Note that a container gets what is prepared already: whoever would release it must look anew.

    `boot` is the node's boot ID, without which the time would tell nothing.
    """

    def note(ledger: Ledger) -> Sequence[Record]:
        known = ledger.prepared(uid)
        again = known and msgspec.structs.replace(known, given=milliseconds(), boot=boot)
        return [again] if again else []

    return note


def noted(claim: Claim, device: PreparedDevice, me: int) -> Callable[[Ledger], Sequence[Record]]:
    """Note what the driver is about to change: as if the claim had been answered with it, so that it is undone.

    Raises, in the journal's thread:
        HostError: this instance, `me`, is not at work on the claim.
    """

    def note(ledger: Ledger) -> Sequence[Record]:
        begun = ledger.intent(claim.uid)
        if begun is None or begun.instance != me:
            raise HostError(
                f"claim {claim.ref}: device {device.device}: this instance of the driver is not at work on it, so nothing"
                " is noted; the next try begins anew"
            )
        known = {(u.pool, u.device, u.share_id): _unanswered(u) for u in begun.uses if not u.admin}
        known |= {(a.pool, a.device, a.share_id): a for a in begun.answers}
        key = device.pool, device.device, device.share_id
        known[key] = DeviceAnswer(device.request, *key, state=dict(device.state))
        return [msgspec.structs.replace(begun, answers=tuple(known.values()), as_is=False)]

    return note


def _unanswered(use: DeviceUse) -> DeviceAnswer:
    return DeviceAnswer("", use.pool, use.device, use.share_id)


def taken_whole(known: Prepared, uses: tuple[DeviceUse, ...]) -> Sequence[Record]:
    """Hold all devices of a claim that was read back from its spec file, which does not tell those without edits."""
    return [] if known.uses == uses else [msgspec.structs.replace(known, uses=uses)]
