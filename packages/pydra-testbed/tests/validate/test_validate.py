from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
import yaml

from pydra_core import main
from pydra_pizza import PizzaDriver
from pydra_testbed.validate import validate

DRIVERS = {PizzaDriver.name: PizzaDriver}
GOOD = """\
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: pizza}
spec:
  selectors:
  - cel: {expression: device.driver == "dra.pizza"}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: dinner, namespace: home}
spec:
  spec:
    devices:
      requests:
      - name: main
        exactly: {deviceClassName: pizza}
      - name: side
        firstAvailable:
        - {name: small, deviceClassName: pizza}
      config:
      - requests: [main]
        opaque:
          driver: dra.pizza
          parameters: {apiVersion: dra.pizza/v1, kind: Order, extraCheese: true}
---
apiVersion: v1
kind: Pod
metadata: {name: ada, namespace: home}
spec:
  resourceClaims:
  - {name: dinner, resourceClaimTemplateName: dinner}
  containers:
  - name: eat
    image: local
    resources:
      claims:
      - {name: dinner, request: main}
"""


def changed(old, new):
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


async def told(*texts):
    """Severity, line, path and message of each finding."""
    outcome = await validate([(f"f{n}.yaml", text) for n, text in enumerate(texts)], DRIVERS)
    return [(str(f.severity), f.line, f.path, f.message) for f in outcome.findings]


async def test_what_is_right_has_no_finding():
    outcome = await validate([("f.yaml", GOOD)], DRIVERS)
    assert (outcome.findings, outcome.checked) == ((), 3)


@pytest.mark.parametrize(
    ("old", "new", "severity", "line", "path", "says"),
    [
        ("device.driver ==", "device.drivr ==", "error", 6, "spec.selectors[0].cel.expression", "undefined field"),
        ("- name: main\n", "- name: Main\n", "error", 15, "spec.spec.devices.requests[0].name", "lower case"),
        ("requests: [main]", "requests: [mein]", "error", 21, "spec.spec.devices.config[0].requests[0]",
         "must be the name of a request"),
        ("      config:", "      confg:", "error", 20, "spec.spec.devices.confg", "unknown field"),
        ("extraCheese: true", "extraCheese: very", "error", 24,
         "spec.spec.devices.config[0].opaque.parameters.extraCheese", "must be true or false"),
        ("extraCheese: true", "exraCheese: true", "error", 24,
         "spec.spec.devices.config[0].opaque.parameters.exraCheese", "did you mean extraCheese?"),
        ("driver: dra.pizza\n", "driver: dra.pasta\n", "warning", 23,
         "spec.spec.devices.config[0].opaque.driver", "dra.pasta is not installed here"),
        ("exactly: {deviceClassName: pizza}", "exactly: {deviceClassName: pasta}", "warning", 16,
         "spec.spec.devices.requests[0].exactly.deviceClassName", "DeviceClass pasta is not in these files"),
        ("exactly: {deviceClassName: pizza}", "exactly: {deviceClassName: pizza, count: some}", "error", 16,
         "spec.spec.devices.requests.exactly.count", "must be of type int64"),
        ("Name: dinner}", "Name: lunch}", "warning", 31, "spec.resourceClaims[0].resourceClaimTemplateName",
         "ResourceClaimTemplate lunch of namespace home is not in these files"),
        ("request: main}", "request: mian}", "error", 37, "spec.containers[0].resources.claims[0].request",
         "no request mian in claim dinner, which has main, side"),
        ("- {name: dinner, request", "- {name: diner, request", "error", 37,
         "spec.containers[0].resources.claims[0]", "Not found"),
        ("    resources:\n      claims:\n      - {name: dinner, request: main}\n", "", "warning", 31,
         "spec.resourceClaims[0]", "no container uses claim dinner"),
        ("metadata: {name: pizza}", "metadata: {name: pizza, name: pizza}", "error", 3, "", "'name' is there twice"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_found_on_its_line(old, new, severity, line, path, says):
    found = await told(changed(old, new))
    assert any(f[:3] == (severity, line, path) and says in f[3] for f in found), found


async def test_everything_wrong_with_an_object_is_told_at_once():
    text = changed("      config:", "      confg:").replace("- name: main\n", "- name: Main\n")
    paths = {path for _, _, path, _ in await told(text)}
    assert {"spec.spec.devices.confg", "spec.spec.devices.requests[0].name"} <= paths


async def test_objects_of_several_files_know_each_other():
    first, second, third = GOOD.split("---\n")
    assert await told(first, second, third) == []
    assert await told(third, first, second) == []
    ((severity, line, path, _),) = await told(first, second, second.replace("main", "other"))
    assert (severity, line, path) == ("error", 3, "metadata.name")


async def test_a_list_as_kubectl_prints_it_is_taken_apart():
    items = list(yaml.safe_load_all(GOOD.replace("extraCheese: true", "extraCheese: 1")))
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent="\t")
    ((severity, line, path, _),) = await told(text)
    assert (severity, path) == (
        "error",
        "spec.spec.devices.config[0].opaque.parameters.extraCheese",
    )
    assert text.splitlines()[line - 1].strip() == '"extraCheese": 1'


async def test_pods_inside_workloads_are_looked_into():
    pod = yaml.safe_load(GOOD.split("---\n")[2])
    pod["spec"]["containers"][0]["resources"]["claims"][0]["name"] = "diner"
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "home"},
           "spec": {"template": {"spec": pod["spec"]}}}  # fmt: skip
    found = await told(GOOD, yaml.safe_dump(job))
    assert ("error", "spec.template.spec.containers[0].resources.claims[0].name") in [
        (severity, path) for severity, _, path, _ in found
    ]


