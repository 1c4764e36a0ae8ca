"""The admission policy made from a driver's model says of parameters what the driver itself says."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import subprocess
import sys
from typing import Annotated, Literal

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from pydra_core import main
from pydra_core._parameters import shapes
from pydra_core._parameters.decoding import ParametersError, decode
from pydra_core._parameters.examples import manifests, parameters
from pydra_core._parameters.models import shape_of
from pydra_core._parameters.policy import policy
from pydra_core._parameters.schema import json_schema
from pydra_pizza import Order
from pydra_testbed.api import ApiServer
from pydra_testbed.clock import RealClock
from pydra_testbed.objects import ApiStatusError

DRIVER = "card.acme.example"
RESOURCES = {
    "DeviceClass": "deviceclasses",
    "ResourceClaim": "resourceclaims",
    "ResourceClaimTemplate": "resourceclaimtemplates",
}


class Limits(msgspec.Struct):
    watts: Annotated[int, Meta(ge=5, lt=400, multiple_of=5)]
    share: Annotated[float, Meta(gt=0, le=0.5)] = 0.5
    name: Annotated[str, Meta(min_length=2, max_length=4, pattern="^[a-z]+$")] | None = None


class Card(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    mode: Literal["fast", "slow"]
    retry_count: Literal[1, 2, 3] = 1
    limits: Limits | None = None
    windows: Annotated[list[Limits], Meta(min_length=1, max_length=2)] | None = None
    labels: dict[Annotated[str, Meta(max_length=3)], int | str | bool] = {}
    anything: float = 0.0


class Time(msgspec.Struct, tag="Time", tag_field="strategy"):
    seconds: int


class Space(msgspec.Struct, tag="Space", tag_field="strategy"):
    mebibytes: int


class Sharing(msgspec.Struct, rename="camel"):
    api_version: Literal["acme.example/v1"]
    kind: Literal["Sharing"]
    how: Time | Space


class NewSharing(msgspec.Struct, rename="camel"):
    api_version: Literal["acme.example/v2"]
    kind: Literal["Sharing"]
    how: list[Time | Space] = []


class Empty(msgspec.Struct, tag="Empty", tag_field="kind"):
    pass


MODELS = {
    "pizza": Order,
    "card": Card,
    "kinds": Sharing | NewSharing,
    "empty": Empty,
}

SCALARS = st.sampled_from(
    [None, True, False, 0, 1, 3, 4, 5, 10, 399, 400, 1 << 63, -(1 << 63), 0.5, 1.0, 0.0, -1.5, "", "a", "ab",
     "abcde", "Ab", "ab\n", "fast", "Time", "acme.example/v1", "acme.example/v2", "\N{SLICE OF PIZZA}\N{SLICE OF PIZZA}", [], {}, [1],
     {"a": 1}]
)  # fmt: skip
NAMES = st.sampled_from(
    ["mode", "kind", "apiVersion", "limits", "watts", "seconds", "x", "mod e", "it's", 'q"', ""]
)


def fitting(shape):  # noqa: C901, PLR0911 (a table of shapes)
    """Values that mostly fit."""
    match shape:
        case shapes.Choice(values):
            return st.sampled_from(values)
        case shapes.Items(item):
            return st.lists(fitting(item), max_size=2)
        case shapes.Table(_, value):
            return st.dictionaries(st.sampled_from(["a", "ab", "abcd"]), fitting(value), max_size=2)
        case shapes.Record():
            required = {f.name: fitting(f.shape) for f in shape.fields if f.required}
            optional = {f.name: fitting(f.shape) for f in shape.fields if not f.required}
            return st.fixed_dictionaries(required, optional=optional)
        case shapes.Variants(variants):
            return st.one_of([
                fitting(v.record).map(lambda made, v=v: {**made, **dict(v.marks)}) for v in variants
            ])  # fmt: skip
        case shapes.Either(options):
            return st.one_of([fitting(o) for o in options])
        case shapes.Whole():
            return st.sampled_from([5, 10, 395])
        case shapes.Real():
            return st.sampled_from([0.5, 0.25, 1])
        case shapes.Text():
            return st.sampled_from(["ab", "abcd"])
        case shapes.Flag():
            return st.booleans()
    return st.none()


@st.composite
def changed(draw, shape):
    """A value that fits, with up to two places changed, removed or added."""
    value = draw(fitting(shape))
    for _ in range(draw(st.integers(0, 2))):
        at = value
        while isinstance(at, (dict, list)) and at:
            key = (
                draw(st.sampled_from(sorted(at)))
                if isinstance(at, dict)
                else draw(st.integers(0, len(at) - 1))
            )
            if isinstance(at[key], (dict, list)) and at[key] and draw(st.booleans()):
                at = at[key]
                continue
            match draw(st.sampled_from(["change", "remove", "add"])):
                case "change":
                    at[key] = copy.deepcopy(draw(SCALARS))
                case "remove":
                    del at[key]
                case _ if isinstance(at, dict):
                    at[draw(NAMES)] = copy.deepcopy(draw(SCALARS))
                case _:
                    at.append(copy.deepcopy(draw(SCALARS)))
            break
    return value


def driver_says(model, value):
    try:
        decode(model, json.dumps(value).encode())
    except ParametersError as err:
        return err
    return None


def place(body, value):
    body = copy.deepcopy(body)
    spec = body["spec"].get("spec", body["spec"])
    (entry,) = spec.get("devices", spec)["config"]
    entry["opaque"]["parameters"] = value
    return body


class Cluster:
    """An API server with a policy, and one object of each kind to put parameters into."""

    def __init__(self, model, driver=DRIVER):
        self.api = ApiServer(RealClock()).local
        self.bodies = manifests(driver, model)
        self.numbers = itertools.count()
        self.model = model

    async def start(self, driver=DRIVER, **options):
        made, binding = policy(driver, self.model, **options)
        await self.api.create("validatingadmissionpolicies", made)
        await self.api.create("validatingadmissionpolicybindings", binding)
        return self

    async def says(self, value, which):
        """What admission says of parameters in the body of that number, None if it takes them."""
        body = place(self.bodies[which], value)
        body["metadata"]["name"] = f"n{next(self.numbers)}"
        try:
            await self.api.create(RESOURCES[body["kind"]], body, "default")
        except ApiStatusError as err:
            return err
        return None


@pytest.mark.parametrize("name", MODELS)
def test_admission_and_driver_agree_on_any_parameters(name):
    model = MODELS[name]
    validator = jsonschema.Draft202012Validator(json_schema(model, name))
    seen = set()

    with asyncio.Runner() as runner:
        cluster = runner.run(Cluster(model).start())

        @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(value=changed(shape_of(model)), which=st.integers(0, 2))
        def hold(value, which):
            told, admitted = driver_says(model, value), runner.run(cluster.says(value, which))
            assert (told is None) == (admitted is None), (value, told, admitted)
            seen.add(told is None)
            text = json.dumps(value)
            if ".0" not in text and "\\n" not in text and "9223372036854775808" not in text:
                assert validator.is_valid(value) == (told is None)

        hold()
    assert seen == {True, False}


async def test_numbers_beyond_64_bits_are_floats_to_both():
    cluster = await Cluster(Card).start()
    for number in (1 << 63, -(1 << 63) - 1, 1e300):
        assert driver_says(Card, {"mode": "fast", "anything": number}) is None
        assert await cluster.says({"mode": "fast", "anything": number}, 1) is None
        limits = {"mode": "fast", "limits": {"watts": number}}
        assert driver_says(Card, limits).path == "limits.watts"
        assert "limits.watts: must be a whole number" in (await cluster.says(limits, 1)).message


async def test_the_message_has_the_path_from_the_object_to_the_field():
    cluster = await Cluster(Card).start()
    held = [
        ({"mode": "fast", "limits": {"watts": 7}}, ".limits.watts: must be a multiple of 5"),
        ({"mode": "fast", "limits": {"watts": 5, "wats": 7}}, ".limits.wats: unknown field; known are watts,"),
        ({"mode": "fast", "windows": [{"watts": 5}, {"watts": 1}]}, ".windows[*].watts: must be at least 5"),
        ({"mode": 1}, ".mode: must be one of fast, slow"),
        ({}, ".mode: is required"),
    ]  # fmt: skip
    starts = ("spec.config[0]", "spec.devices.config[0]", "spec.spec.devices.config[0]")
    for value, says in held:
        for which, start in enumerate(starts):
            err = await cluster.says(value, which)
            assert f"denied request: {start}.opaque.parameters{says}" in err.message
            assert err.code == 422


async def test_other_drivers_and_objects_without_parameters_are_none_of_its_business():
    cluster = await Cluster(Card).start()
    _, claim, _ = cluster.bodies
    other = copy.deepcopy(claim)
    other["spec"]["devices"]["config"][0]["opaque"] = {
        "driver": "other.example",
        "parameters": {"x": 1},
    }
    bare = copy.deepcopy(claim)
    del bare["spec"]["devices"]["config"]
    for number, body in enumerate((other, bare)):
        body["metadata"]["name"] = f"other-{number}"
        await cluster.api.create("resourceclaims", body, "default")
    second = copy.deepcopy(claim)
    wrong = {"requests": ["device"], "opaque": {"driver": DRIVER, "parameters": {"mode": "s"}}}
    second["spec"]["devices"]["config"] = [other["spec"]["devices"]["config"][0], wrong]
    with pytest.raises(
        ApiStatusError, match=r"spec\.devices\.config\[1\]\.opaque\.parameters\.mode"
    ):
        await cluster.api.create("resourceclaims", second, "default")


async def test_objects_from_before_the_policy_can_still_change():
    cluster = Cluster(Card)
    stored = [
        await cluster.api.create(RESOURCES[b["kind"]], place(b, {"mode": "old"}), "default")
        for b in cluster.bodies
    ]
    await cluster.start()
    for body in stored:
        body["metadata"]["labels"] = {"touched": "yes"}
        await cluster.api.update(RESOURCES[body["kind"]], body)
    renewed = await cluster.api.update(
        "deviceclasses", place(await _class(cluster), {"mode": "slow"})
    )
    with pytest.raises(ApiStatusError, match="mode"):
        await cluster.api.update("deviceclasses", place(renewed, {"mode": "old"}))


async def _class(cluster):
    (found,) = (await cluster.api.list("deviceclasses")).items
    return found


async def test_a_driver_without_a_model_takes_nothing():
    cluster = Cluster(Card)
    cluster.model = None
    await cluster.start()
    assert "takes no parameters" in (await cluster.says({"mode": "fast"}, 1)).message


@pytest.mark.parametrize("name", MODELS)
async def test_examples_are_admitted(name):
    cluster = await Cluster(MODELS[name]).start()
    for body in cluster.bodies:
        await cluster.api.create(RESOURCES[body["kind"]], body, "default")
    assert all(driver_says(MODELS[name], made) is None for made in parameters(MODELS[name]))


def test_the_commands_print_what_kubectl_and_editors_take(capsys):
    command = [sys.executable, "-m", "pydra_pizza", "config"]
    shown = subprocess.run([*command, "schema"], capture_output=True, check=True, timeout=30)
    schema = json.loads(shown.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == "Parameters of driver dra.pizza"

    def documents(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(None, ["config", *arguments, "--driver", "pizza"])
        assert ended.value.code == 0
        return list(yaml.safe_load_all(capsys.readouterr().out))

    made, binding = documents("policy", "--name", "pizza", "--action", "Audit")
    assert (made["metadata"]["name"], binding["spec"]["policyName"]) == ("pizza", "pizza")
    assert binding["spec"]["validationActions"] == ["Audit"]
    kinds = [body["kind"] for body in documents("example")]
    assert kinds == ["DeviceClass", "ResourceClaim", "ResourceClaimTemplate"]
    (listed,) = documents("example", "-o", "json")
    assert [body["kind"] for body in listed["items"]] == kinds
