"""What is said about requests that cannot be read: in the words of Kubernetes and of Go's JSON reader."""

from __future__ import annotations

import pytest

SLICES = "/apis/resource.k8s.io/v1/resourceslices"
UNKNOWN = "the object provided is unrecognized (must be of type ResourceSlice): couldn't get version/kind; "
LOOSE = (
    'fieldValidation: Unsupported value: "Loose": supported values: "", "Ignore", "Strict", "Warn"'
)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"not json", "invalid character 'o' in literal null (expecting 'u') (6e6f74206a736f6e)"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":[1 2]}', "invalid character '2' after array element"),
        (b'{"a":1}}', "invalid character '}' after top-level value"),
        (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
        (b'{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
        (b'{"a":"\t"}', "invalid character '\\t' in string literal"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"[]", "json: cannot unmarshal array into Go value of type struct"),
    ],
)
async def test_a_text_that_is_no_object_is_told_why(kube, body, problem):
    refused = await kube.refused("POST", SLICES, body)
    assert refused["code"] == 400
    assert refused["message"].startswith(f"{UNKNOWN}json parse error: {problem}")


async def test_the_beginning_of_an_unreadable_body_is_shown(kube):
    refused = await kube.refused("POST", SLICES, b'{"kind": "ResourceSlice", "spec": {"driver"}}')
    assert refused["message"].endswith('({"kind": "ResourceSlice", "spe ...)')


async def test_numbers_are_quoted_as_they_were_written(kube):
    refused = await kube.refused("POST", SLICES, b'{"spec":{"pool":{"generation":1e3}}}')
    assert "cannot unmarshal number 1e3 into Go struct field" in refused["message"]


async def test_halves_of_surrogate_pairs_are_refused(kube):
    assert (await kube.call("POST", kube.maps, rb'{"data":{"a":"\ud800"}}')).status == 400


async def test_spaces_count_in_the_size_of_opaque_data(kube):
    parameters = '{"a": "' + "x" * (10 * 1024 - len('{"a":""}')) + '"}'
    body = (
        '{"metadata":{"name":"c"},"spec":{"devices":{"requests":[{"name":"r","exactly":'
        '{"deviceClassName":"x"}}],"config":[{"opaque":{"driver":"a","parameters":%s}}]}}}'
    )
    refused = await kube.refused("POST", kube.claims, (body % parameters).encode())
    assert refused["details"]["causes"][0]["reason"] == "FieldValueTooLong"
    await kube.ok("POST", kube.claims, (body % parameters.replace(": ", ":")).encode())


async def test_a_body_of_another_kind_or_an_unknown_one_is_refused(kube, samples):
    refused = await kube.refused(
        "POST", SLICES, samples("pod") | {"apiVersion": "v1", "kind": "Pod"}
    )
    assert refused["message"] == (
        'Pod in version "v1" cannot be handled as a ResourceSlice: '
        "converting (v1.Pod) to (resource.ResourceSlice): unknown conversion"
    )


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (
            {"fieldValidation": "Loose"},
            LOOSE,
        ),
        ({"dryRun": "Some"}, 'dryRun: Unsupported value: ["Some"]: supported values: "All"'),
    ],
)
async def test_options_that_nobody_knows_are_refused(kube, samples, query, text):
    refused = await kube.refused("POST", SLICES, samples("slice"), **query)
    assert refused["code"] == 422
    assert refused["message"] == f'CreateOptions.meta.k8s.io "" is invalid: {text}'
