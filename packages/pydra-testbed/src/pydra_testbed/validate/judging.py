"""The API server's own verdict on each object: strict decoding, limits, CEL and its cost, immutable fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydra_testbed.api import ApiServer, selector_check
from pydra_testbed.clock import RealClock
from pydra_testbed.explain.checks import ADMIN_LABEL
from pydra_testbed.objects import ApiStatusError, KubeObject
from pydra_testbed.validate.documents import Document
from pydra_testbed.validate.findings import Finding, Severity

_GROUPS = ("resource.k8s.io/", "admissionregistration.k8s.io/")
_KEPT = ("name", "generateName", "namespace", "labels", "annotations", "finalizers")
_STRICT = re.compile(r'(unknown|duplicate) field "([^"]+)"')
_TYPE = re.compile(r"Go struct field \w+\.(\S+) of type (\S+)")
_BAD_REQUEST = 400
_EXISTS = 409


async def judge(documents: Sequence[Document]) -> list[Finding]:
    """What an API server would answer to each object, in the order of the files."""
    server = ApiServer(RealClock(), cel_check=selector_check)
    await _make_namespaces(server, documents)
    return [finding for d in documents if is_judged(d) for finding in await _judged(server, d)]


def is_judged(document: Document) -> bool:
    """Whether the rules for this kind are known here completely."""
    version = str(document.body["apiVersion"])
    return document.kind == "Pod" or version.startswith(_GROUPS)


async def _make_namespaces(server: ApiServer, documents: Sequence[Document]) -> None:
    """As the files describe them; one that they do not describe is taken to allow admin access."""
    described = {d.name: d.metadata.get("labels") for d in documents if d.kind == "Namespace"}
    for name in sorted({d.namespace for d in documents} | set(described)):
        labels = (described.get(name) or {}).get("metadata", {}).get("labels")
        labels = described.get(name, {ADMIN_LABEL: "true"})
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        made: KubeObject | None
        try:
            made = await server.local.create("namespaces", body)
        except ApiStatusError:
            made = await _existing(server, name)
        if made and isinstance(labels, dict):
            made["metadata"].setdefault("labels", {}).update(labels)
            await server.local.update("namespaces", made)


async def _existing(server: ApiServer, name: str) -> KubeObject | None:
    """One of those every cluster has, or None where the name is wrong, which its objects are told."""
    try:
        return await server.local.get("namespaces", name)
    except ApiStatusError:
        return None


async def _judged(server: ApiServer, document: Document) -> list[Finding]:
    resource = server.resource_of(str(document.body["apiVersion"]), document.kind)
    if resource is None:
        version = document.body["apiVersion"]
        known = "resource.k8s.io/v1" if "resource.k8s.io" in version else version.partition("/")[0]
        message = (
            f"{document.kind} of {version} is not known here and was not checked; known is {known}"
        )
        return [document.finding("apiVersion", message, Severity.WARNING)]
    if not isinstance(document.body.get("metadata") or {}, dict):
        return [document.finding("metadata", "must be an object")]
    kept = {k: v for k, v in document.metadata.items() if k in _KEPT}
    body = {**document.body, "metadata": kept}
    try:
        await server.local.strict().create(resource, body, document.namespace)
    except ApiStatusError as err:
        found = list(_findings(document, err))
        if not _STRICT.search(err.message) or err.code != _BAD_REQUEST:
            return found
        try:  # what else is wrong
            await server.local.create(resource, body, document.namespace)
        except ApiStatusError as second:
            return found + list(_findings(document, second))
        return found
    return await _status(server, document, resource)


async def _status(server: ApiServer, document: Document, resource: str) -> list[Finding]:
    """Objects as `kubectl get -o yaml` prints them have one."""
    if not document.body.get("status") or document.kind not in ("ResourceClaim", "Pod"):
        return []
    stored = await server.local.get(resource, document.name, document.namespace)
    try:
        await server.local.update(resource, {**stored, "status": document.body["status"]}, "status")
    except ApiStatusError as err:
        return list(_findings(document, err))
    return []


def _findings(document: Document, err: ApiStatusError) -> Iterator[Finding]:
    causes = [c for c in err.details.get("causes") or () if c.get("field")]
    if causes:
        for cause in causes:
            yield document.finding(str(cause["field"]), str(cause["message"]))
    elif err.code == _BAD_REQUEST and (fields := _STRICT.findall(err.message)):
        for what, path in fields:
            yield document.finding(path, f"{what} field")
    elif found := _TYPE.search(err.message):
        yield document.finding(found[1], f"must be of type {found[2]}")
    elif err.code == _EXISTS:
        message = f"{document.kind} {document.name} is there twice in these files"
        yield document.finding("metadata.name", message)
    else:
        yield document.finding("", err.message)
