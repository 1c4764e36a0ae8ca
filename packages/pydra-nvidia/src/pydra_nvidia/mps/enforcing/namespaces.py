"""Namespaces (driver 615 and later): a tenant's programs are in the one whose socket folder they are given.

The limits are the daemon's own and no environment lifts them. A namespace cannot be changed while a program is in it,
so it has its limits before anybody is told of it. Percentages are whole here: the namespace has the next one above the
tenant's bound, and the environment says the bound itself.
"""

from __future__ import annotations

import hashlib
import math
import os

from pydra_core.errors import DeviceBusyError, VendorError
from pydra_nvidia.mps import texts
from pydra_nvidia.mps.control import Control
from pydra_nvidia.mps.enforcing.rung import (
    memory_env,
    memory_held,
    mib_of,
    percent_env,
    percent_of,
    reach,
    sms_of,
)
from pydra_nvidia.mps.roster import Member, Roster
from pydra_nvidia.mps.values import Attached, Enforcement, MpsGpu, Tenant

DEFAULT = "default"
"""Every server has one, and nobody is given it."""
_CSV = "--format=csv,noheader"
_NAME_BYTES = 6


class Namespaces:
    """The rung `mps-v3-namespace`: one server, for all users where this process may start such."""

    name: Enforcement = "mps-v3-namespace"

    def check(self, gpu: MpsGpu, tenant: Tenant) -> None:
        """Raises `ClaimError`."""
        percent_of(gpu, tenant)
        mib_of(gpu, tenant)

    async def admit(self, control: Control, gpu: MpsGpu, tenant: Tenant) -> Member:
        """Create a namespace, and see that it has its limits. Raises `VendorError`."""
        name = _name(tenant)
        server = await server_of(control)
        await create(control, server, name)
        bound, mib = percent_of(gpu, tenant), mib_of(gpu, tenant)
        await limit(control, server, name, None if bound is None else math.ceil(bound), mib)
        return Member(tenant, f"{server}/{name}")

    async def hold(self, control: Control, roster: Roster) -> None:
        """Delete what nobody in the roster has. Raises `VendorError`."""
        server = await server_of(control)
        kept = {_own(m) for m in roster.members} | {DEFAULT}
        for name in await namespaces(control, server):
            if name not in kept:
                await remove(control, server, name)

    async def release(self, control: Control, member: Member) -> None:
        """Delete its namespace. Raises `DeviceBusyError` and `VendorError`."""
        try:
            await remove(control, await server_of(control), _own(member))
        except DeviceBusyError as err:
            raise DeviceBusyError(
                f"claim {member.tenant.name}: programs of it still run: {err}"
            ) from None

    async def has(self, control: Control, member: Member) -> bool:
        """Whether its namespace is there. Raises `VendorError`."""
        return _own(member) in await namespaces(control, await server_of(control))

    def attached(self, control: Control, gpu: MpsGpu, member: Member) -> Attached:
        """What the member's containers need: the folder of their own socket, and of nobody else's."""
        bound = percent_of(gpu, member.tenant)
        env, mounts = reach(control, control.folder.pipe / member.made)
        env |= percent_env(bound) | memory_env(gpu, member.tenant)
        held = memory_held(gpu, member.tenant)
        return Attached(env, mounts, self.name, sms_of(gpu, bound), bound, held)


async def server_of(control: Control) -> str:
    """The name of the server, which is created if there is none. Raises `VendorError`."""
    said: list[str] = []
    for _ in range(2):
        rows = texts.table(await control.verb("server", "list", _CSV))
        names = [row[0] for row in rows if len(row) > 1 and row[1] == str(os.geteuid())]
        if names:
            return names[0]
        said = await control.verb("server", "create", f"--uid={os.geteuid()}")
    raise _refused(control, "a server was created, and there is none", said)


async def namespaces(control: Control, server: str) -> list[str]:
    """The names of all there are. Raises `VendorError`."""
    rows = texts.table(await control.verb("namespace", "list", f"--server={server}", _CSV))
    return [row[0] for row in rows if len(row) > 1]


async def create(control: Control, server: str, name: str) -> None:
    """Create a namespace that is listed, and whose folder can be given to a container.

    Raises:
        VendorError: it is not there afterwards; the tool's own words are in the text.
    """
    said = await control.verb("namespace", "create", name, f"--server={server}")
    if name not in await namespaces(control, server):
        raise _refused(control, f"namespace {name} was created, and there is none", said)
    if not (folder := control.folder.pipe / server / name).is_dir():
        raise _refused(control, f"namespace {name} was created, and {folder} is no folder", said)


async def limit(
    control: Control, server: str, name: str, percent: int | None, mib: int | None
) -> None:
    """Give a namespace that nobody is in its limits.

    Raises:
        VendorError: it has others afterwards; the tool's own words are in the text.
    """
    options = [f"--active-thread-percentage={percent}"] if percent else []
    options += [f"--pinned-memory-limit={texts.limit_text(mib)}"] if mib else []
    if not options:
        return
    said = await control.verb("namespace", "set", name, f"--server={server}", *options)
    asked = ("namespace", "get", name, server)
    if percent:
        read = await control.verb(*asked, "active-thread-percentage")
        if not texts.is_near(texts.percent(read), percent):
            raise _refused(control, f"{options[0][2:]} was set, and {read} is read", said)
    if mib:
        read = await control.verb(*asked, "pinned-memory-limit")
        if not texts.is_limit(read, mib):
            raise _refused(control, f"{options[-1][2:]} was set, and {read} is read", said)


async def remove(control: Control, server: str, name: str) -> None:
    """Delete a namespace; one that is not there is fine.

    Raises:
        DeviceBusyError: it is still there, as it is while programs are in it; the tool's own words are in the text.
    """
    if name not in await namespaces(control, server):
        return
    told = ""
    try:
        told = " ".join(await control.verb("namespace", "delete", name, f"--server={server}"))
    except VendorError as err:
        told = str(err)
    if name in await namespaces(control, server):
        raise DeviceBusyError(
            f"GPU {control.folder.uuid}: namespace {name} was deleted, and is still there: {told}; try again when the"
            " programs in it have ended"
        )


def _own(member: Member) -> str:
    """The name of its namespace; its folder is that in its server's."""
    return member.made.rpartition("/")[2]


def _name(tenant: Tenant) -> str:
    digest = hashlib.sha256("/".join(tenant.key).encode()).digest()[:_NAME_BYTES]
    return f"t{digest.hex()}"


def _refused(control: Control, what: str, said: list[str]) -> VendorError:
    told = " ".join(" ".join(said).split()) or "nothing is said"
    return VendorError(f"GPU {control.folder.uuid}: {what}: {told}")
