"""The golden files are what the templates render to, and values that make no sense are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from charts.cases import CHART, Case
from charts.copies import compare as copies_behind
from charts.golden import compare, kept
from charts.objects import VERSIONS, faults
from charts.rendering import MISSING, RenderError, renderers
from charts.schema import schema
from charts.values_file import ValuesError, read
from pydra_core._node.sockets import locate
from pydra_core.errors import ConfigError
from pydra_core.settings import Settings
from pydra_nvidia.mps.folders import LONGEST

ROOT = Path(__file__).parents[2]
HERE = {renderer.name: renderer for renderer in renderers(ROOT)}


@pytest.mark.parametrize("name", ["helm", "helm_render"])
def test_golden_files_are_what_the_chart_renders_to(name):
    if name not in HERE:
        pytest.skip(f"{name} is not here" if HERE else MISSING)
    assert list(compare(ROOT, HERE[name], write=False)) == []


def test_alerts_and_policies_of_parameters_are_what_they_are_copied_from():
    assert list(copies_behind(ROOT, write=False)) == []


def test_what_kubernetes_would_refuse_of_an_object_is_found():
    (policy, device_class) = (
        next(b for b in kept(ROOT, "pizza") if b["kind"] == kind)
        for kind in ("ValidatingAdmissionPolicy", "DeviceClass")
    )
    policy["spec"]["validations"][0]["expression"] = "variables.broken0 =="
    device_class["spec"]["extendedResource"] = "pizza.example.com/whole"
    found = list(faults([policy, device_class]))
    strangers = [line for line in found if "('extendedResource' was unexpected)" in line]
    assert [line.split(": ")[1] for line in strangers] == [f"Kubernetes {v}" for v in VERSIONS]
    (broken,) = set(found) - set(strangers)
    assert "spec.validations[0].expression" in broken


def test_every_value_is_tried_with_another_one():
    def paths(values, above=()):
        for name, value in values.items():
            yield (*above, name)
            if isinstance(value, dict):
                yield from paths(value, (*above, name))

    chart = ROOT / CHART
    sets = [*(chart / "values").glob("*.yaml"), *(ROOT / "tests/charts/values").glob("*.yaml")]
    tried = {p for file in sets for p in paths(yaml.safe_load(file.read_text(encoding="utf-8")))}
    assert {value.path for value in read(chart / "values.yaml")} <= tried


def test_the_longest_kubelet_root_is_the_longest_the_driver_takes():
    made = json.loads((ROOT / CHART / "values.schema.json").read_text(encoding="utf-8"))
    longest = made["properties"]["kubeletRootDir"]["maxLength"]

    def take(length):
        uid = "0e7cb5f1-8b51-4a5c-a4a9-d1ab1d3ff2a6"
        locate(Settings(kubelet_root=Path("/" + "x" * (length - 1)), pod_uid=uid), "dra.pizza")

    take(longest)
    with pytest.raises(ConfigError, match="1 bytes"):
        take(longest + 1)


def test_the_longest_folder_of_mps_is_the_longest_the_keeper_takes():
    made = json.loads((ROOT / CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert made["properties"]["mps"]["properties"]["dir"]["maxLength"] == LONGEST


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (None, "driver.name: which driver?"),
        ("privileged: {enabled: true}", "privileged.because: say why"),
        ("shares: {of: sms}", "shares.of: nothing but MPS holds programs to multiprocessors"),
        ("{mps: {enabled: true}, shares: {of: 49}}", "shares.of: MPS serves 48 programs of a GPU at most"),
        ("mps: {enabled: true}", "mps.because: say why the keeper of MPS daemons needs all rights"),
        ("driver: {name: dra.other}", "has no policy for driver dra.other"),
        ("deviceClasses: {pizza: null, pizza-vegetarian: null, pizza-extra-cheese: null}", "test.deviceClass: there is no class"),
        ("serviceAccount: {create: false}", "serviceAccount.name: name the account"),
    ],
)  # fmt: skip
def test_what_cannot_be_installed_is_refused_with_the_value_to_set(values, told, tmp_path):
    if not HERE:
        pytest.skip(MISSING)
    own = tmp_path / "own.yaml"
    own.write_text(values or "")
    files = (own,) if values is None else (CHART / "values" / "pizza.yaml", own)
    for renderer in HERE.values():
        with pytest.raises(RenderError, match=told.replace("?", r"\?")):
            renderer.render(ROOT, Case("own", "own", "default", files))


def test_a_cluster_older_than_claims_is_told_which_value_to_set(monkeypatch):
    if not HERE:
        pytest.skip(MISSING)
    monkeypatch.setattr("charts.rendering.KUBERNETES", "1.33.4")
    files = (CHART / "values" / "pizza.yaml", Path("tests/charts/values/without-dra.yaml"))
    for renderer in HERE.values():
        with pytest.raises(RenderError, match=r"has no resource\.k8s\.io/v1.*set dra=false"):
            renderer.render(ROOT, Case("own", "own", "default", files[:1]))
        kinds = {b["kind"] for b in renderer.render(ROOT, Case("o", "o", "d", files)).objects}
        assert "DaemonSet" in kinds


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("dra",), "yes"),
        (("devicePlugin", "enabled"), "auto"),
        (("devicePlugin", "answer"), "env"),
        (("kubeletRoot",), "/data"),
        (("kubeletRootDir",), "data/kubelet"),
        (("kubeletRootDir",), "/data/kubelet/"),
        (("image", "digest"), "sha256:12"),
        (("image", "tags"), "1"),
        (("settings", "logLevel"), "loud"),
        (("settings", "drainTimeout"), 0),
        (("httpPort",), "9090"),
        (("deviceClasses", "pizza"), {"selector": "true"}),
        (("networkPolicy", "apiServerPorts"), [0]),
        (("shares", "of"), "memory,cores"),
        (("shares", "of"), 1),
        (("shares", "of"), "1"),
        (("shares", "gpus"), [0]),
        (("shares", "gpus"), ["MIG-1"]),
        (("mps", "dir"), "/run/pydra/mps/on/the/second/disk/of/each/node"),
        (("driver", "name"), "Pizza"),
    ],
)
def test_the_schema_refuses_what_the_chart_does_not_know(path, value):
    chart = ROOT / CHART
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    made = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(made)
    assert validator.is_valid(values)
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    assert not validator.is_valid(values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\n", "values.yaml:1: has no comment right above it"),
        ("# One.\n\na: 1\n", "values.yaml:3: has no comment right above it"),
        ("# One.\n# @ {no}\na: 1\n", "values.yaml:3: the line with @ is no JSON"),
        ("# One.\na: {}\n", "a: is empty; say by @ what may be in it"),
        ("# One.\na: []\n", "a: is empty; say by @ what may be in it"),
        ("# One.\na: null\n", "a: give it a default that shows its type"),
        ("# One.\na:\n  - 1\n", "values.yaml:3: write one key a line"),
    ],
)
def test_a_value_nobody_can_understand_is_no_value(text, told, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(ValuesError) as refused:
        schema("Values", read(file))
    assert str(refused.value).startswith(told)


def test_a_schema_or_table_that_is_behind_is_named(tmp_path):
    def generate(*flags):
        command = [
            sys.executable,
            str(ROOT / "tools/gen_values_schema.py"),
            "--root",
            str(tmp_path),
        ]
        return subprocess.run([*command, *flags], capture_output=True, text=True, check=False)

    chart = shutil.copytree(ROOT / CHART, tmp_path / CHART)
    assert generate("--check").returncode == 0
    values = chart / "values.yaml"
    values.write_text(values.read_text().replace("httpPort: 9090", "httpPort: 9091"))
    stale = generate("--check")
    assert stale.returncode == 1
    for name in ("values.schema.json", "README.md"):
        assert f"{CHART / name}: run python tools/gen_values_schema.py" in stale.stdout
    assert generate().returncode == generate("--check").returncode == 0
