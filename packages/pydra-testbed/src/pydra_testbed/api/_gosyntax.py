"""What Go's JSON reader says about a text that is no JSON: part of the API server's answers.

Only called when a text could not be read, to tell the client why.
"""

from __future__ import annotations

import re

END = "unexpected end of JSON input"
_SPACE = " \t\r\n"
_NUMBER_PARTS = (
    (re.compile(r"\."), "after decimal point in numeric literal"),
    (re.compile(r"[eE][+-]?"), "in exponent of numeric literal"),
)
_HEX = 4


class SyntaxProblem(ValueError):  # noqa: N818 -- a problem of the text, in Go's words
    """The text is no JSON; the message is Go's."""


def problem(text: str) -> str:
    """Go's complaint about a text; empty when Go would read it."""
    try:
        _Scanner(text).run()
    except SyntaxProblem as found:
        return str(found)
    except RecursionError:
        return "exceeded max depth"
    return ""


class _Scanner:
    """Walks through a text as far as it is JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def run(self) -> None:
        self._value()
        self._skip()
        if self._at < len(self._text):
            raise self._bad("after top-level value")

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in _SPACE:
            self._at += 1

    def _peek(self) -> str:
        """The next character that is no space."""
        self._skip()
        return self._here()

    def _here(self) -> str:
        if self._at >= len(self._text):
            raise SyntaxProblem(END)
        return self._text[self._at]

    def _bad(self, where: str) -> SyntaxProblem:
        return SyntaxProblem(f"invalid character {_quoted(self._here())} {where}")

    def _value(self) -> None:
        match self._peek():
            case "{":
                self._object()
            case "[":
                self._array()
            case '"':
                self._string()
            case "t" | "f" | "n" as letter:
                self._literal({"t": "true", "f": "false", "n": "null"}[letter])
            case letter if letter in "-0123456789":
                self._number()
            case _:
                raise self._bad("looking for beginning of value")

    def _literal(self, word: str) -> None:
        for expected in word:
            if self._here() != expected:
                raise self._bad(f"in literal {word} (expecting '{expected}')")
            self._at += 1

    def _object(self) -> None:
        self._at += 1
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            if self._peek() != '"':
                raise self._bad("looking for beginning of object key string")
            self._string()
            if self._peek() != ":":
                raise self._bad("after object key")
            self._at += 1
            self._value()
            if self._ends("}", "after object key:value pair"):
                return

    def _array(self) -> None:
        self._at += 1
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            self._value()
            if self._ends("]", "after array element"):
                return

    def _ends(self, closing: str, where: str) -> bool:
        letter = self._peek()
        if letter not in {",", closing}:
            raise self._bad(where)
        self._at += 1
        return letter == closing

    def _string(self) -> None:
        self._at += 1
        while (letter := self._here()) != '"':
            if letter < " ":
                raise self._bad("in string literal")
            self._at += 1
            if letter == "\\":
                self._escape()
        self._at += 1

    def _escape(self) -> None:
        letter = self._here()
        if letter not in '"\\/bfnrtu':
            raise self._bad("in string escape code")
        self._at += 1
        for _ in range(_HEX if letter == "u" else 0):
            if self._here() not in "0123456789abcdefABCDEF":
                raise self._bad("in \\u hexadecimal character escape")
            self._at += 1

    def _number(self) -> None:
        if self._text[self._at] == "-":
            self._at += 1
            self._digit("in numeric literal")
        if self._text[self._at] == "0":
            self._at += 1
        else:
            self._digits()
        for pattern, where in _NUMBER_PARTS:
            found = pattern.match(self._text, self._at)
            if found:
                self._at = found.end()
                self._digit(where)
                self._digits()

    def _digit(self, where: str) -> None:
        if self._here() not in "0123456789":
            raise self._bad(where)

    def _digits(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in "0123456789":
            self._at += 1


def _quoted(letter: str) -> str:
    """One character between Go's single quotes."""
    if letter == "'":
        return "'\\''"
    if letter.isprintable():
        return f"'{letter}'"
    shown = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(letter, f"\\x{ord(letter):02x}")
    return f"'{shown}'"
