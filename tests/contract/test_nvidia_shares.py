"""GPUs that several claims share in turns: what is published, allocated as Kubernetes does, and fits beside whom."""

from __future__ import annotations

import asyncio

import pytest
from nvidia_pods import node
from nvidia_world import API, NODE, error, nvidia, slices_of

__all__ = ["node", "nvidia"]

CLASSES = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.nvidia.com}
spec:
  selectors:
  - cel: {expression: "device.driver == 'gpu.nvidia.com'"}
"""
POD = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {{name: {name}}}
spec:
  devices:
    requests:
    - name: gpu
      exactly:
        deviceClassName: gpu.nvidia.com
        capacity: {{requests: {requests}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  resourceClaims:
  - {{name: gpu, resourceClaimName: {name}}}
  containers:
  - name: main
    image: cuda
    command: [sleep, "1000"]
    resources: {{claims: [{{name: gpu}}]}}
"""


def waits_for_devices(pod):
    """Whether the scheduler has looked for a node for it, and found none."""
    told = pod.get("status", {}).get("conditions", ())
    return any((c["type"], c.get("reason")) == ("PodScheduled", "Unschedulable") for c in told)


@pytest.fixture
def pod(testbed, tmp_path):
    """Make a claim for parts of a GPU, and its pod; returns device and what was consumed, None if it stays pending."""

    async def run(name, phase="Running", **requests):
        asked = "{" + ", ".join(f"{k}: {v}" for k, v in requests.items()) + "}"
        (tmp_path / f"{name}.yaml").write_text(POD.format(name=name, requests=asked))
        await testbed.apply(tmp_path / f"{name}.yaml")
        if phase == "Pending":
            await testbed.until("pods", name, waits_for_devices)
        else:
            await testbed.pod(name, phase)
        claim = await testbed.api.get("resourceclaims", name, "default")
        allocation = claim.get("status", {}).get("allocation")
        if allocation is None:
            return None
        (result,) = allocation["devices"]["results"]
        return result["device"], result.get("consumedCapacity", {})

    return run


async def test_equal_shares_are_given_until_none_is_left(testbed, node, pod):
    await node("t4x1", NVIDIA_SHARES="3")
    for name in ("a", "b", "c"):
        device, consumed = await pod(name)
        assert (device, consumed["shares"]) == ("gpu-0", "1")
    assert await pod("d", phase="Pending") is None
    await testbed.delete("pods", "b")
    await testbed.pod("d", "Running")
    assert await pod("e", phase="Pending", shares=2) is None


async def test_memory_is_given_in_whole_mebibytes_and_a_claim_that_says_nothing_gets_all(node, pod):
    await node("t4x1", NVIDIA_SHARES="memory")
    _, consumed = await pod("some", memory="5000000000")
    assert consumed["memory"] == "4769Mi"
    assert await pod("all", phase="Pending") is None
    _, consumed = await pod("rest", memory=f"{15360 - 4769}Mi")
    assert consumed["memory"] == f"{15360 - 4769}Mi"
    assert await pod("none", phase="Pending", memory="1Mi") is None


async def test_multiprocessors_cannot_be_asked_for_where_nothing_holds_programs_to_them(node, pod):
    await node("h100x8", NVIDIA_SHARES="memory")
    assert await pod("memory", memory="8Gi")
    assert await pod("sms", phase="Pending", memory="8Gi", sms=8) is None
    assert await pod("named", phase="Pending", memory="8Gi", multiprocessors=8) is None


async def test_only_the_gpus_that_are_named_are_shared(node, testbed):
    await node("h100x8", NVIDIA_SHARES="2", NVIDIA_SHARED_GPUS="1")
    while not (slices := (await testbed.api.list("resourceslices")).items):  # noqa: ASYNC110 (another process publishes)
        await asyncio.sleep(0.02)
    devices = {d["name"]: d for one in slices for d in one["spec"]["devices"]}
    assert [n for n, d in devices.items() if d.get("allowMultipleAllocations")] == ["gpu-1"]
    assert devices["gpu-1"]["attributes"]["smEnforcement"] == {"string": "none"}
    assert "smEnforcement" not in devices["gpu-0"]["attributes"]


