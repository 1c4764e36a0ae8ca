from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydra_core.quantity import Format, QuantityError, from_int, parse

STORED_AS = {
    "0": "0", "+5": "+5", "1.5": "1500m", "1000m": "1", "0.001": "1m", "0.0001": "100u",
    "1e3": "1e3", "1e-3": "1e-3", "1E": "1E", "1Ki": "1Ki", "1024Ki": "1Mi", "1024": "1024",
    "2048Mi": "2Gi", ".5": "500m", "5.": "5.", "-0": "0", "00012": "00012", "Gi": "0",
    "9223372036854775808": "9223372036854775808", "99999999999999999999": "99999999999999999999",
    "8Ei": "9223372036854775807", "10000Ei": "9223372036854775807", "1e100": "10e99",
    "80Gi": "80Gi", "1000000": "1M", "1.0e6": "1e6", "1.25Ti": "1280Gi", "1e19": "10e18",
    "0.5n": "1n", "1e-100": "1e-9", "1000.0": "1k", "-1.5": "-1500m", "0.5Ki": "512", "0.1Gi": "107374182400m",
    "-": "0", ".": "0", "100E": "100E",
}  # fmt: skip


@pytest.mark.parametrize(("sent", "stored"), STORED_AS.items())
def test_a_quantity_is_stored_as_the_api_server_stores_it(sent, stored):
    assert str(parse(sent)) == stored


@pytest.mark.parametrize("text", ["", "1 Gi", "0x10", "1.2.3", "\u0661", "NaN", "1_000", "5\n"])
def test_a_text_of_another_shape_is_refused_with_the_regular_expression(text):
    with pytest.raises(QuantityError, match="must match the regular expression"):
        parse(text)


@pytest.mark.parametrize("text", ["1K", "1ki", "1e", "1ee3", "5-3"])
def test_an_unknown_suffix_is_named_as_the_trouble(text):
    with pytest.raises(QuantityError, match="suffix"):
        parse(text)


def test_an_exponent_that_would_fill_the_memory_is_refused():
    with pytest.raises(QuantityError, match="numeric part"):
        parse("1e999999999")


def test_the_whole_value_is_rounded_away_from_zero():
    assert [parse(text).value() for text in ("100m", "1500m", "-100m", "1n", "2")] == [
        1,
        2,
        -1,
        1,
        2,
    ]


def test_equal_values_in_different_spellings_are_equal():
    assert parse("1Gi") == parse("1073741824") == parse("1024Mi")
    assert len({parse("1"), parse("1000m")}) == 1
    assert parse("1Gi") > parse("1G") > from_int(0)


def test_a_sum_keeps_the_format_of_the_left_side_unless_that_is_zero():
    assert str(parse("1Gi") + parse("1024Mi")) == "2Gi"
    assert str(from_int(0) + parse("1Gi")) == "1Gi"
    assert str(parse("40Gi") - parse("1Gi")) == "39Gi"
    assert str(parse("1") - parse("1500m")) == "-500m"


def test_an_int64_is_given_only_where_go_gives_one():
    whole = {
        text: parse(text).as_int64() for text in ("50k", "1000m", "1.5Gi", "9223372036854775807")
    }
    assert whole == {"50k": 50000, "1000m": None, "1.5Gi": None, "9223372036854775807": None}
    assert (parse("1") + parse("2")).as_int64() == 3
    assert (from_int(2**63 - 1) + from_int(1)).as_int64() is None


@given(
    st.integers(-(10**30), 10**30),
    st.sampled_from(["", "n", "u", "m", "k", "M", "E", "Ki", "Ti", "e3"]),
)
def test_the_canonical_text_reads_back_as_the_same_value(number, suffix):
    quantity = parse(f"{number}{suffix}")
    assert parse(str(quantity)) == quantity


@given(st.integers(0, 2**62))
def test_binary_text_reads_back_as_the_same_value(number):
    assert parse(str(from_int(number, Format.BINARY))).value() == number
