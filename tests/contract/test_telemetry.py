"""The written policies of metrics and logs, held against the code; and the example alerts and dashboard."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from pydra_core._telemetry.metrics import Metrics
from pydra_core.metrics import metric_faults
from pydra_nvidia.driver import NvidiaDriver

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CODE = ROOT / "packages/pydra-core/src/pydra_core"
LABELS = {"driver", "method", "operation", "reason", "health", "result", "sdk", "api", "resource"}
METHODS = {"debug", "info", "warning", "error", "exception", "log"}
SAYS_ALL = {
    "calls of the driver hang in threads; leaving them behind",
    "settings reloaded",
    "socket of a dead instance removed",
    "stack of a thread",
    "stack of a task",
    "health of more devices changed",
}


def registered():
    """Name to (type, labels) of every metric there is."""
    found = {}
    for collector in Metrics("card.acme.example").registry._collector_to_names:
        kind = collector._type
        name = collector._name + ("_total" if kind == "counter" else "")
        found[name] = (kind, tuple(collector._labelnames))
    return found


def documented(own=""):
    ours, _, drivers = (DOCS / "dev/metrics.md").read_text().partition("## Of a driver")
    _, _, drivers = drivers.partition(f"Of `{own}`;")
    text = drivers if own else ours
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", text, re.MULTILINE)
    return {name: (kind, tuple(labels.strip().split(", "))) for name, kind, labels in rows}


def test_every_metric_is_documented_with_its_type_and_labels():
    assert documented() == registered()


def test_metrics_of_nvidias_driver_follow_the_policy_and_are_documented():
    own = NvidiaDriver.metrics
    assert metric_faults(own) == ()
    assert documented("pydra-nvidia") == {name: (m.kind, m.labels) for name, m in own.items()}


def test_names_and_labels_of_metrics_follow_the_policy():
    for name, (kind, labels) in registered().items():
        assert name.startswith("pydra_")
        assert name.endswith("_total") == (kind == "counter")
        assert kind != "histogram" or name.endswith("_seconds")
        assert set(labels) <= LABELS
        assert labels[0] == "driver"


def expressions():
    alerts = yaml.safe_load((DOCS / "alerts.yaml").read_text())
    assert alerts["kind"] == "PrometheusRule"
    for group in alerts["spec"]["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "description"}
            yield rule["alert"], rule["expr"]
    for panel in json.loads((DOCS / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_alerts_and_panels_ask_for_metrics_and_labels_that_exist(name, expression):
    own = {name: (m.kind, ("driver", *m.labels)) for name, m in NvidiaDriver.metrics.items()}
    known = registered() | own
    series = {}
    for metric, (kind, labels) in known.items():
        ends = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        series |= {
            metric + end: {*labels, "le"} if end == "_bucket" else set(labels) for end in ends
        }
    used = set(re.findall(r"pydra_\w+", expression))
    assert used
    assert used <= set(series), name
    for metric, chosen in re.findall(r"(pydra_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r'(\w+)!?="', chosen)) <= series[metric], name
    for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression):
        labels = set(re.split(r",\s*", group)) - {"instance"}
        assert all(labels <= series[metric] for metric in used), name


def log_calls():
    for file in sorted(CODE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "_log"
            ):
                yield f"{file.relative_to(CODE)}:{node.lineno}", node


def messages(node):
    """The texts a message may have, if they are constants."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return messages(body) + messages(other)
        case ast.Subscript(value=ast.Name(id=name)) if name.isupper():
            return ["a constant table"]
    return []


def test_log_messages_are_constants_without_a_full_stop():
    calls = list(log_calls())
    assert len(calls) > 40
    for where, call in calls:
        assert call.func.attr in METHODS, where
        texts = messages(call.args[1] if call.func.attr == "log" else call.args[0])
        assert texts, where
        for text in texts:
            assert text[0].islower() or text.split()[0].isupper(), where
            assert not text.endswith("."), where
            assert "%" not in text, where


def test_log_fields_are_those_of_the_page():
    known = set(re.findall(r"`(\w+)`", (DOCS / "dev/logs.md").read_text()))
    for where, call in log_calls():
        for keyword in call.keywords:
            if isinstance(keyword.value, ast.Dict):
                keys = {k.value for k in keyword.value.keys if isinstance(k, ast.Constant)}
                assert keys <= known, where


def test_errors_and_warnings_say_why():
    for where, call in log_calls():
        if call.func.attr not in ("warning", "error") or set(messages(call.args[0])) & SAYS_ALL:
            continue
        fields = [k.value for k in call.keywords if k.arg == "extra"]
        assert fields, where
        literal = fields[0]
        if isinstance(literal, ast.Dict) and None not in literal.keys:
            names = {k.value for k in literal.keys}
            assert names & {"why", "uid", "reason", "line"}, where