async def test_slices_and_their_limits_are_checked():
    devices = [{"name": f"d{n}"} for n in range(129)]
    spec = {"driver": "dra.pizza", "nodeName": "n", "devices": devices,
            "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1}}  # fmt: skip
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": "s"},
        "spec": spec,
    }
    ((_, _, path, message),) = await told(yaml.safe_dump(body))
    assert path == "spec.devices"
    assert "must have at most 128 items" in message


async def test_what_a_cluster_printed_is_fine_with_its_status():
    claim = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: c, uid: u-1, resourceVersion: "7", creationTimestamp: 2026-01-01T00:00:00Z, managedFields: []}
spec:
  devices:
    requests: [{name: r, exactly: {deviceClassName: pizza}}]
status:
  allocation:
    devices:
      results: [{request: r, driver: dra.pizza, pool: n, device: %s}]
"""
    assert [f for f in await told(claim % "bianca") if f[0] == "error"] == []
    ((_, line, path, _),) = [f for f in await told(claim % "Bianca") if f[0] == "error"]
    assert (line, path) == (10, "status.allocation.devices.results[0].device")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: [1\n", 2, "is no YAML or JSON"),
        ("a: &a [*a]\n", 1, "is no YAML or JSON"),
        ("a: !!python/name:os.system x\n", 1, "is no YAML or JSON"),
        ("? [1]\n: 2\n", 1, "is no YAML or JSON"),
        ("true: 1\n", 1, "holds what JSON cannot say"),
        ('a: "\\ud800"\n', 1, ""),
        ("kind: Pod\n", 1, "apiVersion is missing"),
        ("- 1\n", 1, "apiVersion and kind is missing"),
        ("apiVersion: [v1]\nkind: Pod\n", 1, "apiVersion is missing or no text"),
        ("apiVersion: resource.k8s.io/v1beta1\nkind: ResourceClaim\nmetadata: {name: x}\n", 1, "was not checked"),
        ("apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: 3\n", 1, ""),
        ("apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: {name: x}\nspec: []\n", 4, ""),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: 3, resourceClaims: [3, {}]}\n", 1, ""),
        ("apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: x}\nspec: {config: [3]}\n", 1, ""),
    ],
)  # fmt: skip
async def test_files_of_any_shape_are_answered(text, line, says):
    found = await told(text)
    assert found
    assert says in found[0][3]
    if says:
        assert found[0][1] == line


async def test_a_namespace_that_does_not_allow_admin_access_refuses_it():
    text = changed(
        "exactly: {deviceClassName: pizza}", "exactly: {deviceClassName: pizza, adminAccess: true}"
    )
    assert await told(text) == []
    namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: home}\n"
    ((severity, _, path, _),) = await told(text + namespace)
    assert (severity, path) == ("error", "spec.devices.requests[0].adminAccess")


@pytest.fixture
def run(capsys, monkeypatch):
    def call(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main(None, ["validate", *map(str, arguments)])
        return ended.value.code, *capsys.readouterr()

    return call


def test_the_command_names_file_line_object_and_path(run, tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)
    assert run(tmp_path / "good.yaml") == (0, "3 objects checked: 0 errors, 0 warnings\n", "")
    bad = changed("extraCheese: true", "extraCheese: 3")
    code, out, _ = run("-", stdin=bad)
    assert code == 1
    first, last = out.splitlines()
    path = "spec.spec.devices.config[0].opaque.parameters.extraCheese"
    assert first == f"-:24: error: ResourceClaimTemplate dinner: {path}: must be true or false"
    assert last == "3 objects checked: 1 error, 0 warnings"
    code, out, _ = run("-", "-o", "json", stdin=bad)
    (finding,) = json.loads(out)["findings"]
    assert (code, finding["document"], finding["object"]) == (1, 2, "ResourceClaimTemplate dinner")
    code, out, _ = run(
        "-",
        "-o",
        "yaml",
        stdin=changed("deviceClassName: pizza}\n      - n", "deviceClassName: x}\n      - n"),
    )
    assert (code, yaml.safe_load(out)["warnings"]) == (0, 1)
    code, _, err = run(tmp_path / "none.yaml")
    assert (code, "none.yaml: cannot be read" in err) == (2, True)


def test_a_policy_and_examples_made_from_a_model_are_right(tmp_path):
    for action in ("policy", "example"):
        with (tmp_path / f"{action}.yaml").open("w") as file:
            command = [sys.executable, "-m", "pydra_core", "config", action, "--driver", "pizza"]
            subprocess.run(command, stdout=file, check=True, timeout=30)
    command = [sys.executable, "-m", "pydra_core", "validate", "policy.yaml", "example.yaml"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout) == (0, "5 objects checked: 0 errors, 0 warnings\n")
