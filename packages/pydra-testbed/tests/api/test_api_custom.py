from __future__ import annotations

import pytest


def compute(called="c", **spec) -> dict:
    return {"metadata": {"name": called}, "spec": {"size": 3} | spec}


async def test_a_definition_is_established_and_serves_its_kind(kube, definition):
    async with kube.watch(kube.definitions, resourceVersion="0") as watch:
        await kube.ok("POST", kube.definitions, definition)
        seen = [await watch.next() for _ in range(2)]
    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED"]
    status = seen[1]["object"]["status"]
    assert {entry["type"]: entry["status"] for entry in status["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert status["storedVersions"] == ["v1"]
    assert status["acceptedNames"]["listKind"] == "ComputeList"
    served = await kube.ok("GET", "/apis/example.com/v1")
    assert [entry["name"] for entry in served["resources"]] == ["computes", "computes/status"]
    assert served["resources"][0]["shortNames"] == ["cmp"]
    assert served["resources"][0]["categories"] == ["all"]


async def test_defaults_are_filled_in_and_unknown_fields_dropped_with_a_warning(kube, computes):
    body = compute(odd=1, parts=[{"id": "a"}], free={"any": {"thing": 1}}, note=None)
    reply = await kube.call("POST", computes, body)
    assert reply.status == 201
    assert reply.warnings == ['299 - "unknown field \\"spec.odd\\""']
    assert reply.body["spec"] == {
        "size": 3,
        "mode": "fast",
        "parts": [{"id": "a", "side": "left"}],
        "free": {"any": {"thing": 1}},
        "note": None,
    }
    status = await kube.refused("POST", computes, compute("d", odd=1), fieldValidation="Strict")
    assert 'unknown field "spec.odd"' in status["message"]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"size": "x"}, "spec.size", 'must be of type integer: "string"'),
        ({"size": 0}, "spec.size", "should be greater than or equal to 1"),
        ({"size": 10}, "spec.size", "should be less than or equal to 9"),
        ({"mode": "no"}, "spec.mode", 'Unsupported value: "no": supported values: "fast", "slow"'),
        ({"name": "UP"}, "spec.name", "should match '^[a-z]+$'"),
        ({"name": "a"}, "spec.name", "should be at least 2 chars long"),
        ({"name": "abcdef"}, "spec.name", "Too long: may not be more than 5 bytes"),
        ({"port": True}, "spec.port", "must be of type integer,string"),
        ({"when": "today"}, "spec.when", 'must be of type date-time: "today"'),
        ({"tags": ["a", "a"]}, "spec.tags[1]", 'Duplicate value: "a"'),
        ({"parts": [{"side": "x"}]}, "spec.parts[0].id", "Required value"),
        ({"parts": [{"id": "a"}] * 2}, "spec.parts[1]", '{"id":"a","side":"left"}'),
        ({"parts": [{"id": i} for i in "abcd"]}, "spec.parts", "Too many: 4: must have at most 3"),
        ({"parts": [{"id": "a", "weight": 0.7}]}, "spec.parts[0].weight", "a multiple of 0.5"),
    ],
)
async def test_what_breaks_the_schema_is_refused_by_field(kube, computes, spec, field, message):
    status = await kube.refused("POST", computes, compute(**spec))
    assert (status["code"], status["reason"]) == (422, "Invalid")
    cause = status["details"]["causes"][0]
    assert cause["field"] == field
    assert message in cause["message"]


async def test_status_is_written_by_its_own_path_and_counts_no_generation(kube, computes):
    made = await kube.ok("POST", computes, compute() | {"status": {"phase": "sent"}})
    assert "status" not in made
    made["status"] = {"phase": "Ready"}
    made["spec"]["size"] = 5
    told = await kube.ok("PUT", f"{computes}/c/status", made)
    assert (told["status"], told["spec"]["size"]) == ({"phase": "Ready"}, 3)
    assert told["metadata"]["generation"] == 1
    told["spec"]["size"] = 5
    changed = await kube.ok("PUT", f"{computes}/c", told)
    assert (changed["metadata"]["generation"], changed["status"]) == (2, {"phase": "Ready"})


async def test_an_object_that_broke_a_later_schema_can_still_be_changed_elsewhere(
    kube, computes, definition
):
    await kube.ok("POST", computes, compute(size=9))
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["size"]["maximum"] = 5
    await kube.ok("PUT", f"{kube.definitions}/computes.example.com", definition)
    media = "application/merge-patch+json"
    labels = {"metadata": {"labels": {"a": "b"}}}
    await kube.ok("PATCH", f"{computes}/c", labels, media=media)
    worse = {"spec": {"size": 8}}
    assert (await kube.refused("PATCH", f"{computes}/c", worse, media=media))["code"] == 422


async def test_deleting_a_definition_takes_its_objects_along(kube, computes):
    await kube.ok("POST", computes, compute())
    async with kube.watch(computes) as watch:
        assert await watch.take(1) == [("ADDED", "c")]
        await kube.ok("DELETE", f"{kube.definitions}/computes.example.com")
        assert await watch.take(1) == [("DELETED", "c")]
    assert (await kube.refused("GET", computes))["code"] == 404
    gone = await kube.refused("GET", f"{kube.definitions}/computes.example.com")
    assert gone["reason"] == "NotFound"


