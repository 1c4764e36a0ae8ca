from __future__ import annotations

import enum
import json
from typing import Annotated, Literal

import jsonschema
import msgspec
import pytest
from msgspec import Meta

from pydra_core._parameters.decoding import ParametersError, decode
from pydra_core._parameters.examples import manifests, parameters
from pydra_core._parameters.patterns import found, problem
from pydra_core._parameters.policy import policy
from pydra_core._parameters.schema import json_schema
from pydra_core.errors import ConfigError


class Strategy(enum.Enum):
    TIME_SLICING = "TimeSlicing"
    EXCLUSIVE = "Exclusive"


class Window(msgspec.Struct):
    start: Annotated[int, Meta(ge=0)]
    name: Annotated[str, Meta(pattern="^[a-z]+$", max_length=8, examples=["night"])] = "night"


class Sharing(msgspec.Struct, rename="camel"):
    """How a card is shared."""

    strategy: Strategy
    max_clients: Annotated[int, Meta(ge=1, le=48, description="Clients at most.")] = 1
    memory_share: Annotated[float, Meta(gt=0, le=1)] | None = None
    windows: Annotated[list[Window], Meta(max_length=2)] = []
    labels: dict[str, int | str] = {}


class V1(msgspec.Struct, rename="camel"):
    api_version: Literal["acme.example/v1"]
    kind: Literal["CardConfig"]
    sharing: Sharing


class V2(msgspec.Struct, rename="camel"):
    api_version: Literal["acme.example/v2"]
    kind: Literal["CardConfig"]
    sharing: Sharing | None = None
    power_limit: Annotated[int, Meta(multiple_of=5)] = 5


class Link(msgspec.Struct, rename="camel"):
    api_version: Literal["acme.example/v2"]
    kind: Literal["LinkConfig"]


CONFIG = V1 | V2 | Link
HEAD = {"apiVersion": "acme.example/v1", "kind": "CardConfig"}


def read(value, model=CONFIG):
    return decode(model, json.dumps(value).encode())


def test_a_union_is_told_apart_by_version_and_kind():
    assert isinstance(read({**HEAD, "sharing": {"strategy": "Exclusive"}}), V1)
    assert isinstance(read({**HEAD, "apiVersion": "acme.example/v2"}), V2)
    assert isinstance(read({"apiVersion": "acme.example/v2", "kind": "LinkConfig"}), Link)


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        ([], "", "must be an object"),
        ({}, "kind", "must be CardConfig with apiVersion acme.example/v1 or CardConfig with"),
        ({**HEAD, "kind": "LinkConfig"}, "kind", "LinkConfig with apiVersion acme.example/v2"),
        (HEAD, "sharing", "is required"),
        ({**HEAD, "sharing": None}, "sharing", "must be an object"),
        ({**HEAD, "sharing": {}}, "sharing.strategy", "is required"),
        ({**HEAD, "sharing": {"strategy": 1}}, "sharing.strategy", "one of TimeSlicing, Exclusive"),
        ({**HEAD, "sharing": {"stratgy": "x"}}, "sharing.stratgy", "did you mean strategy?"),
        ({**HEAD, "zzz": 1}, "zzz", "known are apiVersion, kind, sharing"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "maxClients": 49}}, "sharing.maxClients", "at most 48"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "maxClients": 1.0}}, "sharing.maxClients", "a whole number"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "maxClients": 1 << 64}}, "sharing.maxClients", "a whole"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "memoryShare": 0}}, "sharing.memoryShare", "greater than 0"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "memoryShare": "x"}}, "sharing.memoryShare", "a number or null"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "windows": [{"start": 1}, {"start": -1}]}},
         "sharing.windows[1].start", "at least 0"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "windows": [{"start": 1, "name": "A"}]}},
         "sharing.windows[0].name", "must match"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "windows": [{"start": 1}] * 3}},
         "sharing.windows", "at most 2 entries"),
        ({**HEAD, "sharing": {"strategy": "Exclusive", "labels": {"rack": True}}},
         "sharing.labels[rack]", "a string or a whole number"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_path(value, path, says):
    with pytest.raises(ParametersError) as caught:
        read(value)
    assert caught.value.path == path
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"at {path}: " if path else "must")


def test_values_are_never_quoted_and_long_names_are_cut():
    for value in ({**HEAD, "sharing": "s3cret"}, {**HEAD, "sharing": {"strategy": "s3cret"}}):
        with pytest.raises(ParametersError) as caught:
            read(value)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(ParametersError) as caught:
        read({**HEAD, "x" * 5000: 1})
    assert len(str(caught.value)) < 300


class Checked(msgspec.Struct):
    low: int
    high: int

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError("low must not be above high")


class Wordy(msgspec.Struct):
    size: int

    def __post_init__(self):
        raise ValueError("long " * 1000)


