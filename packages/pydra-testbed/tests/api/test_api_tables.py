from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pydra_testbed.api._tables.ages import age
from pydra_testbed.api._tables.jsonpath import found

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
async def tabled(server, connect):
    """A client that wants Tables, as kubectl does."""
    async with connect(server, {"Accept": TABLE}) as kube:
        yield kube


def shown(table: dict) -> list[dict]:
    names = [column["name"] for column in table["columnDefinitions"]]
    return [dict(zip(names, row["cells"], strict=True)) for row in table["rows"]]


async def test_lists_and_objects_come_as_tables_with_their_metadata(tabled, samples):
    await tabled.ok("POST", tabled.claims, samples("claim"))
    for path in (tabled.claims, f"{tabled.claims}/c1"):
        table = await tabled.ok("GET", path)
        assert table["kind"] == "Table"
        assert shown(table) == [{"Name": "c1", "State": "pending", "Age": "0s"}]
        partial = table["rows"][0]["object"]
        assert (partial["kind"], partial["metadata"]["name"]) == ("PartialObjectMetadata", "c1")
    whole = await tabled.ok("GET", tabled.claims, includeObject="Object")
    assert whole["rows"][0]["object"]["kind"] == "ResourceClaim"
    bare = await tabled.ok("GET", tabled.claims, includeObject="None")
    assert list(bare["rows"][0]) == ["cells"]
    assert (await tabled.refused("GET", tabled.claims, includeObject="All"))["code"] == 400


async def test_a_watch_sends_tables_and_their_head_once(tabled, samples):
    async with tabled.watch(tabled.slices) as watch:
        await tabled.ok("POST", tabled.slices, samples("slice"))
        await tabled.ok("POST", tabled.slices, samples("slice", metadata__name="s2"))
        first, second = [await watch.next() for _ in range(2)]
    assert shown(first["object"])[0]["Driver"] == "gpu.example.com"
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "s2"


async def test_the_state_of_a_claim_follows_its_life(tabled, samples):
    held = samples("claim", metadata__finalizers=["example.com/x"])
    await tabled.ok("POST", tabled.claims, held)
    result = {"request": "r", "driver": "gpu.example.com", "pool": "p", "device": "d"}
    claim = held | {"status": {"allocation": {"devices": {"results": [result]}}}}
    await tabled.ok("PUT", f"{tabled.claims}/c1/status", claim)
    assert shown(await tabled.ok("GET", tabled.claims))[0]["State"] == "allocated"
    claim["status"]["reservedFor"] = [{"resource": "pods", "name": "p", "uid": "u"}]
    await tabled.ok("PUT", f"{tabled.claims}/c1/status", claim)
    assert shown(await tabled.ok("GET", tabled.claims))[0]["State"] == "allocated,reserved"
    await tabled.ok("DELETE", f"{tabled.claims}/c1")
    assert shown(await tabled.ok("GET", tabled.claims))[0]["State"] == "deleted,allocated,reserved"


def ended(**state) -> dict:
    return {"state": {"terminated": state}}


def waits(reason: str) -> dict:
    return {"state": {"waiting": {"reason": reason}}}


RUNS = {"state": {"running": {}}, "ready": True}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"phase": "Running", "containerStatuses": [RUNS]}, "Running"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        (
            {"phase": "Pending", "containerStatuses": [waits("ImagePullBackOff")]},
            "ImagePullBackOff",
        ),
        ({"containerStatuses": [ended(reason="Error", exitCode=1)]}, "Error"),
        ({"containerStatuses": [ended(exitCode=3)]}, "ExitCode:3"),
        ({"containerStatuses": [ended(signal=9)]}, "Signal:9"),
        ({"containerStatuses": [ended(reason="Completed"), RUNS]}, "NotReady"),
        ({"containerStatuses": [ended(reason="Completed"), RUNS], **READY}, "Running"),
        ({"initContainerStatuses": [ended(exitCode=0), {"state": {"running": {}}}]}, "Init:1/2"),
        ({"initContainerStatuses": [ended(exitCode=2, reason="Error")]}, "Init:Error"),
        ({"initContainerStatuses": [waits("CrashLoopBackOff")]}, "Init:CrashLoopBackOff"),
    ],
)
async def test_the_state_of_a_pod_is_told_as_kubernetes_tells_it(tabled, samples, status, state):
    await tabled.ok("POST", tabled.pods, samples("pod"))
    await tabled.ok("PUT", f"{tabled.pods}/p1/status", samples("pod") | {"status": status})
    assert shown(await tabled.ok("GET", tabled.pods))[0]["Status"] == state


