"""What a container is told of its devices where the runtime knows no CDI, and what cannot be told so."""

from __future__ import annotations

import msgspec
import pytest

from pydra_cdi import ContainerEdits, DeviceNode, Hook, Mount, NetDevice
from pydra_core import PreparedDevice
from pydra_core._legacy import answers
from pydra_core._state.records import NO_SPEC, DeviceUse, Prepared
from pydra_core._state.spec_files import SpecFiles
from pydra_core.errors import HostError

NAME = "acme.example/card"
NULL = DeviceNode(path="/dev/card", host_path="/dev/null")


@pytest.fixture
def given(tmp_path):
    specs = SpecFiles(tmp_path, "card.acme.example", "node-1")

    def make(name, edits):
        device = PreparedDevice(request="resource", pool="node-1", device=name, edits=edits)
        rendered = specs.render(f"uid-{name}", [device])
        uses = (DeviceUse("node-1", name),)
        return Prepared(
            *(f"uid-{name}", "", name, uses, rendered.answers), spec=rendered.spec, resource=NAME
        )

    return make


def test_names_are_given_once_and_devices_without_edits_have_none(given):
    one, none = given("a", ContainerEdits(env=["A=1"])), given("b", ContainerEdits())
    answer = answers.names([one, none, one])
    assert [d.name for d in answer.cdi_devices] == ["card.acme.example/claim=uid-a_resource_a"]
    assert answers.names([none]) == answers.Response()


def test_plain_words_say_variables_mounts_and_nodes_and_the_later_wins(given):
    first = ContainerEdits(
        env=["CARD=a", "SIZE=x=y", "EMPTY="],
        device_nodes=[NULL, DeviceNode(path="/dev/same", permissions="r")],
        mounts=[Mount(host_path="/a", container_path="/lib", options=["rbind", "ro", "nosuid"])],
    )
    second = ContainerEdits(
        env=["CARD=b"], mounts=[Mount(host_path="/b", container_path="/lib", options=["bind"])]
    )
    answer = answers.plain([given("a", first), given("b", second)])
    assert dict(answer.envs) == {"CARD": "b", "SIZE": "x=y", "EMPTY": ""}
    nodes = [(n.container_path, n.host_path, n.permissions) for n in answer.devices]
    assert nodes == [("/dev/card", "/dev/null", "rwm"), ("/dev/same", "/dev/same", "r")]
    assert [(m.host_path, m.read_only) for m in answer.mounts] == [("/b", False)]
    assert not answer.cdi_devices


def test_a_device_without_edits_needs_nothing():
    record = Prepared("uid", "", "a", (), (), spec=NO_SPEC, resource=NAME)
    assert answers.plain([record]) == answers.Response()


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        (ContainerEdits(hooks=[Hook(hook_name="prestart", path="/x")]), "the prestart hook /x"),
        (ContainerEdits(additional_gids=[44]), "group 44"),
        (
            ContainerEdits(net_devices=[NetDevice(host_interface_name="eth1", name="net0")]),
            "network interface eth1",
        ),
        (
            ContainerEdits(mounts=[Mount(host_path="tmpfs", container_path="/t", type="tmpfs")]),
            "mount /t with tmpfs",
        ),
        (
            ContainerEdits(
                mounts=[Mount(host_path="/a", container_path="/t", options=["rshared", "bind"])]
            ),
            "mount /t with rshared",
        ),
        (
            ContainerEdits(device_nodes=[msgspec.structs.replace(NULL, gid=44)]),
            "device node /dev/card with an owner or a mode of its own",
        ),
        (
            ContainerEdits(device_nodes=[msgspec.structs.replace(NULL, file_mode=0o600)]),
            "device node /dev/card with an owner or a mode of its own",
        ),
    ],
    ids=["hook", "group", "network", "tmpfs", "propagation", "owner", "mode"],
)
def test_what_plain_words_cannot_say_is_refused(given, edits, told):
    with pytest.raises(HostError) as refused:
        answers.plain([given("a", edits)])
    assert str(refused.value) == (
        f"claim {NAME}/a: cannot be given without CDI, for its container needs {told}; use a runtime with CDI and set"
        " DEVICE_PLUGIN_ANSWER=cdi"
    )
