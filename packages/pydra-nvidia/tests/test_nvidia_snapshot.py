"""Each described machine as the driver sees it: the real pynvml on the stub, in the shield's worker."""

from __future__ import annotations

from collections import Counter

import pytest
from nvidia_hosts import HOSTS, asked, fake_host

from pydra_core.errors import VendorError
from pydra_nvidia import reading
from pydra_nvidia_fake import Description
from pydra_nvidia_fake.filling import ancestor, roots
from pydra_nvidia_fake.trouble import Code

__all__ = ["asked", "fake_host"]

MIB = 1 << 20


@pytest.mark.parametrize("name", HOSTS)
async def test_every_gpu_of_a_machine_is_read_without_a_fault(asked, name):
    machine = asked(name)
    described = Description.load(name)
    found = await machine.snapshot()
    assert found.host.driver == described.driver
    assert found.host.cuda == f"{described.cuda // 1000}.{described.cuda % 1000 // 10}"
    assert [gpu.faults + gpu.condition.faults for gpu in found.gpus] == [()] * len(described.bus)
    numa, pcie = described.topology.numa, roots(described)
    for index, (gpu, fake) in enumerate(zip(found.gpus, machine.host.gpus, strict=True)):
        assert (gpu.index, gpu.minor, gpu.uuid) == (index, fake.minor, fake.uuid)
        assert (gpu.bus_id, gpu.pcie_root, gpu.numa_node) == (
            fake.bus_id,
            pcie[index],
            numa[index],
        )
        assert gpu.name == described.model["name"]
        assert gpu.compute_capability == "{}.{}".format(*described.model["capability"])
        assert gpu.memory is not None
        assert gpu.memory.total == described.model["memory"] * MIB
        assert gpu.memory.reserved == 500 * MIB
        assert (gpu.mig is not None) == ("mig" in described.model)
        assert gpu.partitioned == (index in described.partitioned)
        assert not gpu.lost
    assert found.by_uuid.keys() == {fake.uuid for fake in machine.host.gpus}
    assert found.by_minor.keys() == set(described.minors)
    for i, row in enumerate(found.ancestors):
        others = [ancestor(described, i, j) if i != j else None for j in range(len(row))]
        assert row == tuple(others)
    lead_where_described(found, described)


def lead_where_described(found, described):
    """Direct links to each GPU as many as the matrix has; links to switches count for all."""
    for gpu, row in zip(found.gpus, described.topology.matrix, strict=True):
        direct = Counter(link.remote_bus_id for link in gpu.links if link.remote == "gpu")
        switched = sum(link.remote == "switch" for link in gpu.links)
        for other, word in zip(found.gpus, row, strict=True):
            links = int(word[2:]) if word.startswith("NV") else 0
            assert direct[other.bus_id] + (switched if other is not gpu else 0) == links


async def test_words_are_those_of_upstream(asked):
    volta, turing, ada, blackwell = [
        (await asked(name).snapshot()).gpus[0]
        for name in ("dgx1-v100", "t4x1", "l40sx4", "gb200x4")
    ]
    assert (volta.brand, volta.architecture) == ("Tesla", "Volta")
    assert (turing.brand, turing.architecture) == ("Nvidia", "Turing")
    assert (ada.architecture, ada.addressing_mode) == ("Ada Lovelace", "HMM")
    assert (blackwell.architecture, blackwell.addressing_mode) == ("Blackwell", "ATS")
    assert (blackwell.compute_mode, blackwell.virtualization) == ("default", "none")
    assert blackwell.links[0].version == "5.0"


async def test_what_a_gpu_does_not_have_is_none_and_no_fault(asked):
    (old,) = (await asked("t4x1").snapshot()).gpus
    card = (await asked("phb-4").snapshot()).gpus[0]
    assert (old.mig, old.mig_most, old.links, old.fabric) == (None, None, (), None)
    assert (old.module_id, old.addressing_mode) == (None, None)
    assert (old.condition.remapped_rows, old.condition.recovery) == (None, None)
    assert old.condition.active_links is None
    assert (card.serial, card.board_part, card.ecc) == (None, None, None)
    assert card.condition.ecc.corrected_volatile is None
    assert old.faults == card.faults == ()


