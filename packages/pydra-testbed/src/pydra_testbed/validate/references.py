"""What objects of the same files say of each other: classes, claims of pods, requests of containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydra_testbed.validate.documents import Document
from pydra_testbed.validate.findings import Finding, Severity

_POD_SPECS = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)
_CLAIMS = {
    "ResourceClaim": ("spec", "devices"),
    "ResourceClaimTemplate": ("spec", "spec", "devices"),
}


@dataclass(frozen=True, slots=True)
class _Index:
    """What the files hold, by kind, namespace and name."""

    classes: frozenset[str]
    requests: Mapping[tuple[str, str, str], frozenset[str]]


def check(documents: Sequence[Document]) -> Iterator[Finding]:
    """Everything that names something, in the order of the files."""
    index = _Index(
        frozenset(d.name for d in documents if d.kind == "DeviceClass"),
        {
            (d.kind, d.namespace, d.name): frozenset(name for _, name, _ in _requests(d))
            for d in documents
            if d.kind in _CLAIMS
        },
    )
    for document in documents:
        if document.kind in _CLAIMS:
            yield from _classes(document, index)
        else:
            for steps in _POD_SPECS:
                spec = _at(document.body, steps)
                if spec.get("containers") or spec.get("resourceClaims"):
                    yield from _pod(document, ".".join(steps), spec, index)


def _classes(document: Document, index: _Index) -> Iterator[Finding]:
    for path, _, request in _requests(document):
        for inner, asked in _asked(path, request):
            name = asked.get("deviceClassName")
            if isinstance(name, str) and name and name not in index.classes:
                message = f"DeviceClass {name} is not in these files; it must be in the cluster"
                yield document.finding(f"{inner}.deviceClassName", message, Severity.WARNING)


def _asked(path: str, request: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What a request asks for: exactly one thing, or alternatives."""
    if isinstance(exactly := request.get("exactly"), dict):
        yield f"{path}.exactly", exactly
    for number, alternative in enumerate(_list(request.get("firstAvailable"))):
        yield f"{path}.firstAvailable[{number}]", alternative


def _requests(document: Document) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    steps = _CLAIMS[document.kind]
    for number, request in enumerate(_list(_at(document.body, steps).get("requests"))):
        yield f"{'.'.join(steps)}.requests[{number}]", str(request.get("name", "")), request


def _pod(
    document: Document, path: str, spec: Mapping[str, Any], index: _Index
) -> Iterator[Finding]:
    known: dict[str, frozenset[str] | None] = {}
    for number, entry in enumerate(_list(spec.get("resourceClaims"))):
        where = f"{path}.resourceClaims[{number}]"
        field, kind = (
            ("resourceClaimTemplateName", "ResourceClaimTemplate")
            if entry.get("resourceClaimTemplateName")
            else ("resourceClaimName", "ResourceClaim")
        )
        requests = index.requests.get((kind, document.namespace, str(entry.get(field, ""))))
        known[str(entry.get("name", ""))] = requests
        if requests is None and entry.get(field):
            message = (
                f"{kind} {entry[field]} of namespace {document.namespace} is not in these files; it must be in the"
                " cluster"
            )
            yield document.finding(f"{where}.{field}", message, Severity.WARNING)
    used: set[str] = set()
    for where, name, request in _uses(path, spec):
        used.add(name)
        yield from _use(document, where, name, request, known)
    for number, name in enumerate(known):
        if name not in used:
            message = f"no container uses claim {name}: its devices are allocated, and no container gets them"
            yield document.finding(f"{path}.resourceClaims[{number}]", message, Severity.WARNING)


def _use(
    document: Document,
    where: str,
    name: str,
    request: str,
    known: Mapping[str, frozenset[str] | None],
) -> Iterator[Finding]:
    if name not in known:
        if document.kind != "Pod":  # of those the API server says it
            names = ", ".join(known) or "none"
            message = f"no claim {name} in the pod's resourceClaims, which has {names}"
            yield document.finding(f"{where}.name", message)
        return
    requests = known[name]
    if request and requests is not None and request not in requests:
        names = ", ".join(sorted(requests)) or "none"
        yield document.finding(
            f"{where}.request", f"no request {request} in claim {name}, which has {names}"
        )


def _uses(path: str, spec: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for group in ("initContainers", "containers"):
        for number, container in enumerate(_list(spec.get(group))):
            claims = _list(_at(container, ("resources",)).get("claims"))
            for position, claim in enumerate(claims):
                where = f"{path}.{group}[{number}].resources.claims[{position}]"
                yield where, str(claim.get("name", "")), str(claim.get("request") or "")


def _at(body: Mapping[str, Any], steps: Sequence[str]) -> Mapping[str, Any]:
    """The object at a path, empty where there is none."""
    for step in steps:
        found = body.get(step)
        if not isinstance(found, dict):
            return {}
        body = found
    return body


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