async def test_restarts_and_nodes_of_pods_are_shown(tabled, samples, clock):
    await tabled.ok("POST", tabled.pods, samples("pod"))
    at = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {
        "podIP": "10.0.0.1",
        "containerStatuses": [
            RUNS | {"restartCount": 3, "lastState": {"terminated": {"finishedAt": at}}}
        ],
    }
    await tabled.ok("PUT", f"{tabled.pods}/p1/status", samples("pod") | {"status": status})
    await clock.advance(150)
    (row,) = shown(await tabled.ok("GET", tabled.pods))
    assert (row["Ready"], row["Restarts"], row["IP"]) == ("1/1", "3 (2m30s ago)", "10.0.0.1")
    assert (row["Node"], row["Age"]) == ("<none>", "2m30s")


async def test_nodes_show_readiness_roles_and_addresses(tabled):
    node = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}],
            "nodeInfo": {"kubeletVersion": "v1.36.2"},
        },
    }
    await tabled.ok("POST", "/api/v1/nodes", node)
    (row,) = shown(await tabled.ok("GET", "/api/v1/nodes"))
    assert (row["Status"], row["Roles"]) == ("Ready,SchedulingDisabled", "control-plane")
    assert (row["Version"], row["Internal-IP"]) == ("v1.36.2", "10.0.0.2")
    assert row["External-IP"] == "<none>"


@pytest.mark.usefixtures("computes")
async def test_custom_columns_read_json_paths(tabled, definition):
    columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
    columns += [
        {"name": "First", "type": "string", "jsonPath": ".spec.parts[0].id"},
        {"name": "All", "type": "string", "jsonPath": ".spec.tags[*]"},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Never", "type": "date", "jsonPath": ".status.never"},
    ]
    await tabled.ok("PUT", f"{tabled.definitions}/computes.example.com", definition)
    path = "/apis/example.com/v1/namespaces/default/computes"
    spec = {"size": 2, "parts": [{"id": "a"}], "tags": ["x", "y"]}
    await tabled.ok("POST", path, {"metadata": {"name": "c"}, "spec": spec})
    (row,) = shown(await tabled.ok("GET", path))
    assert row == {
        "Name": "c", "Size": 2, "Phase": None, "First": "a", "All": "x,y", "Since": "0s",
        "Never": "<unknown>",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (599, "9m59s"), (600, "10m"),
        (10_799, "179m"), (10_800, "3h"), (12_000, "3h20m"), (30_000, "8h"), (172_799, "47h"),
        (200_000, "2d7h"), (800_000, "9d"), (70_000_000, "2y80d"), (300_000_000, "9y"),
        (-0.5, "0s"), (-5, "<invalid>"),
    ],
)  # fmt: skip
def test_ages_take_two_units_while_they_are_young(seconds, text):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert age((now - timedelta(seconds=seconds)).isoformat(), now) == text


def test_json_paths_find_fields_indexes_and_filters():
    obj = {
        "a": {"b.c": 1, "list": [{"type": "Ready", "v": 1}, {"type": "Other", "v": 2}]},
        "map": {"x": 1, "y": 2},
    }
    assert found(obj, ".a.b\\.c") == found(obj, ".a['b.c']") == [1]
    assert found(obj, ".a.list[0].v") == found(obj, '.a.list[?(@.type=="Ready")].v') == [1]
    assert found(obj, ".a.list[-1].v") == found(obj, ".a.list[?(@.type!='Ready')].v") == [2]
    assert found(obj, ".a.list[*].v") == found(obj, ".map[*]") == [1, 2]
    assert found(obj, ".a.list[7].v") == found(obj, ".a.nope.v") == found(obj, ".a[..") == []
