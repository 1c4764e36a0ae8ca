from __future__ import annotations

import pytest

from pydra_testbed.cel import (
    CelCompileError,
    CelEvaluationError,
    compile_selector,
    complaint,
    device_view,
)

DRIVER = "gpu.example.com"
DEVICE = {
    "name": "d0",
    "attributes": {
        "model": {"string": "a100"},
        "index": {"int": 3},
        "healthy": {"bool": True},
        "driver": {"version": "1.2.3-rc.1+build.5"},
        "other.example.com/rank": {"int": 1},
    },
    "capacity": {"memory": {"value": "80Gi"}, "slots": {"value": "1500m"}},
}
ATTRIBUTES = f'device.attributes["{DRIVER}"]'
CAPACITY = f'device.capacity["{DRIVER}"]'


def matches(expression, device=DEVICE):
    return compile_selector(expression).matches(device_view(DRIVER, device))


@pytest.mark.parametrize(
    "expression",
    [
        f'device.driver == "{DRIVER}"',
        f'{ATTRIBUTES}.model == "a100"',
        'device.attributes["other.example.com"].rank == 1',
        f'{CAPACITY}.memory.compareTo(quantity("40Gi")) > 0',
        f'{CAPACITY}.memory == quantity("81920Mi")',
        f"{CAPACITY}.memory.add(1).isGreaterThan({CAPACITY}.memory)",
        f"!{CAPACITY}.slots.isInteger()",
        f'{ATTRIBUTES}.driver == semver("1.2.3-rc.1+other")',
        f'{ATTRIBUTES}.driver.isLessThan(semver("1.2.3"))',
        f"{ATTRIBUTES}.driver.patch() == 3",
        'semver("v1.2", true) == semver("1.2.0")',
        'isQuantity("1Gi") && !isQuantity("1gi") && isSemver("1.0.0")',
        "!device.allowMultipleAllocations",
        f'"model" in {ATTRIBUTES} && {ATTRIBUTES}.?nope.orValue(true)',
        'device.attributes["nobody.example.com"] == {}',
        'cidr("10.0.0.0/8").containsIP("10.0.0.5")',
        '!format.dns1123Label().validate("ok").hasValue()',
        f'{ATTRIBUTES}.model.find("[0-9]+(?:0)") == "100"',
        "[3, 1, 2].min() == 1 && [1, 2].isSorted()",
    ],
)
def test_a_selector_that_describes_the_device_matches(expression):
    assert matches(expression)


def test_a_name_that_the_device_lacks_is_an_error_with_the_name():
    with pytest.raises(CelEvaluationError, match=r"^no such key: nope$"):
        matches(f'{ATTRIBUTES}.nope == "x"')


def test_a_domain_that_the_device_lacks_is_an_empty_map():
    assert not matches('"model" in device.attributes["nobody.example.com"]')
    with pytest.raises(CelEvaluationError, match=r"^no such key: model$"):
        matches('device.attributes["nobody.example.com"].model == "x"')


def test_a_bool_decides_whatever_the_other_side_of_an_or_does():
    assert matches(f"{ATTRIBUTES}.nope == 1 || true")


def test_a_version_is_not_compared_with_a_string():
    with pytest.raises(CelEvaluationError, match="no such overload"):
        matches(f'{ATTRIBUTES}.driver == "1.2.3"')


def test_a_result_other_than_a_bool_is_refused_when_compiling_or_evaluating():
    with pytest.raises(CelCompileError, match="must evaluate to bool or the unknown type, not int"):
        compile_selector(f"{ATTRIBUTES}.size()")
    with pytest.raises(CelEvaluationError, match="CEL result of type int could not be converted"):
        matches(f"{ATTRIBUTES}.index")


def test_a_device_that_cannot_be_converted_fails_every_selector():
    device = {"name": "d", "attributes": {"x": {"version": "1.2"}}}
    with pytest.raises(CelEvaluationError, match="attribute x: parse semantic version"):
        matches("true", device)


def test_errors_of_the_checker_read_like_kubernetes():
    with pytest.raises(CelCompileError) as caught:
        compile_selector(f'{CAPACITY}.memory.isGreaterThan("1Gi")')
    assert str(caught.value).startswith(
        "compilation failed: ERROR: <input>:1:56: found no matching overload for 'isGreaterThan' "
        "applied to 'kubernetes.Quantity.(string)'"
    )


def test_constants_that_cannot_convert_and_patterns_that_are_none_do_not_compile():
    with pytest.raises(CelCompileError, match="program instantiation failed"):
        compile_selector('int("x") == 1')
    with pytest.raises(CelCompileError, match="invalid matches argument"):
        compile_selector(f'{ATTRIBUTES}.model.matches("*")')


def test_a_list_of_mixed_constants_does_not_compile():
    with pytest.raises(CelCompileError, match="expected type 'int' but found 'string'"):
        compile_selector('[1, "a"].size() == 2')


def test_compiling_the_same_expression_again_gives_the_same_selector():
    assert compile_selector("device.driver == 'x'") is compile_selector("device.driver == 'x'")


def test_new_objects_may_not_use_what_is_behind_a_gate_that_stored_ones_may():
    expression = f'{ATTRIBUTES}.model.includes("a100")'
    assert matches(expression)
    assert "undeclared reference to 'includes'" in complaint(expression)
    assert complaint("device.allowMultipleAllocations") is None


def test_a_pattern_is_searched_as_a_whole_whatever_groups_it_has():
    assert matches(f'{ATTRIBUTES}.model.find("a(1)(?P<zeros>0+)") == "a100"')
    assert matches('"a1b22".findAll("([0-9])+") == ["1", "22"]')
    assert matches('"a(b".find("[(]b") == "(b"')
