"""Our kubelet beside a real one: the same pods and the same answers must lead to the same calls.

`data/recorded.jsonl.gz` holds what kubelet v1.36.2 said to a driver and what that driver answered
(scenarios of the project's recordings that need one node and one driver). Here the driver answers
with those very bytes; compared are order, service, method, every byte of the requests and deadlines.
UIDs are made anew by each API server and are exchanged before comparing, as are socket paths.
"""

import gzip
import json
import math
from collections import defaultdict
from pathlib import Path

import grpc
import pytest

from pydra_core._proto import pluginregistration_v1_pb2 as registration
from pydra_testbed.kubelet import KubeletSettings

DRIVER = "probe.example.com"
ENDPOINT = b"/var/lib/kubelet/plugins/probe.example.com/dra.sock"
SETTINGS = KubeletSettings(reconcile_period=0.01, sync_backoff=0.01, crash_backoff=0.01)
DATA = Path(__file__).parent / "data" / "recorded.jsonl.gz"

RECORDED = defaultdict(list)
for _line in gzip.decompress(DATA.read_bytes()).decode().splitlines():
    _record = json.loads(_line)
    RECORDED[_record["scenario"]].append(_record)


class Answered:
    """Bytes that need no further packing."""

    def __init__(self, raw):
        self._raw = raw

    def SerializeToString(self):  # noqa: N802 the name protobuf messages have
        return self._raw


class Story:
    """One recorded scenario told to our kubelet."""

    def __init__(self, node, scenario):
        self.node = node
        self.records = [r for r in RECORDED[scenario] if r["method"].startswith("Node")]
        self.uids = {}  # recorded UID -> ours
        self.driver = None

    @property
    def service(self):
        return self.records[0]["service"]

    def ours(self, raw):
        """Recorded bytes with our UIDs in place of the recorded ones."""
        for old, new in self.uids.items():
            raw = raw.replace(old.encode(), new.encode())
        return raw

    async def connect(self):
        versions = [self.service.removeprefix("k8s.io.kubelet.pkg.apis.dra."), "v1.DRAPlugin"]
        await self.node.start(SETTINGS)
        self.driver = await self.node.driver(DRIVER, start=False, versions=versions)
        for record in self.records:
            self.driver.fail(record["method"], self.answer(record))
        await self.driver.start()
        await self.node.registered(self.driver)

    def answer(self, record):
        if record["code"] != "OK":
            return grpc.StatusCode[record["code"].removeprefix("StatusCode.")]
        return lambda _: Answered(self.ours(bytes.fromhex(record["response_hex"])))

    async def pod(self, name, record, **fields):
        """A pod with the claims of a recorded request."""
        claims = record["request"]["claims"]
        names = [claim["name"] for claim in claims]
        pod = await self.node.pod(name, claims=names, bound=False, **fields)
        for claim in claims:
            if claim["uid"] not in self.uids:
                made = await self.node.claim(claim["name"], DRIVER)
                self.uids[claim["uid"]] = made["metadata"]["uid"]
            await self.node.reserve(claim["name"], pod)
        self.define()
        await self.node.bind(name)

    def define(self):
        devices = [
            {"name": uid, "containerEdits": {"env": ["PROBE=ok"]}} for uid in self.uids.values()
        ]
        spec = {"cdiVersion": "0.6.0", "kind": "probe.example.com/claim", "devices": devices}
        (self.node.cdi / "probe.json").write_text(json.dumps(spec))

    async def gone(self, *names, grace=None):
        for name in names:
            await self.node.delete(name, grace)
            await self.node.until_gone("pods", name)

    def compare(self):
        heard = self.driver.log[2:]
        assert [(h.service, h.method) for h in heard] == [
            (r["service"], r["method"]) for r in self.records
        ]
        for ours, record in zip(heard, self.records, strict=True):
            assert ours.raw == self.ours(bytes.fromhex(record["request_hex"]))
            assert math.ceil(ours.deadline) == math.ceil(
                record["deadline_s"]
            )  # some of it is spent


async def run_and_delete(story):
    await story.pod("p", story.records[0])
    await story.node.until_phase("Running")
    await story.gone("p")


async def share(story):
    for name in ("s1", "s2"):
        await story.pod(name, story.records[0])
        await story.node.until_phase("Running", name)
    await story.gone("s1", "s2")


