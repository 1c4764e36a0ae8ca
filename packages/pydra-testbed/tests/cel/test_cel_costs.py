"""What a selector may cost and did cost, and what happens where that is too much."""

from __future__ import annotations

import pytest

from pydra_testbed.cel import (
    MAX_COST,
    CelCompileError,
    CelEvaluationError,
    ErrorKind,
    Features,
    compile_selector,
    complaint,
    device_view,
)

DEFAULT = Features()
DRIVER = "fpga.example.org"
DEVICE = {
    "name": "d7",
    "attributes": {"kind": {"string": "vu9p"}, "slot": {"int": 4}, "ok": {"bool": True}},
    "capacity": {"luts": {"value": "900k"}},
}
A = f'device.attributes["{DRIVER}"]'


def measured(expression, device=DEVICE, features=DEFAULT):
    return compile_selector(expression, features).measure(device_view(DRIVER, device, features))


@pytest.mark.parametrize(
    ("expression", "most", "spent"),
    [
        (f'{A}.kind == "vu9p"', 5, 5),
        (f"{A}.ok || {A}.slot == 1", 9, 4),
        (f"{A}.slot in [1, 2, 3, 4]", 18, 4),
        (f"has({A}.kind)", 3, 3),
        (f"{A}.?none.orValue(true)", 5, 3),
        (f'{A}.kind.matches("^vu[0-9]p$")', 25, 7),
        ("[1, 2].all(x, x > 0)", 21, 11),
        ("cel.bind(k, device.driver, k == k)", 21, 6),
        ('int("4") == 4', 2, 1),
    ],
)
def test_the_estimate_and_the_count_follow_the_size_of_what_is_read(expression, most, spent):
    assert compile_selector(expression).worst_cost == most
    assert measured(expression).cost == spent


def test_an_estimate_without_bound_is_the_largest_number():
    assert compile_selector('["a"].join(",") == "a"').worst_cost > 10**17 > MAX_COST


def test_an_evaluation_ends_where_it_becomes_too_expensive():
    digits = "[0,1,2,3,4,5,6,7,8,9]"
    inner = "a + b + c + d + e >= 0"
    for name in "edcba":
        inner = f"{digits}.all({name}, {inner})"
    selector = compile_selector(inner)
    assert selector.worst_cost > MAX_COST
    with pytest.raises(CelEvaluationError, match="actual cost limit exceeded"):
        selector.matches(device_view(DRIVER, DEVICE))


def test_a_long_loop_that_is_cheap_enough_has_a_result():
    assert compile_selector("lists.range(20000).all(x, x >= 0)").matches(
        device_view(DRIVER, DEVICE)
    )


def test_a_cost_that_follows_from_the_order_of_a_map_says_so():
    assert measured(f'{A}.exists(k, k == "kind")').depends_on_order
    assert not measured(f'{A}.all(k, k != "q")').depends_on_order


def test_lists_as_attributes_need_their_gate():
    lists = Features(list_attributes=True)
    device = {"name": "d", "attributes": {"tags": {"strings": ["x", "y"]}}}
    expression = f'{A}.tags.exists(t, t == "y") && {A}.tags.includes("x")'
    assert measured(expression, device, lists).result
    assert compile_selector(expression, lists).matches(device_view(DRIVER, device, lists))
    assert complaint(expression, lists) is None
    with pytest.raises(CelCompileError, match="cannot be range of a comprehension"):
        compile_selector(expression)
    view = device_view(DRIVER, device)
    assert compile_selector("true").try_match(view).error == (
        "attribute tags: unsupported attribute value"
    )


def test_a_field_behind_a_gate_is_unknown_to_new_selectors():
    without = Features(consumable_capacity=False)
    assert "undefined field" in complaint("device.allowMultipleAllocations", without)
    assert complaint("device.allowMultipleAllocations") is None


def test_parentheses_do_not_count_as_depth_until_kubernetes_counts_them():
    assert measured(f"{'(' * 200}{A}.ok{')' * 200}").result
    with pytest.raises(CelCompileError, match="recursion limit exceeded: 250"):
        compile_selector(f"{'(' * 251}true{')' * 251}")


def test_what_fails_when_the_program_is_made_is_an_internal_error():
    with pytest.raises(CelCompileError) as caught:
        compile_selector('int("x") == 1')
    assert caught.value.kind is ErrorKind.INTERNAL


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (f"{A}.slot.size() == 1", "no such overload: size"),
        (f"{A}.kind.x == 1", "no such key: x"),
        (f"{A}.kind[0] == 'v'", "no such key: 0"),
        (f"{A}.kind.substring(9) == ''", "index out of range: 9"),
        (f"{A}.slot / 0 == 1", "division by zero"),
        ("[1][3] == 1", "index out of bounds: 3"),
        (f"{A}.slot > 'a'", "no such overload"),
        (f"{A}.?none.value() == 1", "optional.none() dereference"),
        ("[0].all(x, 1 / x == 1)", "division by zero"),
    ],
)
def test_failures_read_like_kubernetes_and_are_the_same_when_metered(expression, text):
    with pytest.raises(CelEvaluationError) as caught:
        compile_selector(expression).matches(device_view(DRIVER, DEVICE))
    assert str(caught.value) == measured(expression).error == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (f"{A}.slot.sign() == 1", "found no matching overload for 'sign' applied to 'any.()'"),
        (
            "compareTo(1, 2) == 0",
            "found no matching overload for 'compareTo' applied to '(int, int)'",
        ),
        ('includes("a", "b")', "undeclared reference to 'includes'"),
        ('authorizer.group("").check("get")', "undeclared reference to 'authorizer'"),
        ("a.b.c == 1", "ERROR: <input>:1:1: undeclared reference to 'a'"),
        ("`x` == 1", "Syntax error: mismatched input '`x`'"),
    ],
)
def test_known_names_in_the_wrong_place_are_told_as_kubernetes_tells_them(expression, text):
    found = complaint(expression)
    assert text in found
    assert found.count("ERROR") == 1


def test_no_selector_can_make_a_value_of_a_kubernetes_type():
    expression = 'kubernetes.DRADevice{driver: "x"}.driver == "x"'
    text = "unknown type 'kubernetes.DRADevice'"
    with pytest.raises(CelEvaluationError, match=text):
        compile_selector(expression).matches(device_view(DRIVER, DEVICE))
    assert measured(expression).error == text
