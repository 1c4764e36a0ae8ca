"""A docstring as Markdown: its sections of names and texts become lists."""

import inspect
import re
from collections.abc import Iterator

_SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")
_ENTRY = re.compile(r"(\*{0,2}[\w.]+(?:, [\w.]+)*): (.*)")


def markdown(doc: str) -> str:
    """Turn a docstring into Markdown, without a blank line at either end."""
    return "\n".join(_lines(inspect.cleandoc(doc))).strip()


def _lines(doc: str) -> Iterator[str]:
    section: list[str] = []
    title = ""
    for line in doc.splitlines():
        if line.rstrip(":") in _SECTIONS and line.endswith(":"):
            yield from _section(title, section)
            title, section = line.rstrip(":"), []
        elif title and (not line or line.startswith(" ")):
            section.append(line.strip())
        else:
            yield from _section(title, section)
            title, section = "", []
            yield line
    yield from _section(title, section)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    """One entry a line, continued lines joined; a text without names stays a paragraph."""
    if not title:
        return
    yield f"**{title}**"
    yield ""
    entries: list[str] = []
    for line in filter(None, lines):
        match = _ENTRY.fullmatch(line)
        if match:
            entries.append(f"- `{match[1]}`: {match[2]}")
        elif entries:
            entries[-1] += f" {line}"
        else:
            entries.append(line)
    yield from entries
    yield ""
