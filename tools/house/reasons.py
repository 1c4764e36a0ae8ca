"""Why a linter or the type checker was silenced: the code and the reason stand on the line."""

import io
import itertools
import re
import tokenize
from collections.abc import Iterator

from house.files import File, Finding

DIRECTIVE = re.compile(r"#\s*(?:type:\s*ignore|(?:ruff:\s*|flake8:\s*)?noqa)", re.IGNORECASE)
TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore(?P<codes>\[[\w, -]+\])?(?P<reason>.*)", re.DOTALL)
NOQA = re.compile(
    r"#\s*(?:ruff:\s*|flake8:\s*)?noqa(?P<codes>:\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*\b)?"
    r"(?P<reason>.*)",
    re.DOTALL | re.IGNORECASE,
)


def reasons(file: File) -> Iterator[Finding]:
    """A silenced linter or type checker says which rule, and why."""
    if not file.is_written_python:
        return
    for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
        if token.type == tokenize.COMMENT:
            for part in directives(token.string):
                match = TYPE_IGNORE.match(part) or NOQA.match(part)
                if match and not match["codes"]:
                    message = f"`{part.strip()}` silences everything: name the code"
                    yield file.finding(token.start[0], "reason", message)
                elif match and not re.search(r"[A-Za-z]{2}", match["reason"]):
                    message = f"`{part.strip()}` gives no reason: say why on the line"
                    yield file.finding(token.start[0], "reason", message)


def directives(comment: str) -> list[str]:
    """Cut a comment into its directives, each with the words that follow it."""
    starts = [match.start() for match in DIRECTIVE.finditer(comment)]
    return [comment[a:b] for a, b in itertools.pairwise([*starts, len(comment)])]
