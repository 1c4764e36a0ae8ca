"""Fixtures for tests of drivers: `testbed`, `kubelet`, `apiserver`, `host_tree`.

pytest loads this by entry point wherever pydra-testbed is installed. It imports nothing heavy unless a fixture is
used, and changes nothing for other tests. `docs/user/testbed-testing.md` shows each fixture. `testbed` needs
pytest-asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pydra_testbed.api import ApiServer
    from pydra_testbed.cluster import TestbedSettings
    from pydra_testbed.harness import Harness
    from pydra_testbed.host_tree import HostTree
    from pydra_testbed.nodes import KubeletService

_MARKER = (
    "testbed(nodes=('laptop',), clock='real', gates={}, kubelet=None, authorization='AlwaysAllow'): the cluster of the"
    " fixture `testbed`: node names, clock 'real' or 'manual', feature gates, pydra_testbed.kubelet.KubeletSettings,"
    " 'AlwaysAllow' or 'RBAC'"
)

_async_fixture: Any
try:
    from pytest_asyncio import fixture as _async_fixture
except ImportError:  # then the fixture says so to whoever uses it
    _async_fixture = None


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, strict or not."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def testbed_settings(request: pytest.FixtureRequest) -> TestbedSettings:
    """What kind of cluster `testbed` is: the arguments of the marker; override it for a whole module."""
    marker = request.node.get_closest_marker("testbed")
    return _settings(**(marker.kwargs if marker else {}))


def _settings(
    *,
    nodes: tuple[str, ...] = ("laptop",),
    clock: str = "real",
    gates: dict[str, bool] | None = None,
    kubelet: Any = None,
    authorization: str = "AlwaysAllow",
) -> TestbedSettings:
    from pydra_testbed.api import ALWAYS_ALLOW, RBAC  # noqa: PLC0415 (only for tests that use it)
    from pydra_testbed.clock import ManualClock, RealClock  # noqa: PLC0415 (same)
    from pydra_testbed.cluster import QUICK, TestbedSettings  # noqa: PLC0415 (same)

    clocks = {"real": RealClock, "manual": ManualClock}
    if clock not in clocks:
        pytest.fail(f"marker testbed: clock={clock!r} must be 'real' or 'manual'", pytrace=False)
    rights = {each.mode: each for each in (ALWAYS_ALLOW, RBAC)}
    if authorization not in rights:
        pytest.fail(
            f"marker testbed: authorization={authorization!r} must be one of {', '.join(rights)}",
            pytrace=False,
        )
    return TestbedSettings(
        nodes=tuple(nodes),
        clock=clocks[clock](),
        gates=gates or {},
        kubelet=kubelet or QUICK.kubelet,
        authorization=rights[authorization],
    )


async def _testbed(testbed_settings: TestbedSettings) -> AsyncIterator[Harness]:
    """A running cluster: API server, scheduler, controllers, a kubelet for each node."""
    from pydra_testbed.harness import harness  # noqa: PLC0415 (only for tests that use it)

    async with harness(testbed_settings) as made:
        yield made


def _no_testbed() -> None:
    """Say what is missing."""
    pytest.fail(
        "the fixture testbed needs pytest-asyncio: pip install pytest-asyncio", pytrace=False
    )


if _async_fixture is not None:
    testbed: Callable[..., Any] = _async_fixture(name="testbed")(_testbed)
else:
    testbed = pytest.fixture(name="testbed")(_no_testbed)


@pytest.fixture
def kubelet(testbed: Harness) -> KubeletService:
    """The kubelet of the testbed's first node: `stop`, `start`, `restart`."""
    return next(iter(testbed.kubelets.values()))


@pytest.fixture
def apiserver(testbed: Harness) -> ApiServer:
    """The testbed's API server: `faults.fail(...)`, `faults.unreachable()`, `faults.drop_watches()`."""
    return testbed.server


@pytest.fixture
def host_tree(tmp_path: Path) -> HostTree:
    """An empty file system for a driver to read: `AcmeDriver(host_tree.root)`."""
    from pydra_testbed.host_tree import HostTree  # noqa: PLC0415 (only for tests that use it)

    root = tmp_path / "host"
    root.mkdir()
    return HostTree(root)
