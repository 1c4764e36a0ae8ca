"""Objects of YAML and JSON files, each with the lines its fields stand on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from pydra_testbed.objects import KubeObject
from pydra_testbed.validate.findings import Finding, Severity

_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


class _Loader(yaml.SafeLoader):
    """YAML as the API's clients read it: a date is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file."""

    file: str
    number: int
    body: KubeObject
    node: yaml.Node

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        return str(self.metadata.get("name") or self.metadata.get("generateName") or "")

    @property
    def namespace(self) -> str:
        """Where kubectl would put it without `-n`."""
        return str(self.metadata.get("namespace") or "default")

    @property
    def metadata(self) -> KubeObject:
        """Empty where it is no object, which the API server is told."""
        found = self.body.get("metadata")
        return found if isinstance(found, dict) else {}

    def line(self, path: str = "") -> int:
        """The line of a field, or of what is nearest above it."""
        node, line = self.node, self.node.start_mark.line
        for index, key in _STEP.findall(path):
            key_node, below = _below(node, key or index)
            if below is None:
                break
            node, line = below, (key_node or below).start_mark.line
        return int(line) + 1

    def finding(self, path: str, message: str, severity: Severity = Severity.ERROR) -> Finding:
        """Something about a field of this object."""
        return Finding(
            severity=severity,
            file=self.file,
            document=self.number,
            line=self.line(path),
            object=" ".join(filter(None, (self.kind, self.name))),
            path=path,
            message=message,
        )


def read(file: str, text: str) -> tuple[list[Document], list[Finding]]:
    """All objects of a file, lists taken apart, and what cannot be read."""
    documents: list[Document] = []
    findings: list[Finding] = []
    number = 0
    if text.lstrip()[:1] in ("{", "["):
        text = text.replace("\t", " ")  # JSON may be indented so, YAML may not
    try:
        for number, node in enumerate(yaml.compose_all(text, _Loader), 1):
            findings += _doubles(file, number, node)
            documents += _objects(file, number, node)
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        mark = getattr(err, "problem_mark", None) or getattr(err, "context_mark", None)
        why = getattr(err, "problem", None) or str(err)
        line = mark.line + 1 if mark else 1
        findings.append(_wrong(file, number + 1, line, f"is no YAML or JSON: {why}"))
    for document in documents:
        if missing := _missing(document):
            what = "is missing or no text; every Kubernetes object needs it"
            findings.append(document.finding("", f"{missing} {what}"))
    return [d for d in documents if not _missing(d)], findings


def _missing(document: Document) -> str:
    """Which of the two fields that tell what an object is are not there."""
    fields = ("apiVersion", "kind")
    missing = [
        f for f in fields if not (document.body.get(f) and isinstance(document.body[f], str))
    ]
    return " and ".join(missing)


def _objects(file: str, number: int, node: yaml.Node | None) -> Iterator[Document]:
    value = _value(node)
    if value is None or node is None:
        return
    if not isinstance(value, dict):
        value = {}
    if str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        _, items = _below(node, "items")
        for item in items.value if isinstance(items, yaml.SequenceNode) else ():
            yield from _objects(file, number, item)
    else:
        yield Document(file, number, value, node)


def _value(node: yaml.Node | None) -> Any:
    if node is None:
        return None
    loader = _Loader("")
    try:
        return msgspec.json.decode(msgspec.json.encode(loader.construct_document(node)))
    except (TypeError, UnicodeError, msgspec.MsgspecError) as err:
        why = "holds what JSON cannot say"
        raise yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark) from err
    finally:
        loader.dispose()


def _below(node: yaml.Node, key: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The node of a key or index, with the node of the key itself."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return name, value
    if isinstance(node, yaml.SequenceNode):
        if key.isdigit() and int(key) < len(node.value):
            return None, node.value[int(key)]
        for each in node.value:  # a path without indexes, as Go's decoder tells it
            found = _below(each, key)
            if found[1] is not None:
                return found
    return None, None


def _doubles(file: str, number: int, node: yaml.Node | None) -> Iterator[Finding]:
    """Fields that stand twice in one object: the last one would win silently."""
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _doubles(file, number, each)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for name, value in node.value:
        if not isinstance(name, yaml.ScalarNode):
            continue
        if name.value in seen:
            line = name.start_mark.line + 1
            yield _wrong(file, number, line, f"field {name.value!r} is there twice")
        seen.add(name.value)
        yield from _doubles(file, number, value)


def _wrong(file: str, number: int, line: int, message: str) -> Finding:
    return Finding(severity=Severity.ERROR, file=file, document=number, line=line, message=message)