def share(device, number, **consumed):
    """One result of an allocation of a shared device."""
    return {
        "driver": "gpu.nvidia.com",
        "pool": NODE,
        "device": device,
        "shareID": f"0000000{number}-1111-4222-8333-444444444444",
        "consumedCapacity": {name: str(amount) for name, amount in consumed.items()},
    }


async def claimed(nvidia, *results, parameters=None):
    opaque = {"opaque": {"driver": "gpu.nvidia.com", "parameters": parameters}}
    config = [{"source": "FromClaim", "requests": [], **opaque}] if parameters else []
    return await nvidia.claim(*results, config=config)


async def test_turns_on_a_shared_gpu_are_of_one_length_and_end_with_the_last_who_set_it(nvidia):
    host = nvidia.build("h100x8")
    host.gpus[0].state.compute_mode = 3
    driver = await nvidia.serve(NVIDIA_SHARES="4")
    one = await claimed(nvidia, share("gpu-0", 1, shares=1), parameters=slices_of("Long"))
    two = await claimed(nvidia, share("gpu-0", 2, shares=1), parameters=slices_of("Long"))
    plain = await claimed(nvidia, share("gpu-0", 3, shares=1))
    other = await claimed(nvidia, share("gpu-0", 4, shares=1), parameters=slices_of("Short"))
    for claim in (one, two, plain):
        assert await error(driver.prepare, claim) == ""
    assert host.gpus[0].state.compute_mode == 0
    said = await error(driver.prepare, other)
    assert "timeSlicingConfig.interval: turns on it are Long for default/" in said
    assert await error(driver.unprepare, other) == ""
    set_to = [call.split()[-1] for call in host.smi_calls]
    assert set_to == ["3", "3"]
    assert await error(driver.unprepare, one) == ""
    assert len(host.smi_calls) == 2
    assert await error(driver.unprepare, two) == ""
    assert host.smi_calls[2].split()[-1] == "0"
    assert host.gpus[0].state.compute_mode == 0  # one is left whose programs take turns
    assert await error(driver.unprepare, plain) == ""
    assert len(host.smi_calls) == 3
    assert host.gpus[0].state.compute_mode == 3


async def test_the_compute_mode_is_set_back_with_the_last_share_whoever_came_first(nvidia):
    host = nvidia.build("t4x1")
    host.gpus[0].state.compute_mode = 3
    driver = await nvidia.serve(NVIDIA_SHARES="4")
    claims = [await claimed(nvidia, share("gpu-0", number, shares=1)) for number in (1, 2, 3)]
    for claim in claims:
        assert await error(driver.prepare, claim) == ""
    for claim in claims[:2]:
        assert await error(driver.unprepare, claim) == ""
        assert host.gpus[0].state.compute_mode == 0
    assert await error(driver.unprepare, claims[2]) == ""
    assert host.gpus[0].state.compute_mode == 3


async def test_all_shares_of_a_claim_on_a_gpu_count_and_agree(nvidia):
    nvidia.build("t4x1")
    driver = await nvidia.serve(NVIDIA_SHARES="4")
    held = await claimed(nvidia, share("gpu-0", 1, shares=2))
    assert await error(driver.prepare, held) == ""
    both = await claimed(nvidia, *(share("gpu-0", number, shares=1) for number in (2, 3)))
    three = await claimed(nvidia, share("gpu-0", 4, shares=1), share("gpu-0", 5, shares=2))
    assert "3 of 4 shares were given to it, and 2 are still" in await error(driver.prepare, three)
    assert await error(driver.prepare, both) == ""
    for claim in (held, both):
        assert await error(driver.unprepare, claim) == ""
    assert await error(driver.prepare, three) == ""


async def test_what_was_taken_under_other_settings_may_be_all_there_is(nvidia):
    nvidia.build("t4x1")
    driver = await nvidia.serve(NVIDIA_SHARES="4")
    old = await claimed(nvidia, share("gpu-0", 1, shares=1))
    assert await error(driver.prepare, old) == ""
    driver.process.kill()
    await driver.ended()
    driver = await nvidia.serve(NVIDIA_SHARES="memory")
    new = await claimed(nvidia, share("gpu-0", 2, memory="15360Mi"))
    assert "are still in the hands of default/" in await error(driver.prepare, new)
    assert await error(driver.unprepare, old) == ""
    assert await error(driver.prepare, new) == ""


