"""Which checks there are, in the order of the table, and what becomes of them on a bare laptop."""

from __future__ import annotations

from collections.abc import Sequence

from pydra_core._commands.doctor import (
    api,
    cdi,
    driver,
    folders,
    journal,
    kubelet,
    legacy,
    runner,
    runtime,
    sockets,
)
from pydra_core._commands.doctor.results import Result, skipped
from pydra_core._commands.doctor.runner import Check, Examination
from pydra_core._commands.doctor.subject import Subject

_SERVER = "the API server answers too slowly: look at its load, and at the network"

OF_THE_DRIVER = (
    Check("driver: name", driver.look_at_name),
    Check("driver: SDK", driver.look_at_libraries, driver.LATE),
    Check("driver: discover", driver.look_at_inventory, driver.LATE),
    Check("driver: needs", driver.look_at_needs, driver.LATE_NEEDS),
)
OF_THE_NODE = (
    runner.local("kubelet", kubelet.look),
    Check("mode", legacy.look),
    runner.local("socket", sockets.look),
    runner.local("journal", journal.look),
    runner.local("cdi", cdi.look),
    Check("runtime", runtime.look),
    Check("api", api.look, _SERVER),
)
OF_THE_CLUSTER = (
    Check("driver: cluster_pools", driver.look_at_inventory, driver.LATE),
    Check("api", api.look, _SERVER),
)


def is_bare(subject: Subject) -> bool:
    """Whether this machine is no node at all: no kubelet root anywhere, no API access configured."""
    if subject.cluster:
        return False
    configured = subject.settings.kubeconfig or subject.environ.get("KUBERNETES_SERVICE_HOST")
    rooted = folders.is_seen(subject.settings.kubelet_root) or kubelet.other_roots(subject)
    return not configured and not rooted


async def examine(subject: Subject, seconds: float, *, driver_only: bool) -> Examination:
    """Run all checks, or those of the driver alone, each for at most `seconds`."""
    if subject.cluster:
        return await runner.examine(OF_THE_DRIVER[:2] + OF_THE_CLUSTER, subject, seconds)
    checks = OF_THE_DRIVER if driver_only else OF_THE_DRIVER + OF_THE_NODE
    done = await runner.examine(checks, subject, seconds)
    return Examination((*done.results, *_left_out()), done.hanging) if driver_only else done


def _left_out() -> Sequence[Result]:
    return [skipped(check.name, "this machine is no node") for check in OF_THE_NODE]
