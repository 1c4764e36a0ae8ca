import gzip
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from pydra_core import _proto

GENERATED = Path(_proto.__file__).parent
MODULES = sorted(path.stem for path in GENERATED.glob("*_pb2.py"))
DATA = Path(__file__).parent / "data" / "kubelet-1.36.2.jsonl.gz"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"

METHODS = {
    "/pluginregistration.Registration/GetInfo": "InfoRequest -> PluginInfo",
    "/pluginregistration.Registration/NotifyRegistrationStatus": (
        "RegistrationStatus -> RegistrationStatusResponse"
    ),
    "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources": (
        "NodePrepareResourcesRequest -> NodePrepareResourcesResponse"
    ),
    "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources": (
        "NodeUnprepareResourcesRequest -> NodeUnprepareResourcesResponse"
    ),
    "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodePrepareResources": (
        "NodePrepareResourcesRequest -> NodePrepareResourcesResponse"
    ),
    "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodeUnprepareResources": (
        "NodeUnprepareResourcesRequest -> NodeUnprepareResourcesResponse"
    ),
    "/v1alpha1.DRAResourceHealth/NodeWatchResources": (
        "NodeWatchResourcesRequest -> stream NodeWatchResourcesResponse"
    ),
    "/v1.DRAResourceHealth/NodeWatchResources": (
        "NodeWatchResourcesRequest -> stream NodeWatchResourcesResponse"
    ),
    "/v1beta1.Registration/Register": "RegisterRequest -> Empty",
    "/v1beta1.DevicePlugin/GetDevicePluginOptions": "Empty -> DevicePluginOptions",
    "/v1beta1.DevicePlugin/ListAndWatch": "Empty -> stream ListAndWatchResponse",
    "/v1beta1.DevicePlugin/GetPreferredAllocation": (
        "PreferredAllocationRequest -> PreferredAllocationResponse"
    ),
    "/v1beta1.DevicePlugin/Allocate": "AllocateRequest -> AllocateResponse",
    "/v1beta1.DevicePlugin/PreStartContainer": (
        "PreStartContainerRequest -> PreStartContainerResponse"
    ),
    "/v1.PodResourcesLister/List": "ListPodResourcesRequest -> ListPodResourcesResponse",
    "/v1.PodResourcesLister/GetAllocatableResources": (
        "AllocatableResourcesRequest -> AllocatableResourcesResponse"
    ),
    "/v1.PodResourcesLister/Get": "GetPodResourcesRequest -> GetPodResourcesResponse",
}

# One process that loads every module, in the worst order for a clash, and prints what it serves.
LOAD_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    module = importlib.import_module(f"pydra_core._proto.{name}")
    for service in module.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            stream = "stream " if method.server_streaming else ""
            output = f"{method.input_type.name} -> {stream}{method.output_type.name}"
            print(f"/{service.full_name}/{method.name}", output, sep="\\t")
"""


def recorded() -> Iterator[dict]:
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def decode(row: dict) -> Message:
    method = (
        descriptor_pool.Default().FindServiceByName(row["service"]).FindMethodByName(row["method"])
    )
    kind = method.input_type if row["side"] == "request" else method.output_type
    return message_factory.GetMessageClass(kind).FromString(bytes.fromhex(row["hex"]))


@pytest.fixture(autouse=True)
def _every_module_is_loaded() -> None:
    for name in MODULES:
        __import__(f"{_proto.__name__}.{name}")


@pytest.mark.parametrize("order", [MODULES, MODULES[::-1]], ids=["forward", "backward"])
def test_all_modules_load_in_one_process_and_serve_the_kubelets_paths(order: list[str]) -> None:
    command = [sys.executable, "-W", "error", "-c", LOAD_ALL, *order]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert dict(line.split("\t") for line in done.stdout.splitlines()) == METHODS


def test_every_recorded_message_decodes_to_what_the_recorder_saw() -> None:
    for row in recorded():
        seen = json_format.MessageToDict(decode(row), preserving_proto_field_name=True)
        assert seen == row["body"], row


def test_every_recorded_message_has_no_unknown_field_and_encodes_to_the_same_bytes() -> None:
    for row in recorded():
        message = decode(row)
        message.DiscardUnknownFields()
        again = message.SerializeToString()
        if len(row["body"].get("claims", ())) > 1 and row["side"] == "response":
            # A map of several claims: protobuf leaves the order of its entries open.
            assert sorted(again) == sorted(bytes.fromhex(row["hex"])), row
        else:
            assert again.hex() == row["hex"], row


def test_the_recordings_cover_both_sides_of_every_call_a_driver_serves() -> None:
    served = {path for path in METHODS if "PodResources" not in path and "/v1." not in path}
    sides = {(f"/{row['service']}/{row['method']}", row["side"]) for row in recorded()}
    assert sides >= {(path, side) for path in served for side in ("request", "response")}


def test_the_health_messages_of_1_37_encode_like_those_of_1_36() -> None:
    for row in recorded():
        if row["service"] == "v1alpha1.DRAResourceHealth":
            newer = decode(row | {"service": "v1.DRAResourceHealth"})
            assert newer.SerializeToString().hex() == row["hex"]


def test_a_share_survives_v1_and_is_no_field_of_v1beta1() -> None:
    from pydra_core._proto import dra_v1_pb2, dra_v1beta1_pb2

    device = dra_v1_pb2.Device(device_name="dev-0", share_id="")
    again = dra_v1_pb2.Device.FromString(device.SerializeToString())
    assert again.HasField("share_id")
    assert not dra_v1_pb2.Device(device_name="dev-0").HasField("share_id")
    assert "share_id" not in dra_v1beta1_pb2.Device.DESCRIPTOR.fields_by_name


def test_the_generator_is_as_old_as_the_lower_end_of_our_protobuf_range() -> None:
    dependencies = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    declared = next(entry for entry in dependencies if entry.startswith("protobuf"))
    for name in MODULES:
        text = (GENERATED / f"{name}.py").read_text()
        (version,) = re.findall(r"^# Protobuf Python Version: (\S+)$", text, re.MULTILINE)
        assert declared.startswith(f"protobuf>={version},")
