"""Tables stay aligned and whole at any width."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydra_cdi._cli.output import as_json, as_yaml
from pydra_cdi._cli.table import columns, hanging, render, wrap

HEADERS = ("NAME", "PLACE")
ROWS = [("a", "/etc/cdi/some-file.json"), ("bb", "/x")]


def test_a_table_without_a_limit_is_aligned_and_has_no_blanks_at_the_ends_of_lines():
    assert list(render(HEADERS, [*ROWS, ("c", "")], None)) == [
        "NAME  PLACE",
        "a     /etc/cdi/some-file.json",
        "bb    /x",
        "c",
    ]
    assert list(render(HEADERS, [], None)) == []


def test_a_table_that_is_too_wide_wraps_its_last_column():
    rows = [("a", "/etc/cdi/some-directory/some-file.json"), ("b", "x" * 30)]

    assert list(render(HEADERS, rows, 34)) == [
        "NAME  PLACE",
        "a     /etc/cdi/some-directory/",
        "      some-file.json",
        f"b     {'x' * 28}",
        "      xx",
    ]


def test_a_table_for_a_narrow_terminal_becomes_a_list():
    assert list(render(HEADERS, ROWS, 20)) == [
        "NAME   a",
        "PLACE  /etc/cdi/",
        "       some-file.jso",
        "       n",
        "",
        "NAME   bb",
        "PLACE  /x",
    ]


def test_wide_and_combining_characters_count_as_the_terminal_shows_them():
    assert [columns(text) for text in ("ab", "日本", "e\u0301")] == [2, 4, 1]
    lines = list(render(("A", "B"), [("日本", "x"), ("e\u0301", "x")], None))
    assert [line.index("x") for line in lines[1:]] == [4, 7]


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1), st.integers(2, 12))
def test_wrapping_loses_nothing_but_blanks_and_keeps_the_width(text, width):
    pieces = list(wrap(text, width))

    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert max(map(columns, pieces)) <= width


def test_a_character_wider_than_the_room_still_comes_out():
    assert list(wrap("日本", 1)) == ["日", "本"]


def test_a_long_sentence_hangs():
    assert list(hanging("one two three four", 16)) == ["one two ", "    three four"] or list(
        hanging("one two three four", 16)
    ) == ["one two", "    three four"]
    assert list(hanging("one two", None, "  ")) == ["  one two"]


@pytest.mark.parametrize(
    "text", ["yes", "y", "010", "1.0", "1e3", "0o7", "null", "", "~", "a: b", "é\x85\u2028", "a\nb"]
)
def test_text_is_text_again_in_both_formats(text):
    import json

    import yaml

    from pydra_cdi._yaml import compose

    assert json.loads(as_json([text])) == [text]
    written = as_yaml([text])
    assert yaml.safe_load(written) == [text]
    assert not compose(written.encode()).root.entries[0].plain