async def restart(story):
    await story.pod("p", story.records[0], command=("sh", "-c", "exit 1"))
    await story.node.until(
        "pods",
        "p",
        lambda pod: (pod["status"].get("containerStatuses") or [{}])[0].get("restartCount", 0) > 1,
        "default",
    )
    await story.gone("p")


async def complete(story):
    await story.pod("p", story.records[0], command=("true",), restartPolicy="Never")
    await story.node.until_phase("Succeeded")


async def fail_then_run(story):
    await story.pod("p", story.records[0])
    await story.node.event("FailedPrepareDynamicResources")
    await story.node.annotate("p")
    await story.node.until_phase("Running")
    await story.gone("p")


async def fail_and_delete(story):
    await story.pod("p", story.records[0])
    await story.node.event("FailedPrepareDynamicResources")
    await story.gone("p")


async def force_delete(story):
    await story.pod("p", story.records[0])
    await story.node.until_phase("Running")
    await story.gone("p", grace=0)
    await story.node.journal.saw("pod left the node")


@pytest.mark.parametrize(
    ("scenario", "steps"),
    [
        ("pod-start-1claim", run_and_delete),
        ("multi-claim-2-in-one-pod", run_and_delete),
        ("container-restart-no-new-prepare", restart),
        ("shared-claim-two-pods", share),
        ("pod-completes-by-itself", complete),
        ("prepare-claim-error-then-ok", fail_then_run),
        ("prepare-grpc-error-then-ok", fail_then_run),
        ("prepare-skips-claim", fail_and_delete),
        ("prepare-error-pod-deleted-while-failing", fail_and_delete),
        ("unprepare-error-then-ok", run_and_delete),
        ("registration-v1beta1-only", run_and_delete),
        ("registration-order-v1beta1-first", run_and_delete),
        ("force-delete-pod-2", force_delete),
    ],
)
async def test_the_kubelet_makes_the_calls_a_real_one_made(node, scenario, steps):
    story = Story(node, scenario)
    await story.connect()
    await steps(story)
    story.compare()


@pytest.mark.parametrize(
    "scenario", ["registration", "registration-invalid-services", "same-endpoint-second-instance"]
)
async def test_the_kubelet_registers_and_refuses_in_a_real_one_s_bytes(node, scenario):
    records = RECORDED[scenario]
    info = registration.PluginInfo.FromString(bytes.fromhex(records[0]["response_hex"]))
    await node.start(SETTINGS)
    if scenario == "same-endpoint-second-instance":
        first = await node.driver(DRIVER)
    driver = await node.driver(DRIVER, instance="-x", start=False)
    driver.info.MergeFrom(info)
    del driver.info.supported_versions[:]
    driver.info.supported_versions.extend(info.supported_versions)
    endpoint = first.endpoint if scenario == "same-endpoint-second-instance" else driver.endpoint
    driver.info.endpoint = str(endpoint)
    await driver.start()
    await driver.next("NotifyRegistrationStatus")
    for ours, record in zip(driver.log, records, strict=False):
        assert (ours.service, ours.method) == (record["service"], record["method"])
        theirs = bytes.fromhex(record["request_hex"])
        kind = {"GetInfo": registration.InfoRequest}.get(
            record["method"], registration.RegistrationStatus
        )
        expected = kind.FromString(theirs)
        if record["method"] == "NotifyRegistrationStatus":
            expected.error = expected.error.replace(ENDPOINT.decode(), str(endpoint))
        assert ours.raw == expected.SerializeToString()
        assert math.ceil(ours.deadline) == math.ceil(record["deadline_s"])  # some of it is spent


@pytest.mark.parametrize(
    "scenario", ["registration-invalid-services", "same-endpoint-second-instance"]
)
async def test_a_refused_driver_is_asked_again_when_a_real_kubelet_asks(stepped, scenario):
    asked = [r["t"] for r in RECORDED[scenario] if r["method"] == "GetInfo"]
    await stepped.start(KubeletSettings(heartbeat_period=10_000))
    await stepped.driver(DRIVER, versions=["v9.DRAPlugin"], registered=False)
    seen = [second for second in range(15) if await stepped.look_at_refused()]
    theirs = [round(moment - asked[0]) for moment in asked]
    assert [second - seen[0] for second in seen][: len(theirs)] == theirs
