"""The pages on NVIDIA's GPUs: examples done as they say, tables equal to what they are about."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import shlex
import sys
from importlib.resources import files
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import yaml
from shown_pages import execute, items

from pydra_nvidia.devices import SCHEMA
from pydra_nvidia.mps.probing import _LADDER
from pydra_nvidia.parameters import Parameters
from pydra_nvidia.settings import NvidiaSettings
from pydra_nvidia.xids import XidClass, Xids
from pydra_nvidia_fake import FakeHost

ROOT = Path(__file__).parents[2]
README = (ROOT / "packages/pydra-nvidia/README.md").read_text(encoding="utf-8")
FROM_GO = (ROOT / "docs/user/nvidia-from-go-driver.md").read_text(encoding="utf-8")
ON_DEMAND = (ROOT / "docs/user/gpus-on-demand.md").read_text(encoding="utf-8")
SHARED = (ROOT / "docs/user/gpus-shared.md").read_text(encoding="utf-8")
SICK = (ROOT / "docs/user/gpu-sick.md").read_text(encoding="utf-8")
SOURCES = ROOT / "packages/pydra-nvidia/src/pydra_nvidia"
JUDGING = "".join((SOURCES / name).read_text("utf-8") for name in ("judging.py", "tenancy.py"))


def rows(text, first):
    """Rows of the table whose head begins with these words."""
    _, _, rest = text.partition(f"| {first} |")
    table = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in table]


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture
async def machine(testbed, tmp_path):
    """Eight H100s in the folder `machine`, their driver on the testbed's node, and NVIDIA's classes."""
    await testbed.apply(Path(str(files("pydra_nvidia") / "demo" / "1-classes.yaml")))
    host = FakeHost.build("h100x8", tmp_path / "machine")
    environ = {"NVIDIA_HOST_ROOT": str(host.root)}
    await testbed.driver([sys.executable, "-m", "pydra_nvidia", "run"], environ=environ)
    return host


def pod(claim):
    """A pod with a claim that exists."""
    container = {"name": "c", "image": "none", "command": ["sleep", "600"]}
    container["resources"] = {"claims": [{"name": "gpu"}]}
    spec = {
        "containers": [container],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": claim}],
    }
    metadata = {"name": claim, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def the_claim():
    (claim,) = [yaml.safe_load(text) for name, text in items(FROM_GO) if name == "claim.yaml"]
    return claim


async def test_a_claim_for_nvidias_driver_is_served_unchanged(testbed, machine):
    await testbed.apply(the_claim(), pod("from-there"))
    await testbed.pod("from-there", "Running")
    claim = await testbed.api.get("resourceclaims", "from-there", "default")
    found = {r["request"]: r["device"] for r in claim["status"]["allocation"]["devices"]["results"]}
    assert found == {"shared": "gpu-0", "own": "gpu-1"}
    (call,) = machine.smi_calls
    assert call == f"compute-policy -i {machine.gpus[0].uuid} --set-timeslice 3"


async def test_what_a_node_does_not_do_is_told_in_the_words_of_the_page(testbed, machine):
    claim = the_claim()
    claim["metadata"]["name"] = "with-mps"
    parameters = claim["spec"]["devices"]["config"][0]["opaque"]["parameters"]
    parameters["sharing"] = {
        "strategy": "MPS",
        "mpsConfig": {
            "defaultActiveThreadPercentage": 50,
            "defaultPinnedDeviceMemoryLimit": "10Gi",
            "defaultPerDevicePinnedMemoryLimit": {"0": "5Gi"},
        },
    }
    await testbed.apply(claim, pod("with-mps"))
    (told,) = re.findall(r"<!-- told: MPS -->\n```text\n(.*)\n```", FROM_GO)
    while not any(told in text for call in testbed.calls for _, text in call.claim_errors):  # noqa: ASYNC110 (the kubelet asks)
        await asyncio.sleep(0.02)
    assert machine.smi_calls == ()


def test_every_attribute_and_capacity_is_in_the_table():
    told = {n for row in rows(FROM_GO, "name | of") for n in names(row[0])}
    slices = {f"memorySlice{n}" for n in range(8)}
    assert told | slices == SCHEMA.keys()


def test_every_kind_of_parameters_is_in_the_table():
    told = {n for row in rows(FROM_GO, "kind | sharing") for n in names(row[0])}
    assert {kind.__name__ for kind in get_args(Parameters)} <= told


def test_settings_on_our_side_are_there():
    values = yaml.safe_load((ROOT / "charts/dra-driver/values.yaml").read_text(encoding="utf-8"))
    variables = {n for row in rows(README, "variable") for n in names(row[0])}
    for row in rows(FROM_GO, "value of NVIDIA's chart"):
        for name in names(row[1]):
            if name.startswith("NVIDIA_"):
                assert name in variables
            elif not name.startswith(("/", "v1")):
                found = values
                for part in name.split("."):
                    assert part in found, name
                    found = found[part]


def test_values_for_shares_are_the_charts():
    (values,) = [yaml.safe_load(text) for name, text in items(SHARED) if name == "values.yaml"]
    chart = ROOT / "charts/dra-driver"
    made = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    assert list(jsonschema.Draft7Validator(made).iter_errors(values)) == []
    default = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    assert all(values[key] != default[key] for key in values)


def test_whatever_can_hold_a_share_has_a_column_in_the_table_of_what_isolates_what():
    (head,) = [line for line in SHARED.splitlines() if line.startswith("| | ")]
    assert set(names(head)) == {rung for rung, *_ in _LADDER}


def test_every_variable_the_driver_reads_is_in_the_readme_and_no_other():
    read = set(re.findall(r"`(NVIDIA_[A-Z_]+)`:", NvidiaSettings.__doc__))
    assert len(read) == len(dataclasses.fields(NvidiaSettings))
    assert {n for row in rows(README, "variable") for n in names(row[0])} == {
        *read,
        "NVIDIA_HOST_ROOT",
    }


def test_the_values_for_fewer_rights_are_those_the_chart_is_tried_with():
    ((path, shown),) = re.findall(r"<!-- same as: (\S+) -->\n```yaml\n(.*?)```", README, re.DOTALL)
    kept = (ROOT / path).read_text(encoding="utf-8").splitlines(keepends=True)
    assert shown == "".join(line for line in kept if not line.startswith("#"))


def test_the_readmes_command_prints_what_it_shows(tmp_path):
    execute(list(items(README)), tmp_path)


async def test_an_xid_taints_its_gpu_as_the_page_shows(testbed, machine):
    (shown,) = re.findall(r"```yaml\n(taints:.*?)```", SICK, re.DOTALL)
    commands = re.findall(r"^\$ (pydra-nvidia-fake .*)$", SICK, re.MULTILINE)
    assert len(commands) == 2
    for command, wanted in zip(commands, (yaml.safe_load(shown)["taints"], None), strict=True):
        program = Path(sys.executable).with_name("pydra-nvidia-fake")
        arguments = shlex.split(command)[1:]
        process = await asyncio.create_subprocess_exec(program, *arguments, cwd=machine.root.parent)
        assert await process.wait() == 0
        if wanted:
            await testbed.until("resourceslices", "laptop-gpu.nvidia.com-0000", is_tainted(wanted), namespace="")  # fmt: skip


def is_tainted(wanted):
    """The condition that gpu-3 has these taints, and no other GPU any."""

    def holds(published):
        taints = {d["name"]: d.get("taints") for d in published["spec"]["devices"]}
        told = [{k: t[k] for k in ("key", "value", "effect")} for t in taints.pop("gpu-3") or ()]
        return told == wanted and not any(taints.values())

    return holds


def test_every_reason_is_in_the_table():
    told = {n for row in rows(SICK, "reason") for n in names(row[0])} - {"Xid<number>"}
    said = set(re.findall(r'Verdict\(\s*"(\w+)"|: \("(\w+)",', JUDGING))
    lost = set(re.findall(r'Verdict\(\s+"(\w+)"', JUDGING))
    assert told == {one or other for one, other in said} | lost


def test_xids_are_in_the_rows_of_their_classes():
    kinds = {
        "a program's own": XidClass.APPLICATION,
        "a notice": XidClass.NOTICE,
        "a reset": XidClass.RESET,
        "more than a reset": XidClass.BROKEN,
    }
    table = {row[0]: row[1] for row in rows(SICK, "class | XIDs")}
    assert table.keys() == kinds.keys()
    told = {number: kinds[name] for name, cell in table.items() for number in numbers(cell)}
    known = Xids()
    assert (
        told.items()
        >= {n: known.kind(n) for n in range(1, 1000) if known.kind(n) is not XidClass.RESET}.items()
    )
    assert {known.kind(number) for number in told} == set(XidClass)
    assert all(known.kind(number) is kind for number, kind in told.items())


def numbers(cell):
    """Numbers and ranges of a cell."""
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", cell):
        yield from range(int(first), int(last or first) + 1)


async def test_a_third_of_a_gpu_is_made_on_demand_as_shown(testbed, tmp_path):
    await testbed.apply(Path(str(files("pydra_nvidia") / "demo" / "1-classes.yaml")))
    host = FakeHost.build("h100x8", tmp_path / "machine")
    host.gpus[0].state.mig_current = host.gpus[0].state.mig_pending = 1
    environ = {"NVIDIA_HOST_ROOT": str(host.root), "NVIDIA_MIG": "dynamic"}
    await testbed.driver([sys.executable, "-m", "pydra_nvidia", "run"], environ=environ)
    (claim,) = [yaml.safe_load(text) for name, text in items(ON_DEMAND) if name == "claim.yaml"]
    less = {**claim, "metadata": {"name": "less", "namespace": "default"}}
    (shown,) = re.findall(r"`(device\.capacity\S+ ?\S*)`", ON_DEMAND)
    less["spec"] = yaml.safe_load(yaml.safe_dump(claim["spec"]))
    less["spec"]["devices"]["requests"][0]["exactly"]["selectors"][0]["cel"]["expression"] = shown
    found = []
    for one in (claim, less):
        name = one["metadata"]["name"]
        await testbed.apply(one, pod(name))
        await testbed.pod(name, "Running")
        there = await testbed.api.get("resourceclaims", name, "default")
        found += [r["device"] for r in there["status"]["allocation"]["devices"]["results"]]
    assert found == [*re.findall(r"`(gpu-0-mig\S+)`", ON_DEMAND), "gpu-0-mig-1g20gb-15-2"]
