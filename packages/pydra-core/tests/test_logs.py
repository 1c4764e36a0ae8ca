from __future__ import annotations

import json
import logging

import pytest

from pydra_core._telemetry.logs import JsonFormatter, TextFormatter, operation


def record(**fields):
    return logging.makeLogRecord(
        {"name": "x", "msg": "claim prepared", "levelname": "INFO", **fields}
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "k=plain"),
        ("two words", 'k="two words"'),
        ("", 'k=""'),
        ("a\nb", r'k="a\nb"'),
        ("\x1b[31m\r", r'k="\u001b[31m\r"'),
    ],
)
def test_a_value_can_neither_break_the_line_nor_colour_the_terminal(value, shown):
    line = TextFormatter().format(record(k=value))
    assert line.endswith(f"x: claim prepared {shown}")


def test_both_formats_carry_the_fields_and_the_operation():
    with operation() as op:
        text, line = (
            TextFormatter().format(record(uid="u")),
            json.loads(JsonFormatter().format(record(uid="u"))),
        )
    assert f"uid=u op={op}" in text
    assert (line["msg"], line["uid"], line["op"], line["level"]) == (
        "claim prepared",
        "u",
        op,
        "info",
    )