async def test_a_claim_keeps_its_part_of_a_gpu_when_the_number_of_shares_changes(nvidia):
    nvidia.build("t4x1")
    boot = nvidia.root / "boot"
    boot.write_text("11111111-1111-4111-8111-111111111111")
    driver = await nvidia.serve(NVIDIA_SHARES="4", BOOT_ID_FILE=str(boot))
    old = [await claimed(nvidia, share("gpu-0", n, shares=1)) for n in (1, 2, 3)]
    for claim in old:
        assert await error(driver.prepare, claim) == ""
    await driver.stop(kill=True)
    driver = await nvidia.serve(NVIDIA_SHARES="8", BOOT_ID_FILE=str(boot))
    two, one = [await claimed(nvidia, share("gpu-0", 3 + n, shares=n)) for n in (2, 1)]
    more = await claimed(nvidia, share("gpu-0", 6, shares=1))
    assert await error(driver.prepare, two) == ""
    said = await error(driver.prepare, one)
    assert "1 of 8 shares were given to it, and 8 are still in the hands of default/" in said
    for claim in old:
        assert f"default/{claim.name} (1 of 4 shares when NVIDIA_SHARES was 4)" in said
    assert f"default/{two.name}" in said
    assert await error(driver.unprepare, old[0]) == ""
    assert await error(driver.prepare, one) == ""
    await driver.stop(kill=True)
    boot.write_text("22222222-2222-4222-8222-222222222222")
    driver = await nvidia.serve(NVIDIA_SHARES="2", BOOT_ID_FILE=str(boot))
    for claim in (*old[1:], two, one):  # a reboot takes nobody's part away
        assert await error(driver.prepare, claim) == ""
    assert "1 of 2 shares were given to it, and 1.75 are" in await error(driver.prepare, more)


async def test_a_share_that_others_have_not_given_back_yet_is_refused_until_they_have(nvidia):
    nvidia.build("t4x1")
    driver = await nvidia.serve(NVIDIA_SHARES="2")
    old = await claimed(nvidia, share("gpu-0", 1, shares=2))
    new = await claimed(nvidia, share("gpu-0", 2, shares=1))
    assert await error(driver.prepare, old) == ""
    said = await error(driver.prepare, new)
    assert "1 of 2 shares were given to it, and 2 are still in the hands of default/" in said
    assert await error(driver.prepare, await nvidia.gpus(admin=["gpu-0"])) == ""
    assert await error(driver.unprepare, old) == ""
    assert await error(driver.prepare, new) == ""


async def test_shares_of_a_gpu_that_is_not_shared_any_more_are_not_prepared(nvidia):
    nvidia.build("h100x8")
    driver = await nvidia.serve()
    claim = await claimed(nvidia, share("gpu-0", 1, memory="8Gi"))
    assert "its memory cannot be given now: NVIDIA_SHARES was changed" in await error(
        driver.prepare, claim
    )
    assert await error(driver.unprepare, claim) == ""


async def test_mps_is_refused_where_nobody_runs_its_daemons(nvidia):
    nvidia.build("h100x8")
    driver = await nvidia.serve(NVIDIA_SHARES="2")
    wanted = {"apiVersion": API, "kind": "GpuConfig", "sharing": {"strategy": "MPS"}}
    claim = await claimed(nvidia, share("gpu-0", 1, shares=1), parameters=wanted)
    assert "no MPS daemons are run on this node" in await error(driver.prepare, claim)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"NVIDIA_SHARES": "sms"}, "nothing but MPS holds programs to multiprocessors"),
        ({"NVIDIA_SHARES": "1"}, "must be 2 to 1000 shares"),
        ({"NVIDIA_SHARES": "cores"}, "must be memory, sms, both"),
        ({"NVIDIA_SHARES": "60", "NVIDIA_MPS": "on"}, "MPS serves 48 programs of a GPU at most"),
        ({"NVIDIA_MPS": "maybe"}, "must be on or off"),
        ({"NVIDIA_MPS_DIR": "run/mps"}, "must be an absolute path"),
    ],
)
async def test_settings_that_cannot_be_stop_the_start(nvidia, environ, says):
    nvidia.build("t4x1")
    driver = await nvidia.serve(**environ)
    assert await driver.ended() == 2
    assert says in driver.logged()