def test_a_long_word_of_the_model_is_cut():
    with pytest.raises(ParametersError) as told:
        read({"size": 1}, Wordy)
    assert len(str(told.value)) < 400


def test_what_only_the_model_knows_is_asked_last():
    assert read({"low": 1, "high": 2}, Checked) == Checked(1, 2)
    with pytest.raises(ParametersError, match="low must not be above high"):
        read({"low": 3, "high": 2}, Checked)


class Tagged(msgspec.Struct, tag="Only", tag_field="kind"):
    size: int = 1


def test_the_kind_at_the_top_is_required_even_where_there_is_one():
    assert read({"kind": "Only"}, Tagged) == Tagged()
    with pytest.raises(ParametersError, match="at kind: is required"):
        read({}, Tagged)


@pytest.mark.parametrize(
    ("pattern", "agreed"),
    [
        ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", True),
        (r"^\d{1,3}(?:Mi|Gi)$", True),
        (r"^a|b\.c$", True),
        ("(?=a)", False),
        (r"(a)\1", False),
        ("a++", False),
        ("[[:alpha:]]", False),
        (r"\s", False),
        ("a{,3}", False),
        ("a{2000}", False),
        (r"\Z", False),
        ("[?+]x", True),
    ],
)
def test_patterns_are_those_all_engines_read_alike(pattern, agreed):
    assert (problem(pattern) == "") is agreed


def test_the_end_of_a_pattern_is_the_end_of_the_text():
    assert found("^a$", "a")
    assert not found("^a$", "a\n")
    assert not found(r"^\d$", "\N{ARABIC-INDIC DIGIT ONE}")
    assert found("[$]", "$")


def test_the_schema_is_one_of_2020_12_and_agrees():
    schema = json_schema(CONFIG, "cards")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for made in parameters(CONFIG):
        validator.validate(made)
        read(made)
    assert not validator.is_valid({**HEAD, "sharing": {"strategy": "Exclusive", "maxClient": 1}})
    assert not validator.is_valid(HEAD)
    sharing = schema["oneOf"][0]["properties"]["sharing"]
    assert sharing["description"] == "How a card is shared."
    assert sharing["properties"]["maxClients"]["description"] == "Clients at most."
    assert sharing["properties"]["maxClients"]["default"] == 1


def test_examples_are_a_class_and_claims_for_each_kind():
    made = manifests("card.acme.example", CONFIG)
    assert [(m["kind"], m["metadata"]["name"]) for m in made] == [
        ("DeviceClass", "card.acme.example"),
        ("ResourceClaim", "cardconfig-1"),
        ("ResourceClaimTemplate", "cardconfig-1"),
        ("ResourceClaim", "cardconfig-2"),
        ("ResourceClaimTemplate", "cardconfig-2"),
        ("ResourceClaim", "linkconfig"),
        ("ResourceClaimTemplate", "linkconfig"),
    ]


class Hard(msgspec.Struct):
    code: Annotated[str, Meta(pattern="^[A-Z]{3}-[0-9]{4}$")]


class Helped(msgspec.Struct):
    code: Annotated[str, Meta(pattern="^[A-Z]{3}-[0-9]{4}$", examples=["ABC-1234"])]


def test_an_example_that_cannot_be_made_up_is_asked_for():
    with pytest.raises(ConfigError, match=r"code: no example .*Meta\(examples="):
        parameters(Hard)
    assert parameters(Helped) == [{"code": "ABC-1234"}]


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Looked(msgspec.Struct):
    name: Annotated[str, Meta(pattern="(?=a)")]


@pytest.mark.parametrize(("model", "path"), [(Tree, "children"), (Looked, "name")])
def test_what_admission_cannot_judge_is_named_and_still_decoded(model, path):
    with pytest.raises(ConfigError, match=f"parameters: {path}.*: cannot be checked at admission"):
        policy("card.acme.example", model)
    assert read({"children": [{"children": []}]}, Tree) == Tree([Tree()])
    assert read({"name": "ab"}, Looked) == Looked("ab")


class Stepped(msgspec.Struct):
    share: Annotated[float, Meta(multiple_of=0.25)]


def test_what_admission_cannot_judge_is_decoded_strictly_too():
    assert read({"share": 0.5}, Stepped) == Stepped(0.5)
    with pytest.raises(ParametersError, match="at share: "):
        read({"share": "0.5"}, Stepped)


def test_the_policy_leaves_old_claims_alone():
    made, binding = policy("card.acme.example", CONFIG, action="Warn")
    rules = made["spec"]["matchConstraints"]["resourceRules"]
    updated = [r["resources"] for r in rules if "UPDATE" in r["operations"]]
    assert updated == [["deviceclasses"]]
    assert binding["spec"] == {
        "policyName": "parameters.card.acme.example",
        "validationActions": ["Warn"],
    }