async def test_partitions_are_read_with_profile_and_place(asked):
    machine = asked("mixed-mig")
    whole, seven, unequal, empty = (await machine.snapshot()).gpus
    assert whole.mig_devices == empty.mig_devices == ()
    assert (whole.partitioned, empty.partitioned, empty.mig_most) == (False, True, 7)
    assert [part.profile for part in seven.mig_devices] == ["1g.10gb"] * 6 + ["1g.10gb+me"]
    assert [part.placement.start for part in seven.mig_devices] == [*range(7)]
    assert tuple(part.uuid for part in unequal.mig_devices) == machine.host.gpus[2].mig_uuids
    shapes = [
        (p.profile, p.profile_id, p.placement.start, p.gpu_instance, p.compute_instance)
        for p in unequal.mig_devices
    ]
    assert shapes == [
        ("3g.40gb", 9, 4, 1, 0),
        ("1c.2g.20gb", 14, 0, 3, 0),
        ("1c.2g.20gb", 14, 0, 3, 1),
        ("1g.20gb", 15, 2, 4, 0),
    ]
    first = unequal.mig_devices[0]
    assert (first.memory, first.multiprocessors, first.copy_engines) == (40192 * MIB, 42, 3)
    assert (first.decoders, first.encoders, first.jpeg_engines, first.ofa_engines) == (2, 0, 0, 0)
    assert (first.gpu_slices, first.compute_slices) == (3, 3)


async def test_without_the_right_to_see_instances_names_still_tell_the_profile(asked):
    machine = asked("mixed-mig")
    machine.host.fail("nvmlDeviceGetGpuInstanceById", Code.NO_PERMISSION)
    parts = (await machine.snapshot()).gpus[2].mig_devices
    assert [part.profile for part in parts] == ["3g.40gb", "1c.2g.20gb", "1c.2g.20gb", "1g.20gb"]
    assert parts[0].placement is None
    assert parts[0].faults == ("nvmlDeviceGetGpuInstanceById: Insufficient Permissions (4)",)


async def test_a_mode_that_waits_for_a_reset_shows_both_sides(asked):
    machine = asked("a100-40x8")
    machine.host.gpus[5].state.mig_pending = 1
    gpu = (await machine.snapshot()).gpus[5]
    assert (gpu.partitioned, gpu.mig.pending, gpu.mig.settled) == (False, True, False)


async def test_the_fabric_names_its_domain_only_if_there_is_one(asked):
    rack = (await asked("gb200x4").snapshot()).gpus[0].fabric
    board = (await asked("h100x8").snapshot()).gpus[0].fabric
    older = (await asked("h20x8").snapshot()).gpus[0].fabric
    assert rack.clique_id == "7a9c3e11-52d4-4c0b-9c1e-0d4be1f2a6d7.3"
    assert (board.state, board.cluster_uuid, board.clique_id) == ("completed", None, None)
    assert older == board  # by the older structure: this driver has no newer one
    machine = asked("gb200x4")
    machine.host.gpus[1].state.fabric_state = 2
    pending = (await machine.snapshot()).gpus[1].fabric
    assert (pending.state, pending.clique_id) == ("in_progress", None)


async def test_a_driver_without_the_newer_memory_structure_tells_no_reserve(asked):
    machine = asked("t4x1")
    machine.host.fail("nvmlDeviceGetMemoryInfo_v2", Code.FUNCTION_NOT_FOUND)
    (gpu,) = (await machine.snapshot()).gpus
    assert (gpu.memory.total, gpu.memory.reserved, gpu.faults) == (15360 * MIB, None, ())


async def test_a_machine_without_gpus_has_none(asked):
    machine = asked("t4x1")
    machine.host.state.n_gpus = 0
    assert (await machine.snapshot()).gpus == ()
    assert await machine.health() == ()


def test_what_no_sane_worker_sends_is_refused(tmp_path):
    good = {"driver": "1", "nvml": "1", "cuda": "1.0"}
    for sent in (None, {"host": good}, {"host": good, "gpus": [{"index": "0"}]}):
        with pytest.raises(VendorError, match="NVML worker: snapshot sent what cannot be: "):
            reading.snapshot(sent, tmp_path)
    with pytest.raises(VendorError, match="unknown field"):
        reading.snapshot({"host": good | {"extra": 1}, "gpus": []}, tmp_path)
    assert reading.snapshot({"host": good, "gpus": []}, tmp_path).gpus == ()
