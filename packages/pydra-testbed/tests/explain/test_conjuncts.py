from __future__ import annotations

import pytest

from pydra_testbed.explain.conjuncts import conjuncts, shorten
from pydra_testbed.explain.mentions import mentions

D = 'device.attributes["d.example"]'


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("a && b", ("a", "b")),
        ("a&&b // && c\n&& d", ("a", "b", "d")),
        ('x.contains("a  && (b") && y', ('x.contains("a  && (b")', "y")),
        (r"x == r'\' && y == '''&& '' ' ''' && z", (r"x == r'\'", "y == '''&& '' ' '''", "z")),
        ("(a && (b && c)) && d", ("a", "b", "c", "d")),
        ("(a) && (b)", ("a", "b")),
        ("a || b && c", ("a || b && c",)),
        ("a && (b || c)", ("a", "b || c")),
        ("a && b ? c : d", ("a && b ? c : d",)),
        (
            f"{D}.?x.orValue(1) > 0 && {D}[?'y'].hasValue()",
            (f"{D}.?x.orValue(1) > 0", f"{D}[?'y'].hasValue()"),
        ),
        ("!(a && b) && -1 < x - 2", ("!(a && b)", "-1 < x - 2")),
        ("y in [1,-2] && cel.bind(v, a && b, v)", ("y in [1, -2]", "cel.bind(v, a && b, v)")),
        ('m == {"a": 1 && 2}', ('m == {"a" : 1 && 2}',)),
    ],
)
def test_a_selector_is_cut_at_the_outermost_ands_only(expression, parts):
    assert conjuncts(expression) == parts


@pytest.mark.parametrize(
    ("expression", "short"),
    [
        (f'{D}.model.contains("x")', 'model.contains("x")'),
        (f'{D}["model"] == "x"', 'model == "x"'),
        ("device.attributes['d.example']['model'] == 'x'", "model == 'x'"),
        ('device.capacity["d"].mem.compareTo(quantity("1Gi")) >= 0', 'mem.compareTo(quantity("1Gi")) >= 0'),
        (f"has({D}.model)", "has(model)"),
        ('device.driver == "x"', 'device.driver == "x"'),
        ('"d" in device.attributes', '"d" in device.attributes'),
    ],
)  # fmt: skip
def test_a_part_is_shown_without_where_its_attributes_live(expression, short):
    assert shorten(expression) == short


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        (f'{D}.a == "x" && {D}["b"]', [f"{D}.a", f"{D}.b"]),
        (f"has({D}.a)", [f"{D}.a"]),
        (f"{D}.?a.orValue(1) == 1", [f"{D}.a"]),
        (f'cel.bind(v, {D}, v.a == "x")', [D]),
        ('device.driver == "x" && device.allowMultipleAllocations', ["device.driver", "device.allowMultipleAllocations"]),
        ('device.capacity["d"].m.isGreaterThan(quantity("1"))', ['device.capacity["d"].m']),
        ("true", []),
        ("not cel at all", []),
    ],
)  # fmt: skip
def test_the_values_a_part_looks_at_are_found_in_any_spelling(expression, paths):
    assert [mention.path for mention in mentions(expression)] == paths