async def test_a_definition_waits_for_objects_that_something_holds(kube, computes):
    held = compute() | {"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    await kube.ok("POST", computes, held)
    await kube.ok("DELETE", f"{kube.definitions}/computes.example.com")
    await kube.ok("GET", f"{kube.definitions}/computes.example.com")
    media = "application/merge-patch+json"
    await kube.ok("PATCH", f"{computes}/c", {"metadata": {"finalizers": None}}, media=media)
    gone = await kube.refused("GET", f"{kube.definitions}/computes.example.com")
    assert gone["code"] == 404


@pytest.mark.usefixtures("computes")
async def test_names_that_somebody_has_are_not_accepted(kube, definition):
    definition["metadata"]["name"] = "machines.example.com"
    definition["spec"]["names"] = {"plural": "machines", "kind": "Compute"}
    await kube.ok("POST", kube.definitions, definition)
    read = await kube.ok("GET", f"{kube.definitions}/machines.example.com")
    conditions = {entry["type"]: entry for entry in read["status"]["conditions"]}
    assert conditions["NamesAccepted"]["status"] == conditions["Established"]["status"] == "False"
    assert (await kube.refused("GET", "/apis/example.com/v1/machines"))["code"] == 404


def broken(definition, **changes):
    version = definition["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    match changes.popitem():
        case ("name", name):
            definition["metadata"]["name"] = name
        case ("scope", scope):
            definition["spec"]["scope"] = scope
        case ("storage", storage):
            version["storage"] = storage
        case ("schema", None):
            del version["schema"]
        case ("spec", spec):
            schema["properties"]["spec"] = spec
        case ("conversion", conversion):
            definition["spec"]["conversion"] = conversion
    return definition


AT = "spec.versions[0].schema.openAPIV3Schema"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "other.example.com"}, "metadata.name"),
        ({"scope": "Galaxy"}, "spec.scope"),
        ({"storage": False}, "spec.versions"),
        ({"schema": None}, AT),
        ({"spec": {"properties": {}}}, f"{AT}.properties[spec].type"),
        ({"spec": {"type": "array"}}, f"{AT}.properties[spec].items"),
        ({"spec": {"type": "thing"}}, f"{AT}.properties[spec].type"),
        (
            {"spec": {"type": "object", "x-kubernetes-validations": [{"rule": "self."}]}},
            f"{AT}.properties[spec].x-kubernetes-validations[0].rule",
        ),
        (
            {
                "spec": {
                    "type": "object",
                    "x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": True}],
                }
            },
            f"{AT}.properties[spec].x-kubernetes-validations[0].rule",
        ),
        ({"conversion": {"strategy": "Webhook"}}, "spec.conversion.strategy"),
    ],
)
async def test_a_definition_that_cannot_be_kept_is_refused(kube, definition, change, field):
    status = await kube.refused("POST", kube.definitions, broken(definition, **change))
    assert status["code"] == 422
    assert field in [cause["field"] for cause in status["details"]["causes"]]


RULES = "x-kubernetes-validations"


@pytest.fixture
async def ruled(kube, definition):
    """Create or change an object of a kind with rules; returns the cause of a refusal."""
    root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root[RULES] = [{"rule": "self.metadata.name.startsWith('c')", "message": "must start with c"}]
    spec = root["properties"]["spec"]
    spec["properties"] |= {"max-size": {"type": "integer"}, "weight": {"type": "number"}}
    spec[RULES] = [
        {
            "rule": "!has(self.max__dash__size) || self.size <= self.max__dash__size",
            "messageExpression": "'size over ' + string(self.max__dash__size)",
            "fieldPath": ".size",
        },
        {"rule": "!has(self.weight) || self.weight < 2.5"},
    ]
    spec["properties"]["mode"][RULES] = [
        {"rule": "self == oldSelf", "message": "stays", "reason": "FieldValueForbidden"}
    ]
    part = spec["properties"]["parts"]["items"]
    part["properties"]["weight"][RULES] = [{"rule": "self >= oldSelf", "message": "only grows"}]
    await kube.ok("POST", kube.definitions, definition)
    path = "/apis/example.com/v1/namespaces/default/computes"

    async def write(method="POST", called="c", **fields):
        body = compute(called, **fields)
        if method == "PUT":
            read = await kube.ok("GET", f"{path}/{called}")
            body["metadata"] = read["metadata"]
        target = path if method == "POST" else f"{path}/{called}"
        reply = await kube.call(method, target, body)
        causes = reply.body.get("details", {}).get("causes", [{}])
        return (causes[0].get("field"), causes[0].get("message")) if reply.status >= 400 else None

    return write


async def test_rules_see_values_and_say_what_is_wrong(ruled):
    assert await ruled(**{"max-size": 2}) == (
        "spec.size",
        'Invalid value: "object": size over 2',
    )
    field, message = await ruled(weight=3)
    assert (field, "failed rule: !has(self.weight)" in message) == ("spec", True)
    assert await ruled(called="d") == ("<nil>", 'Invalid value: "object": must start with c')
    assert await ruled(weight=2, **{"max-size": 3}) is None


async def test_rules_about_changes_hold_where_something_was(ruled):
    assert await ruled(mode="fast", parts=[{"id": "a", "weight": 2}]) is None
    assert await ruled("PUT", mode="slow") == ("spec.mode", "Forbidden: stays")
    parts = [{"id": "b", "weight": 1}, {"id": "a", "weight": 1}]
    field, message = await ruled("PUT", parts=parts)
    assert (field, message) == ("spec.parts[1].weight", 'Invalid value: "number": only grows')
    assert await ruled("PUT", parts=[{"id": "a", "weight": 3}]) is None
