"""What pods have of extended resources, as taints; and devices that are partly the same silicon."""

import pytest

from pydra_core import Device
from pydra_core._legacy.marks import Silicon, legacy_taints
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import DeviceUse, Intent, Prepared, Released
from pydra_core._values import Consumption, Pool, Taint
from pydra_core.errors import DeviceBusyError

NODE = "node-1"
GPU = "acme.example/gpu"
TAINT = Taint(key="card.acme.example/device-plugin", value="gpu")


def uses(*devices, share="", admin=False):
    return tuple(DeviceUse(pool=NODE, device=d, share_id=share, admin=admin) for d in devices)


def pod_has(name, *devices, share=""):
    return Prepared(f"uid-{name}", "", name, uses(*devices, share=share), (), resource=GPU)


def claim_has(name, *devices, admin=False):
    return Prepared(f"uid-{name}", "default", name, uses(*devices, admin=admin), ())


def ledger(*records):
    made = Ledger()
    for record in records:
        made.apply(record)
    return made


def drawing(*names, of):
    """Devices that draw on one counter set."""
    return [Device(n, consumes=(Consumption(of, {"slices": "1"}),)) for n in names]


@pytest.fixture
def silicon():
    """Two GPUs that can be cut in parts, and one that cannot."""
    made = Silicon()
    whole = drawing("gpu-0", "part-0a", "part-0b", of="gpu-0") + drawing("gpu-1", of="gpu-1")
    made.found([Pool(NODE, (*whole, Device("gpu-2")))])
    return made


def tainted(*records, silicon):
    found = legacy_taints("card.acme.example", ledger(*records), silicon)
    assert set(found.values()) <= {(TAINT,)}
    return {device for pool, device in found if pool == NODE}


def test_what_pods_have_is_tainted_and_what_claims_have_is_not(silicon):
    records = [pod_has("a", "gpu-2"), claim_has("b", "gpu-1")]
    assert tainted(*records, silicon=silicon) == {"gpu-2"}
    assert tainted(*records, Released("uid-a"), silicon=silicon) == set()


def test_what_a_pod_is_just_getting_is_tainted_too(silicon):
    begun = Intent("uid-a", "", "gpu-2", uses("gpu-2"), resource=GPU)
    assert tainted(begun, silicon=silicon) == {"gpu-2"}


def test_one_of_several_shares_taints_the_device_until_the_last_is_gone(silicon):
    records = [pod_has(f"gpu-2::{n}", "gpu-2", share=f"s{n}") for n in range(2)]
    assert tainted(*records, silicon=silicon) == {"gpu-2"}
    assert tainted(*records, Released("uid-gpu-2::0"), silicon=silicon) == {"gpu-2"}


@pytest.mark.parametrize("order", [1, -1])
def test_the_taint_of_a_device_in_shares_of_several_resources_stays_the_same(silicon, order):
    """Whichever was given last: each change of a taint writes a slice."""
    records = [
        Prepared(f"uid-{kind}", "", kind, uses("gpu-2", share=kind), (), resource=f"{GPU}.{kind}")
        for kind in ("large", "small")
    ]
    ((taint,),) = legacy_taints("card.acme.example", ledger(*records[::order]), silicon).values()
    assert taint.value == "gpu.large"


def test_devices_that_draw_on_the_same_counters_are_tainted_together(silicon):
    assert tainted(pod_has("a", "part-0a"), silicon=silicon) == {"gpu-0", "part-0a", "part-0b"}


def test_a_claim_is_refused_a_part_of_what_a_pod_has_and_the_holder_is_named(silicon):
    held = ledger(pod_has("GPU-0", "gpu-0"))
    with pytest.raises(DeviceBusyError, match="a pod, as GPU-0 of the extended resource") as raised:
        silicon.check_free(held, uses("part-0b"), "")
    assert raised.value.fields == {"device": "part-0b", "holder": "uid-GPU-0"}
    silicon.check_free(held, uses("gpu-1", "gpu-2"), "")
    silicon.check_free(held, uses("part-0b", admin=True), "")


def test_a_pod_is_refused_a_part_of_what_a_claim_has_and_the_holder_is_named(silicon):
    held = ledger(claim_has("b", "part-0a"))
    with pytest.raises(DeviceBusyError, match=r"claim default/b .* free once"):
        silicon.check_free(held, uses("gpu-0"), GPU)
    silicon.check_free(ledger(claim_has("b", "part-0a", admin=True)), uses("gpu-0"), GPU)


def test_within_one_side_the_counters_are_its_own_business(silicon):
    silicon.check_free(ledger(claim_has("b", "part-0a")), uses("part-0b"), "")
    silicon.check_free(ledger(pod_has("a", "part-0a")), uses("part-0b"), GPU)
    silicon.check_free(ledger(pod_has("a", "part-0a")), uses("part-0b"), "acme.example/part")
