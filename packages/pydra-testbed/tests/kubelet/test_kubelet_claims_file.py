"""The kubelet's own record of claims on disk."""

import json
import zlib

import pytest

from pydra_testbed.kubelet import ClaimsFileError, Kubelet


async def test_a_prepared_claim_is_on_disk_with_what_unprepare_needs(node):
    await node.start()
    await node.driver()
    node.define("c")
    pod = await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    claim = await node.api.get("resourceclaims", "c", "default")
    assert node.claims() == [
        {
            "ClaimUID": claim["metadata"]["uid"],
            "ClaimName": "c",
            "Namespace": "default",
            "PodUIDs": {pod["metadata"]["uid"]: {}},
            "DriverState": {
                "card.example.com": {
                    "Devices": [
                        {
                            "PoolName": "node-a",
                            "DeviceName": "dev-c",
                            "ShareID": None,
                            "RequestNames": ["card"],
                            "CDIDeviceIDs": ["example.com/card=c"],
                        }
                    ]
                }
            },
        }
    ]


async def test_a_share_id_is_kept(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    share = "6b2f6f0a-7c1b-4d0e-9c3a-0123456789ab"

    def answer(heard):
        response = driver.prepare(heard)
        for result in response.claims.values():
            result.devices[0].share_id = share
        return response

    driver.fail("NodePrepareResources", answer)
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    (claim,) = node.claims()
    assert claim["DriverState"]["card.example.com"]["Devices"][0]["ShareID"] == share


def damaged(text):
    envelope = json.loads(text)
    return json.dumps({**envelope, "Checksum": envelope["Checksum"] ^ 1})


def of_the_future(text):
    data = json.loads(text)["Data"].replace("k8s.io/v1", "k8s.io/v9")
    return json.dumps({"Data": data, "Checksum": zlib.crc32(data.encode())})


def without_entries(text):
    data = json.dumps(
        {k: v for k, v in json.loads(json.loads(text)["Data"]).items() if k != "Entries"}
    )
    return json.dumps({"Data": data, "Checksum": zlib.crc32(data.encode())})


def cut_short(text):
    return text[: len(text) // 2]


def of_another_shape(_):
    return "[]"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damaged, "the checksum does not fit"),
        (of_the_future, "checkpoint.dra.kubelet.k8s.io/v9"),
        (without_entries, "cannot be read"),
        (cut_short, "cannot be read"),
        (of_another_shape, "cannot be read"),
    ],
)
async def test_a_file_that_cannot_be_trusted_stops_the_kubelet_and_stays(node, spoil, words):
    await node.start()
    await node.driver()
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    await node.stop()
    file = node.root / "dra_manager_state"
    file.write_text(spoil(file.read_text()))
    before = file.read_bytes()
    kubelet = Kubelet(node.api, node.clock, node.name, node.root, node.runtime)
    with pytest.raises(ClaimsFileError, match=words) as raised:
        await kubelet.run()
    assert str(file) in str(raised.value)
    assert file.read_bytes() == before


async def test_a_full_disk_is_an_event_and_not_the_end(node):
    await node.start()
    await node.driver()
    node.define("c")
    blocker = node.root / ".dra_manager_state.tmp"
    blocker.mkdir()
    await node.claiming_pod("p", "c")
    message = await node.event("FailedPrepareDynamicResources")
    assert "checkpoint ResourceClaim cache: " in message
    blocker.rmdir()
    await node.annotate("p")
    await node.until_phase("Running")
