from __future__ import annotations

import copy
import re

import pytest
from driver_world import CARDS, DRIVER
from hostile_strategies import bounded, damaged_documents, encode, junk, texts
from hostile_world import UID, allocated
from hypothesis import currently_in_test_context, event, given
from hypothesis import strategies as st

# Only when an example fails: it is then shown with its 10 KiB blobs.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

DEADLINE = 20
SECRET = "hunter2hunter2"

CONFIGURED = CARDS.replace(
    "class CardDriver",
    """
from typing import Literal

import msgspec


class Slot(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 1


class CardConfig(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["fast", "slow"] = "fast"
    label: str = ""
    slots: list[Slot] = []
    ratio: float = 1.0


class CardDriver""",
).replace("    async def discover", "    config = CardConfig\n\n    async def discover")

PARAMETERS = {"mode": "slow", "label": "l", "slots": [{"size": 2}], "ratio": 0.5}
CONFIG = {
    "source": "FromClaim",
    "requests": ["r0"],
    "opaque": {"driver": DRIVER, "parameters": PARAMETERS},
}
NAMED = "claim default/{}"


def document():
    body = allocated("NAME", "UID", "card-1", "card-2", config=[copy.deepcopy(CONFIG)])
    body["status"]["allocation"]["devices"]["results"][1] |= {
        "shareID": "0f0c8d5e-0000-4000-8000-000000000001",
        "adminAccess": False,
        "consumedCapacity": {"memory": "1Gi"},
        "bindingConditions": ["ready"],
    }
    return body


def claim_part(body):
    """The claim without what the driver never looks at, so that the damage hits what it does."""
    kept = {k: body[k] for k in ("metadata", "status")}
    kept["status"].pop("reservedFor")
    return kept


def filled(content, name, uid):
    """A document with the name and the UID of one claim, unless the damage took them."""
    return content.replace(b'"NAME"', encode(name)).replace(b'"UID"', encode(uid))


@pytest.fixture
async def served(hostile):
    """A driver that takes parameters, with one claim prepared which no hostile object may touch."""
    driver = await hostile.start(CONFIGURED)
    kept = hostile.plant("card-0", config=[CONFIG])
    hostile.kept = (kept, await driver.prepare(kept), hostile.spec_files())
    hostile.driver = driver
    return hostile


async def judge(world, make):
    """Prepare a hostile claim beside a kept and a fresh one, undo it, and return its answer."""
    driver, files = world.driver, world.others_files()
    kept, before, specs = world.kept
    bad, fresh = world.plant_bytes(make), world.plant("card-3", config=[CONFIG])
    answers = (await driver.prepare(bad, kept, fresh, seconds=DEADLINE)).claims
    assert set(answers) == {bad.uid, kept.uid, fresh.uid}
    assert answers[kept.uid] == before.claims[kept.uid]
    assert answers[fresh.uid].error == ""
    assert set(world.spec_files()) - set(specs) <= {
        f"{DRIVER}-claim_{uid}.json" for uid in (bad.uid, fresh.uid)
    }
    undone = (await driver.unprepare(bad, fresh)).claims
    assert [undone[c.uid].error for c in (bad, fresh)] == ["", ""]
    assert world.spec_files() == specs
    assert world.others_files() == files
    assert driver.process.returncode is None
    assert "Traceback" not in driver.logged()
    answer = answers[bad.uid]
    assert bool(answer.error) != bool(answer.devices)
    if currently_in_test_context():
        event("refused" if answer.error else "prepared")
    if answer.error:
        assert NAMED.format(bad.name) in answer.error
        assert "\n" not in answer.error
    return answer


@given(content=damaged_documents(claim_part(document())))
@bounded(400)
async def test_a_damaged_claim_is_prepared_or_refused_by_name_alone(served, content):
    answer = await judge(served, lambda name, uid: filled(content, name, uid))
    for device in answer.devices:
        assert re.fullmatch("[-a-z0-9./]{1,253}", device.pool_name)
        assert re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", device.device_name)
        assert all(re.fullmatch(r"[a-z0-9./=_-]+", i) for i in device.cdi_device_ids)


