"""`pydra explain` from files: one case for each thing that can refuse a device.

Each is a command line of its own in this process; what has to do with files and the environment is its own process.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
import yaml

from pydra_core.cli import main

DRIVER = "card.acme.example"
WHERE = f'device.attributes["{DRIVER}"]'


def pydra(*arguments, **environ):
    done = subprocess.run(
        [sys.executable, "-m", "pydra_core", *map(str, arguments)],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def card(name, memory="16Gi", **more):
    attributes = {"model": {"string": "a1"}, "index": {"int": int(name[-1])}}
    capacity = {"memory": {"value": memory}}
    return {"name": name, "attributes": attributes, "capacity": capacity} | more


def slices(*devices, name="s1", node="n1", count=1, **spec):
    pool = {"name": node, "generation": 1, "resourceSliceCount": count}
    body = {"driver": DRIVER, "nodeName": node, "pool": pool}
    body |= {"devices": list(devices)} if devices else {}
    return thing("ResourceSlice", name, body | spec)


def thing(kind, name, spec, **more):
    version = "v1" if kind in {"Pod", "Node", "Namespace"} else "resource.k8s.io/v1"
    metadata = {"name": name} | more.pop("metadata", {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec} | more


def request(*selectors, name="r", **more):
    body = {"deviceClassName": "card", "selectors": cel(*selectors)} | more
    return {"name": name, "exactly": body}


def cel(*expressions):
    return [{"cel": {"expression": expression}} for expression in expressions]


def claim(*requests, name="c", status=None, metadata=None, **devices):
    spec = {"devices": {"requests": list(requests)} | devices}
    body = thing("ResourceClaim", name, spec, metadata=metadata or {})
    return body | ({"status": status} if status else {})


def pod(name="p", wants="c", **spec):
    entries = [{"name": "e", "resourceClaimName": wants}] if isinstance(wants, str) else wants
    uses = [{"name": entry["name"]} for entry in entries]
    container = {"name": "m", "image": "x", "resources": {"claims": uses}}
    return thing("Pod", name, {"containers": [container], "resourceClaims": entries} | spec)


def held(*devices, name="other", pods=(), node="n1", **more):
    """A claim that is allocated already."""
    results = [
        {"request": "r", "driver": DRIVER, "pool": "n1", "device": device} | more
        for device in devices
    ]
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    allocation = {
        "devices": {"results": results},
        "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
    }
    consumers = [{"resource": "pods", "name": each, "uid": f"uid-{each}"} for each in pods]
    status = {"allocation": allocation, "reservedFor": consumers}
    return claim(request(**({} if len(results) == 1 else {"count": len(results)})), name=name, status=status)  # fmt: skip


CARD = thing("DeviceClass", "card", {"selectors": cel(f'device.driver == "{DRIVER}"')})
TAINT = {"key": "acme.example/broken", "effect": "NoSchedule", "value": "fan"}
SHARED = [{"name": "chip", "counters": {"cores": {"value": "8"}}}]
USES = [{"counterSet": "chip", "counters": {"cores": {"value": "6"}}}]
SHARE = "3f6b0d2e-9a3c-4c59-8f0e-2f1f1f6b7a11"
TEMPLATED = [{"name": "e", "resourceClaimTemplateName": "t"}]

# Name: the objects, what the text says (white space does not count).
REFUSALS = {
    "a part of a claim's selector": (
        [slices(card("d0")), claim(request(f'{WHERE}.index == 0 && {WHERE}.model == "b2"')), pod()],
        ['d0 selector 0: model == "b2" is false; model is "a1"', 'Cheapest change: in claim default/c, request r, drop model == "b2" from selector 0: then it gets d0 on node n1.'],
    ),
    "a part of a class's selector": (
        [slices(card("d0")), thing("DeviceClass", "big", {"selectors": cel(f'device.capacity["{DRIVER}"].memory.compareTo(quantity("40Gi")) >= 0')}), claim(request(deviceClassName="big")), pod()],
        ['class big, selector 0: memory.compareTo(quantity("40Gi")) >= 0 is false; memory is 16Gi'],
    ),
    "a run-time error with its guard": (
        [slices(card("d0")), claim(request(f"{WHERE}.nvlink")), pod()],
        ["selector 0: nvlink fails: CEL runtime error: no such key: nvlink; it has no nvlink", f"guard it: has({WHERE}.nvlink) &&"],
    ),
    "a run-time error by types": (
        [slices(card("d0")), claim(request(f'{WHERE}.index.contains("x")')), pod()],
        ['selector 0: index.contains("x") fails: CEL runtime error: no such overload; index is 0', "compare index with a value of the same type"],
    ),
    "a selector that does not compile": (
        [slices(card("d0")), claim(request("device.drivr")), pod()],
        ["request r, 1 of class card: no device can be judged selector 0: CEL compile error: compilation failed:", "undefined field 'drivr'", "correct the expression"],
    ),
    "a taint": (
        [slices(card("d0", taints=[TAINT])), claim(request()), pod()],
        ["d0 taint acme.example/broken=fan:NoSchedule is not tolerated", "in claim default/c, request r, tolerate taint acme.example/broken: then it gets d0"],
    ),
    "another claim and its pod": (
        [slices(card("d0")), held("d0", pods=["rival"]), claim(request()), pod()],
        ["d0 in use by claim default/other (pod default/rival)", "Cheapest change: wait until pod default/rival ends: then it gets d0 on node n1."],
    ),
    "another claim that nobody uses": (
        [slices(card("d0")), held("d0"), claim(request()), pod()],
        ["d0 in use by claim default/other (no pod uses it)", "wait until claim default/other is free again"],
    ),
    "a shared counter": (
        [slices(name="s0", count=2, sharedCounters=SHARED), slices(card("d0", consumesCounters=USES), card("d1", consumesCounters=USES), count=2), held("d0", pods=["rival"]), claim(request()), pod()],
        ["d1 shared counter chip/cores: needs 6, 2 left of 8; taken by d0, in use by claim default/other (pod default/rival)"],
    ),
    "consumable capacity": (
        [slices(card("d0", allowMultipleAllocations=True)), held("d0", shareID=SHARE, consumedCapacity={"memory": "10Gi"}, pods=["rival"]), claim(request(capacity={"requests": {"memory": "8Gi"}})), pod()],
        ["d0 memory: 8Gi asked, 6Gi left of 16Gi; held by claim default/other (pod default/rival)", "ask for 6Gi memory instead of 8Gi: then it gets d0"],
    ),
    "a capacity the device lacks": (
        [slices(card("d0")), claim(request(capacity={"requests": {"lanes": "2"}})), pod()],
        ["d0 has no capacity lanes"],
    ),
    "a constraint": (
        [slices(card("d0"), card("d1")), claim(request(count=2), constraints=[{"matchAttribute": f"{DRIVER}/index"}]), pod()],
        ["constraint 0: index must be equal on all devices chosen; index is 1"],
    ),
    "an attribute that a constraint needs": (
        [slices(card("d0")), claim(request(), constraints=[{"matchAttribute": f"{DRIVER}/numa"}]), pod()],
        [f"d0 constraint 0: it has no attribute {DRIVER}/numa"],
    ),
    "too few devices": (
        [slices(card("d0"), card("d1")), held("d1", pods=["rival"]), claim(request(count=2)), pod()],
        ["request r, 2 of class card: 1 of 2 devices would do", "2 devices asked, 1 would do", "nothing speaks against d0", "ask for 1 instead of 2: then it gets d0"],
    ),
    "the pod itself": (
        [slices(card("d0")), claim(request(name="a"), request(name="b")), pod()],
        ["request b, 1 of class card: 0 of 1 devices would do", "would do, but the pod itself takes what it needs of it"],
    ),
    "mode All with an incomplete pool": (
        [slices(card("d0"), count=2), claim(request(allocationMode="All")), pod()],
        ["asks for all devices, but resource pool card.acme.example/n1 is currently being updated", "pool card.acme.example/n1 is incomplete: 1 of its 2 slices are published"],
    ),
    "a class that does not exist": (
        [slices(card("d0")), claim(request(deviceClassName="crad")), pod()],
        ["cannot be satisfied, whichever node", "claim default/c, request r: device class crad does not exist", "did you mean card?"],
    ),
    "a claim that does not exist": (
        [slices(card("d0")), claim(request(), name="card-claim"), pod(wants="card-clam")],
        ["claim default/card-clam does not exist; did you mean default/card-claim?", "the pod waits until then"],
    ),
    "a template that does not exist": (
        [slices(card("d0")), pod(wants=TEMPLATED)],
        ["template default/t does not exist"],
    ),
    "admin access without the label": (
        [thing("Namespace", "default", {}), slices(card("d0")), claim(request(adminAccess=True)), pod()],
        ["asks for adminAccess, which namespace default does not allow", "resource.kubernetes.io/admin-access=true"],
    ),
    "a claim that is allocated elsewhere": (
        [slices(card("d0")), slices(card("d1"), name="s2", node="n2"), thing("Node", "n1", {}), thing("Node", "n2", {}), held("d0", name="c", node="n3", pods=["rival"]), pod()],
        ["claim default/c is allocated already, on node n3: card.acme.example/n1/d0"],
    ),
    "a cordoned node": (
        [slices(card("d0")), thing("Node", "n1", {"unschedulable": True}), claim(request()), pod()],
        ["the node is cordoned (unschedulable)", "kubectl uncordon n1"],
    ),
    "a node that is not ready": (
        [slices(card("d0")), thing("Node", "n1", {}, status={"conditions": [{"type": "Ready", "status": "False"}]}), claim(request()), pod()],
        ["the node is not Ready", "kubectl describe node n1 says why"],
    ),
    "a node's taint": (
        [slices(card("d0")), thing("Node", "n1", {"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]}), claim(request()), pod()],
        ["the node has taints that the pod does not tolerate: team=a:NoSchedule"],
    ),
    "the pod's node selector": (
        [slices(card("d0")), thing("Node", "n1", {}, metadata={"labels": {"zone": "b"}}), claim(request()), pod(nodeSelector={"zone": "a"})],
        ["the pod's nodeSelector asks for zone=a; the node has zone=b"],
    ),
    "a driver that does not run": (
        [slices(card("d0"), driver="other.example"), claim(request()), pod()],
        ["driver card.acme.example has published no slices for node n1", "`pydra doctor`", "devices of other drivers, not looked at: 1"],
    ),
    "an extended resource": (
        [slices(card("d0")), claim(request()), pod(containers=[{"name": "m", "image": "x", "resources": {"limits": {"acme.example/port": "2"}}}])],
        ["not enough acme.example/port: 2 asked", "is the device plugin of that resource running there?"],
    ),
    "a device of another node": (
        [slices(card("d0", nodeName="n2"), card("d1", nodeName="n1"), nodeName=None, perDeviceNodeSelection=True), thing("Node", "n1", {}), claim(request(f"{WHERE}.index == 0")), pod()],
        ["d0 cannot be used from node n1"],
    ),
    "an invalid pool": (
        [slices(card("d0", consumesCounters=USES)), claim(request()), pod()],
        ["pool card.acme.example/n1 is invalid: counter set chip not found", "report it to the driver's author"],
    ),
    "an amount that a policy does not allow": (
        [slices(card("d0", allowMultipleAllocations=True, capacity={"memory": {"value": "16Gi", "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "max": "4Gi"}}}})), claim(request(capacity={"requests": {"memory": "8Gi"}})), pod()],
        ["d0 memory: 8Gi is no amount its request policy allows"],
    ),
    "a claim with as many pods as it can have": (
        [slices(card("d0")), held("d0", name="c", pods=[f"p{n}" for n in range(256)]), pod()],
        ["claim default/c is reserved for 256 pods, which is the most"],
    ),
    "a claim that goes away": (
        [slices(card("d0")), claim(request(), metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["acme.example/hold"]}), pod()],
        ["waiting: claim default/c is being deleted (held by finalizers: acme.example/hold)"],
    ),
    "a claim of another pod": (
        [slices(card("d0")), claim(request()), thing("ResourceClaimTemplate", "t", {"spec": {"devices": {"requests": [request()]}}}), pod(wants=TEMPLATED) | {"status": {"resourceClaimStatuses": [{"name": "e", "resourceClaimName": "c"}]}}],
        ["claim default/c was not made for this pod", "delete the pod and create it again"],
    ),
    "a scheduling gate": (
        [slices(card("d0")), claim(request()), pod(schedulingGates=[{"name": "acme.example/quota"}])],
        ["waiting: scheduling gate acme.example/quota has to be removed from the pod"],
    ),
}  # fmt: skip


def explained(tmp_path, objects, *arguments):
    (tmp_path / "world.yaml").write_text(yaml.safe_dump_all([CARD, *objects]))
    argv = ["explain", "-f", str(tmp_path / "world.yaml"), *arguments]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(argv=argv)
    return ended.value.code, out.getvalue(), err.getvalue()


def said(text):
    return " ".join(text.split())


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_refuses_a_device_is_said_in_words(tmp_path, reason):
    objects, says = REFUSALS[reason]
    code, out, err = explained(tmp_path, objects, "pod/p")
    assert (code, err) == (1, "")
    assert [text for text in says if text not in said(out)] == [], out
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out


def test_files_without_slices_are_told_what_is_missing(tmp_path):
    code, out, _ = explained(tmp_path, [claim(request()), pod()])
    assert code == 1
    assert "note: no slices given: add --slices FILE" in out


def test_no_value_commands_the_terminal(tmp_path):
    order = claim(request(f'{WHERE}.model == "\x9b31m\u202eb2"'))
    _, out, _ = explained(tmp_path, [slices(card("d0")), order, pod()])
    assert 'model == "?31m?b2" is false' in out


def test_near_misses_come_first_and_the_rest_is_counted(tmp_path):
    cards = [card(f"d{n}", memory="8Gi", taints=[TAINT] * (n < 8)) for n in range(9)]
    order = claim(request(f'{WHERE}.model == "b2"'))
    _, out, _ = explained(tmp_path, [slices(*cards), order, pod()], "pod/p")
    assert out.index("      d8\n") < out.index("      d0\n")
    assert "and 3 further devices (--all shows them)" in out
    _, everything, _ = explained(tmp_path, [slices(*cards), order, pod()], "pod/p", "--all")
    assert all(f"      d{n}\n" in everything for n in range(9))
    assert "further" not in everything


def test_no_change_is_named_where_no_single_one_helps(tmp_path):
    order = claim(request(f'{WHERE}.model == "b2" && {WHERE}.index == 7'))
    _, out, _ = explained(tmp_path, [slices(card("d0")), order, pod()], "pod/p")
    assert "Cheapest change" not in out


def test_what_can_be_allocated_is_shown_with_its_device_and_exits_with_0(tmp_path):
    order = claim(request(f"{WHERE}.index == 1"))
    world = [slices(card("d0"), card("d1")), order, pod()]
    for target in ("pod/p", "claim/c"):
        code, out, err = explained(tmp_path, world, target)
        assert (code, err) == (0, "")
        assert f"{target.replace('/', ' default/')}: can be allocated on node n1" in out
        assert "request r of claim default/c would get card.acme.example/n1/d1" in out


def test_what_is_allocated_is_shown_with_who_has_it(tmp_path):
    code, out, _ = explained(
        tmp_path, [slices(card("d0")), held("d0", pods=["p"]), pod(wants="other", nodeName="n1")]
    )
    assert code == 0
    assert "pod default/p: is scheduled to node n1" in out
    code, out, _ = explained(tmp_path, [slices(card("d0")), held("d0", pods=["p"])], "claim/other")
    assert code == 0
    assert "claim default/other: is allocated on node n1" in out
    assert "claim default/other is allocated on node n1: card.acme.example/n1/d0" in said(out)
    assert "reserved for pod default/p" in out


def test_an_allocation_that_only_this_pod_could_use_is_taken_back_as_the_scheduler_does(
    tmp_path,
):
    world = [slices(card("d0")), held("d0", name="c", node="n3"), pod()]
    code, out, _ = explained(tmp_path, world, "pod/p")
    assert code == 0
    assert "can be allocated on node n1" in out
    assert "note: the scheduler takes back what claim default/c has" in out


def test_a_claim_that_no_pod_uses_is_judged_and_that_is_said(tmp_path):
    code, out, _ = explained(tmp_path, [slices(card("d0")), claim(request("false"))], "claim/c")
    assert code == 1
    assert "d0 selector 0: false is false" in said(out)
    assert "note: no pod uses the claim: it is allocated once one does" in out


def test_a_template_is_judged_before_its_claim_is_made(tmp_path):
    template = thing(
        "ResourceClaimTemplate", "t", {"spec": {"devices": {"requests": [request("false")]}}}
    )
    code, out, _ = explained(tmp_path, [slices(card("d0")), template, pod(wants=TEMPLATED)])
    assert code == 1
    assert "claim default/p-e (to be made from template t)" in out
    assert "d0 selector 0: false is false" in said(out)


def test_every_alternative_of_a_prioritized_list_is_judged(tmp_path):
    alternatives = [
        {"name": name, "deviceClassName": "card", "selectors": cel(f"{WHERE}.index == {index}")}
        for name, index in (("best", 5), ("good", 6))
    ]
    order = claim({"name": "r", "firstAvailable": alternatives})
    code, out, _ = explained(tmp_path, [slices(card("d0")), order, pod()], "pod/p")
    assert code == 1
    assert "request r/best, 1 of class card" in out
    assert "index == 6 is false; index is 0" in out


def test_programs_get_the_same_as_json_and_yaml(tmp_path):
    world = [slices(card("d0", taints=[TAINT])), claim(request()), pod()]
    code, out, _ = explained(tmp_path, world, "pod/p", "-o", "json")
    found = json.loads(out)
    assert (code, found["verdict"], found["subject"]) == (1, "Unsatisfiable", "pod default/p")
    (device,) = found["nodes"][0]["requests"][0]["devices"]
    assert device["obstacles"][0]["kind"] == "TaintNotTolerated"
    assert device["obstacles"][0]["cause"] == TAINT
    _, out, _ = explained(tmp_path, world, "pod/p", "-o", "yaml")
    assert yaml.safe_load(out) == found


def test_lists_as_kubectl_prints_them_and_slices_of_their_own_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([CARD, claim(request()), pod()]))
    printed = {
        "apiVersion": "v1",
        "kind": "List",
        "metadata": {"resourceVersion": ""},
        "items": [slices(card("d0"))],
    }
    (tmp_path / "slices.json").write_text(json.dumps(printed))
    code, out, err = pydra(
        "explain", "-f", tmp_path / "a.yaml", "--slices", tmp_path / "slices.json"
    )
    assert (code, err) == (0, "")
    assert "can be allocated on node n1" in out


def test_what_discover_prints_is_read(tmp_path):
    code, published, err = pydra("discover", "--driver", "pizza", "-o", "yaml")
    assert (code, err) == (0, "")
    (tmp_path / "slices.yaml").write_text(published)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(claim(request(deviceClassName="pizza"))))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(thing("DeviceClass", "pizza", {})))
    flags = ["-f", tmp_path / "a.yaml", "-f", tmp_path / "b.yaml"]
    code, out, _ = pydra("explain", *flags, "--slices", tmp_path / "slices.yaml")
    assert code == 0
    assert "would get dra.pizza/this-node/margherita" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pod/nobody"], "pod default/nobody: not found; pods in namespace default: p"),
        (["claim/nobody"], "claim default/nobody: not found; claims in namespace default: c"),
        (["pod/p", "-n", "team"], "pod team/p: not found; pods in namespace team: none"),
        (["deployment/p"], "'deployment/p' is neither pod/NAME nor claim/NAME"),
        (["pod/P"], "'pod/P' is neither"),
        (["pod/p", "-f", "missing.yaml"], "manifest missing.yaml: cannot be read"),
        (["pod/p", "-o", "table"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_exits_with_2(tmp_path, arguments, says):
    namespaced = [each | {"metadata": each["metadata"] | {"namespace": "default"}} for each in (claim(request()), pod())]  # fmt: skip
    code, out, err = explained(tmp_path, [slices(card("d0")), *namespaced], *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


def test_an_object_that_no_api_server_would_take_is_named(tmp_path):
    bad = claim({"name": "R!", "exactly": {"deviceClassName": "card"}})
    code, _, err = explained(tmp_path, [bad, pod()], "pod/p")
    assert code == 2
    assert "manifest world.yaml: ResourceClaim c: refused:" in err
    assert "spec.devices.requests[0].name" in err


def test_without_cluster_or_files_it_says_what_is_missing(tmp_path):
    environ = {"HOME": str(tmp_path), "KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": ""}
    code, _, err = pydra("explain", "pod/p", **environ)
    assert code == 2
    assert "--kubeconfig" in err
