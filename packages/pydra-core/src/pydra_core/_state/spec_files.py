"""Spec files of prepared claims: one per claim, devices named `<claim UID>_<request>_<device>[_<share>]`.

These names make every CDI device unique over all files of this driver: runtimes drop a device that two files
define, and claim UIDs are never used again. Files are named after the UID alone, which the API server makes.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pydra_cdi import (
    CdiError,
    ContainerEdits,
    Device,
    DeviceNode,
    QualifiedName,
    Spec,
    SpecBuilder,
    SpecDirectory,
    SpecError,
    SpecFileError,
    decode_spec,
    encode_spec,
    read_spec,
)
from pydra_cdi.host import Host
from pydra_core._state.records import NO_SPEC, DeviceAnswer, DeviceUse, Intent, Prepared, ref_of
from pydra_core._values import PreparedClaim, PreparedDevice
from pydra_core.errors import DriverFailedError, HostError

_log = logging.getLogger(__name__)
_CLASS = "claim"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is answered for each device, and the spec file's content that makes the answers true."""

    answers: tuple[DeviceAnswer, ...]
    spec: msgspec.Raw


class SpecFiles:
    """The spec files of one driver in one CDI directory."""

    def __init__(self, directory: Path, driver: str, node: str = "") -> None:
        """Begin. `node` is the name of the node's own pool; devices of other pools tell theirs in an annotation."""
        self._node = node
        self._pool_key = f"{driver}/pool"
        self._directory = SpecDirectory(directory)
        self._driver = driver
        self._kind = f"{driver}/{_CLASS}"
        self._lock = threading.Lock()  # the journal's thread writes, the event loop's removes
        self._untidy = False
        self._left: set[str] = set()

    def render(self, uid: str, devices: Sequence[PreparedDevice]) -> Rendered:
        """Turn prepared devices into answers and one spec. Pure.

        Raises:
            DriverFailedError: the driver's edits are not valid CDI; names the field.
        """
        named = [(device, self._name(uid, device)) for device in devices]
        edited = [
            Device(name, device.edits, self._annotations(device.pool))
            for device, name in named
            if device.edits
        ]
        answers = tuple(self._answer(device, name) for device, name in named)
        if not edited:
            return Rendered(answers, NO_SPEC)
        try:
            spec = SpecBuilder(self._kind).add(*edited).build()
            return Rendered(answers, msgspec.Raw(encode_spec(spec)))
        except SpecError as err:
            raise DriverFailedError(
                f"driver {self._driver}: its container edits are not valid CDI: {err} (a bug of the driver)"
            ) from err

    def ensure(self, record: Prepared) -> bool:
        """Make the claim's spec file be there and as recorded; returns whether it had to be written.

        Raises:
            HostError: the CDI directory cannot be written, or the record holds no valid spec.
        """
        with _host_errors():
            spec = self._spec(record)
            return self._put(record.uid, encode_spec(spec)) if spec else False

    def put(self, record: Prepared) -> bool:
        """Do as `ensure` for a record made of what `render` returned: it needs no check.

        Raises:
            HostError: the CDI directory cannot be written.
        """
        content = bytes(record.spec)
        with _host_errors():
            return False if content == bytes(NO_SPEC) else self._put(record.uid, content)

    def _put(self, uid: str, content: bytes) -> bool:
        with self._lock:
            self._left.discard(uid)
            self._tidy()
            try:
                return self._directory.put(self._kind, content, uid).changed
            except SpecFileError:  # removing its temporary file may have failed as well
                self._untidy = True
                raise

    def remove(self, uid: str) -> None:
        """Remove the claim's spec file, if there is one.

        A file that cannot be removed now is removed later: no container will ask for its devices any more,
        so it is no reason to hold a pod back.
        """
        with self._lock:
            self._left.add(uid)
            self._tidy()

    def remove_all_but(self, uids: Collection[str]) -> int:
        """Remove this driver's spec files of other claims, and temporary files of killed writers.

        Returns:
            How many spec files were removed.
        """
        with self._lock, _logged_errors():
            self._left |= self._uids() - set(uids)
        with self._lock:
            before, self._untidy = len(self._left), True
            self._tidy()
            return before - len(self._left)

    def _tidy(self) -> None:
        """Remove what should not be there; what stays is tried again with the next claim."""
        if self._untidy:
            with _logged_errors():
                self._directory.sweep()
                self._untidy = False
        for uid in sorted(self._left):
            with _logged_errors():
                self._directory.remove(self._kind, uid)
                self._left.discard(uid)

    def nodes_are_there(self, record: Prepared, host: Path) -> bool:
        """Whether the host still has every device node of the claim, with the recorded numbers.

        They change when a module is loaded again or a device is re-plugged; a node on disk does not tell.
        """
        spec = self._spec(record)
        edits = [device.container_edits for device in spec.devices] if spec else []
        return all(_is_there(node, Host(host)) for each in edits for node in each.device_nodes)

    def adopt(self, known: Collection[str], pool: str) -> list[Prepared]:
        """Read back claims from this driver's spec files that a lost or damaged journal does not know.

        Containers may be running with these devices. Names and edits are in the file; the claim's name, the
        driver's state and devices without edits are not, so the next call for the claim prepares it again.

        Args:
            known: UIDs of claims that need no adoption.
            pool: the node-local pool's name.
        """
        with self._lock:
            return [
                record
                for uid in sorted(self._uids() - set(known))
                if (record := self._adopted(uid, pool))
            ]

    def _adopted(self, uid: str, pool: str) -> Prepared | None:
        path = self._directory.file(self._kind, uid)
        try:
            spec = read_spec(path)
            answers = tuple(self._answer_of(spec, device, pool) for device in spec.devices)
        except (CdiError, ValueError) as err:
            _log.warning("spec file of an unknown claim cannot be adopted", extra={"why": str(err)})
            return None
        uses = tuple(DeviceUse(pool=a.pool, device=a.device, share_id=a.share_id) for a in answers)
        content = msgspec.Raw(encode_spec(spec))
        return Prepared(uid, "", "", uses, answers=answers, spec=content, adopted=True)

    def _answer_of(self, spec: Spec, device: Device, pool: str) -> DeviceAnswer:
        """Take a device's name apart. Raises `ValueError` if it is not of our making."""
        _, request, name, *share = device.name.split("_")
        return DeviceAnswer(
            request=request,
            pool=device.annotations.get(self._pool_key, pool),
            device=name.partition(".")[0],
            share_id=share[0] if share else "",
            cdi_ids=(str(spec.device_id(device)),),
        )

    def _uids(self) -> set[str]:
        """UIDs of all claims that have a file of this driver's."""
        stem = self._directory.file(self._kind, "*").name.removesuffix("*.json")
        names = (path.name for path in self._directory.path.glob(f"{stem}*.json"))
        return {name.removeprefix(stem).removesuffix(".json") for name in names}

    def prepared_claim(self, record: Prepared | Intent) -> PreparedClaim:
        """What the driver's `unprepare` gets: the devices with their edits and state, as far as recorded.

        Of an interrupted prepare those are left out that it had for administration: they are others' devices.
        """
        ref = ref_of(record)
        if isinstance(record, Intent) and not record.answers:
            started = (
                PreparedDevice(request="", pool=u.pool, device=u.device, share_id=u.share_id)
                for u in record.uses
                if not u.admin
            )
            return PreparedClaim(ref=ref, devices=tuple(started))
        try:
            spec = self._spec(record)
        except SpecError:  # an older version let it pass: what unprepare needs is in the state
            spec = None
        edits = {str(spec.device_id(d)): d.container_edits for d in spec.devices} if spec else {}
        return PreparedClaim(
            ref=ref, devices=tuple(_prepared_device(a, edits) for a in record.answers)
        )

    def _spec(self, record: Prepared | Intent) -> Spec | None:
        content = bytes(record.spec)
        return (
            None
            if content == bytes(NO_SPEC)
            else decode_spec(content, source=f"journal record of {record.uid}")
        )

    def _answer(self, device: PreparedDevice, name: str) -> DeviceAnswer:
        ids = (str(QualifiedName(self._driver, _CLASS, name)),) if device.edits else ()
        return DeviceAnswer(
            request=device.request,
            pool=device.pool,
            device=device.device,
            share_id=device.share_id,
            cdi_ids=ids,
            state=dict(device.state),
        )

    def _annotations(self, pool: str) -> dict[str, str]:
        return {self._pool_key: pool} if self._node and pool != self._node else {}

    def _name(self, uid: str, device: PreparedDevice) -> str:
        """Devices of further pools get a digest: a device of another pool may be called the same."""
        further = bool(self._annotations(device.pool))
        digest = f".{hashlib.sha256(device.pool.encode()).hexdigest()[:8]}" if further else ""
        parts = (uid, device.request, device.device + digest, device.share_id)
        return "_".join(part for part in parts if part)


def _prepared_device(answer: DeviceAnswer, edits: dict[str, ContainerEdits]) -> PreparedDevice:
    found = [edits[i] for i in answer.cdi_ids if i in edits]
    return PreparedDevice(
        request=answer.request,
        pool=answer.pool,
        device=answer.device,
        share_id=answer.share_id,
        edits=found[0] if found else ContainerEdits(),
        state=answer.state,
    )


def _is_there(node: DeviceNode, host: Host) -> bool:
    try:
        facts = host.node_facts(node.host_path or node.path)
    except (OSError, ValueError):
        return False
    numbers = (node.type, node.major, node.minor)
    return not (node.type and node.major) or numbers == (facts.type, facts.major, facts.minor)


@contextmanager
def _host_errors() -> Iterator[None]:
    """The CDI directory is the node's business, whatever is wrong with it."""
    try:
        yield
    except (SpecFileError, SpecError) as err:
        raise HostError(str(err)) from err


@contextmanager
def _logged_errors() -> Iterator[None]:
    try:
        yield
    except (SpecFileError, SpecError, OSError) as err:
        _log.warning("leftovers in the CDI directory cannot be removed", extra={"why": str(err)})