FIELDS = ("request", "driver", "pool", "device", "shareID")


@given(field=st.sampled_from(FIELDS), value=texts)
@bounded(150)
async def test_a_name_in_an_allocation_never_becomes_a_path_or_a_line(served, field, value):
    body = document()
    body["status"]["allocation"]["devices"]["results"][1][field] = value
    answer = await judge(served, lambda name, uid: filled(encode(body), name, uid))
    for device in answer.devices:
        assert not set(device.device_name + device.pool_name) & set("\0\r\n\\ ")


@given(
    parameters=st.recursive(
        junk, lambda inner: st.dictionaries(texts, inner, max_size=3), max_leaves=4
    )
)
@bounded(150)
async def test_any_parameters_are_decoded_or_refused_by_the_claims_name(served, parameters):
    body = document()
    body["status"]["allocation"]["devices"]["config"][0]["opaque"]["parameters"] = parameters
    await judge(served, lambda name, uid: filled(encode(body), name, uid))


SECRETIVE = [
    {"mode": SECRET},
    {"label": {"key": SECRET}},
    {"label": [SECRET]},
    {"slots": SECRET},
    {"slots": [{"size": SECRET}]},
    {"ratio": SECRET},
    {"label": SECRET, "mode": 1},
    {"label": SECRET},
    [SECRET],
    SECRET,
]


async def test_the_values_of_parameters_are_neither_in_the_log_nor_in_an_error(served):
    driver = served.driver
    for parameters in SECRETIVE:
        config = CONFIG | {"opaque": {"driver": DRIVER, "parameters": parameters}}
        claim = served.plant("card-1", config=[config])
        answer = (await driver.prepare(claim)).claims[claim.uid]
        assert SECRET not in answer.error
        assert bool(answer.error) == (parameters != {"label": SECRET}), parameters
        assert (await driver.unprepare(claim)).claims[claim.uid].error == ""
    await driver.stop()
    assert driver.logged().count("claim refused") == len(SECRETIVE) - 1
    assert SECRET not in driver.logged()


async def test_a_claim_whose_uid_is_another_claims_is_refused(served):
    answer = await judge(
        served, lambda name, _: encode(allocated(name, UID.format(9**9), "card-1"))
    )
    assert "was replaced" in answer.error


async def test_one_device_twice_for_one_request_is_refused_and_not_called_a_bug_of_the_driver(
    served,
):
    def twice(name, uid):
        return encode(allocated(name, uid, "card-1", "card-1", requests=["r0", "r0"]))

    answer = await judge(served, twice)
    assert "card-1" in answer.error
    assert "bug of the driver" not in answer.error


async def test_more_devices_than_a_claim_can_hold_are_refused(served):
    many = [f"card-{n}" for n in range(10_000)]
    answer = await judge(served, lambda name, uid: encode(allocated(name, uid, *many)))
    assert "10000 devices" in answer.error


async def test_a_request_of_three_names_is_refused(served):
    body = document()
    results = body["status"]["allocation"]["devices"]["results"]
    results[1]["request"] = "r1/sub/sub"
    results.insert(0, results[0] | {"driver": "other.example"})
    answer = await judge(served, lambda name, uid: filled(encode(body), name, uid))
    assert "results[2].request: 'r1/sub/sub' is not a request's name" in answer.error


async def test_what_a_share_consumes_is_a_quantity_or_refused(served):
    body = document()
    body["status"]["allocation"]["devices"]["results"][1]["consumedCapacity"] = {"memory": "a lot"}
    answer = await judge(served, lambda name, uid: filled(encode(body), name, uid))
    assert "results[1].consumedCapacity: 'a lot' of 'memory' is not a quantity" in answer.error
