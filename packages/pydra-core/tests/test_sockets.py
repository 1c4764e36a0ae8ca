from __future__ import annotations

import dataclasses
import socket
import tempfile
from pathlib import Path

import pytest

from pydra_core._node.sockets import MAX_SOCKET_PATH, locate, remove_dead, remove_stale
from pydra_core.errors import ConfigError
from pydra_core.settings import Settings


@pytest.fixture
def short():
    """A folder whose path leaves room for a socket name."""
    with tempfile.TemporaryDirectory(prefix="pd", dir="/tmp") as folder:
        yield Path(folder)


def at(root, **changes):
    return dataclasses.replace(Settings(), kubelet_root=Path(root), **changes)


def test_paths_are_where_the_kubelet_looks():
    sockets = locate(at("/var/lib/kubelet"), "dra.pizza")
    assert str(sockets.registration) == "/var/lib/kubelet/plugins_registry/dra.pizza-reg.sock"
    assert str(sockets.service) == sockets.endpoint == "/var/lib/kubelet/plugins/dra.pizza/dra.sock"


def test_both_sockets_of_a_long_driver_name_fit_and_are_the_same_each_time():
    root, name = "/var/snap/microk8s/common/var/lib/kubelet", "a" * 59 + ".com"
    sockets = locate(at(root), name)
    assert sockets == locate(at(root), name)
    assert sockets != locate(at(root), "b" * 59 + ".com")
    for path in (sockets.registration, sockets.service):
        assert len(str(path)) <= MAX_SOCKET_PATH
    assert sockets.registration.parent == Path(root) / "plugins_registry"


@pytest.mark.parametrize("letter", ["r", "é"], ids=["ascii", "two-bytes"])
def test_the_longest_path_that_fits_is_kept_and_one_byte_more_is_shortened(letter):
    name = "a-driver-with-a-long-name.example"
    tail = len(f"/plugins_registry/{name}-reg.sock")
    room = MAX_SOCKET_PATH - tail - 1
    root = "/" + letter * (room // len(letter.encode())) + "r" * (room % len(letter.encode()))
    assert locate(at(root), name).registration.name == f"{name}-reg.sock"
    assert locate(at(root + "r"), name).registration.name != f"{name}-reg.sock"


def test_a_root_nothing_fits_under_is_refused_with_the_bytes_to_save():
    with pytest.raises(ConfigError, match=r"shorten the kubelet root by \d+ bytes"):
        locate(at("/" + "r" * 100), "dra.pizza")


def test_a_path_the_kubelet_could_not_dial_is_refused_too():
    with pytest.raises(ConfigError, match="shorten"):
        locate(at("/x", kubelet_socket_path="/" + "h" * 107), "dra.pizza")


def test_operators_paths_are_taken_as_they_are():
    sockets = locate(
        at(
            "/x",
            socket_path="/a/d.sock",
            kubelet_socket_path="/host/d.sock",
            registration_socket_path="/b/r.sock",
        ),
        "dra.pizza",
    )
    assert (str(sockets.service), sockets.endpoint, str(sockets.registration)) == (
        "/a/d.sock",
        "/host/d.sock",
        "/b/r.sock",
    )


def test_a_socket_nobody_listens_on_is_removed(short):
    path = short / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    remove_stale(path)
    assert not path.exists()


def test_a_socket_somebody_listens_on_is_left_and_named(short):
    path = short / "s.sock"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(ConfigError, match="another driver of this name answers"):
            remove_stale(path)
        assert path.exists()


def test_a_file_in_the_way_is_never_removed(short):
    path = short / "s.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        remove_stale(path)
    assert path.read_text() == "precious"
    assert [p.name for p in short.iterdir()] == ["s.sock"]


def test_a_link_that_leads_nowhere_is_in_the_way_too(short):
    path = short / "s.sock"
    path.symlink_to(short / "gone")
    with pytest.raises(ConfigError, match="no socket"):
        remove_stale(path)
    assert path.is_symlink()


POD, OTHER_POD = "8d9c29c2-6a0c-4a4c-8d0e-0d2b7f3f0a01", "8d9c29c2-6a0c-4a4c-8d0e-0d2b7f3f0a02"


@pytest.mark.parametrize("name", ["card.acme.example", "a" * 59 + ".com"])
def test_instances_of_two_pods_never_share_a_socket_and_all_paths_fit(name):
    root = "/var/lib/kubelet"
    pods = [locate(at(root, pod_uid=uid), name) for uid in (POD, OTHER_POD, "")]
    paths = [path for s in pods for path in (s.service, s.registration)]
    assert len(set(paths)) == 6
    assert all(len(str(path)) <= MAX_SOCKET_PATH for path in paths)
    assert pods[0] == locate(at(root, pod_uid=POD), name)
    assert POD in str(pods[0].registration) or len(name) > 60


def bound(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    return made


@pytest.mark.parametrize("name", ["c.example", "a" * 59 + ".com"])
def test_sockets_of_dead_instances_are_removed_and_no_others(short, name):
    settings = at(short, pod_uid=POD)
    for uid in (OTHER_POD, ""):
        dead = locate(at(short, pod_uid=uid), name)
        for path in (dead.service, dead.registration):
            bound(path).close()
    alive = bound(locate(at(short, pod_uid=POD), name).registration)
    alive.listen()
    stranger = locate(at(short, pod_uid=OTHER_POD), "another.example").registration
    bound(stranger).close()
    (stranger.parent / "notes.txt").write_text("precious")
    assert remove_dead(settings, name) == ()  # they may be about to be served
    assert len(remove_dead(settings, name, young=0.0)) == 4
    left = {p.name for p in stranger.parent.iterdir()}
    assert left == {stranger.name, "notes.txt", Path(alive.getsockname()).name}
    alive.close()
