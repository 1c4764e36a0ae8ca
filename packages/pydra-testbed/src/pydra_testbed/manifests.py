"""Kubernetes manifests from files: read, check their shape, apply them to an API in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import TypeAlias

import yaml

from pydra_core.errors import PydraError
from pydra_testbed.objects import Api, ApiStatusError, KubeObject, ObjectRef, name_of, namespace_of

_NAMESPACE = "default"


class ManifestError(PydraError):
    """The author of a manifest must act; names the file, the document and the field."""

    reason = "InvalidManifest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file and the objects in it."""

    name: str
    objects: tuple[KubeObject, ...]


def read(file: Traversable) -> Manifest:
    """Read all documents of one YAML file.

    Raises:
        ManifestError: it is no YAML, or a document is no Kubernetes object.
    """
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as err:
        raise ManifestError(f"manifest {file.name}: cannot be read: {err}") from err
    except yaml.YAMLError as err:
        raise ManifestError(f"manifest {file.name}: is no YAML: {err}") from err
    return Manifest(file.name, tuple(_checked(file.name, _flat(documents))))


def read_folder(folder: Traversable) -> tuple[Manifest, ...]:
    """Read every `.yaml` file of a folder in the order of their names. Raises `ManifestError`."""
    try:
        entries = list(folder.iterdir())
    except OSError as err:
        raise ManifestError(f"manifest folder {folder}: cannot be read: {err.strerror}") from err
    files = sorted((f for f in entries if f.name.endswith(".yaml")), key=lambda f: f.name)
    if not files:
        raise ManifestError(f"manifest folder {folder}: holds no .yaml file")
    return tuple(read(file) for file in files)


def _flat(documents: list[object]) -> list[object]:
    """Lists, as `kubectl get -o yaml` prints them, become their items."""
    found: list[object] = []
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind")).endswith("List"):
            found += document.get("items") or []
        else:
            found.append(document)
    return found


def _checked(name: str, documents: list[object]) -> Iterator[KubeObject]:
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        where = f"manifest {name}: document {number}"
        if not isinstance(document, dict):
            raise ManifestError(
                f"{where}: is {type(document).__name__}, not a mapping with apiVersion and kind"
            )
        for field in ("apiVersion", "kind"):
            if not isinstance(document.get(field), str):
                raise ManifestError(f"{where}: {field}: is missing; every object needs it")
        metadata = document.get("metadata")
        if not isinstance(metadata, dict) or not (
            metadata.get("name") or metadata.get("generateName")
        ):
            raise ManifestError(
                f"{where}: metadata.name: is missing; give {document['kind']} a name"
            )
        yield document


ResourceOf: TypeAlias = Callable[[str, str], str | None]
"""From apiVersion and kind to the plural resource name, None if the API server does not know the kind."""


async def apply(api: Api, manifest: Manifest, resource_of: ResourceOf) -> tuple[ObjectRef, ...]:
    """Create every object of a manifest, in its order; where none is named, in the namespace `default`, as kubectl does.

    Raises:
        ManifestError: a kind is unknown, or the API server refused an object; later objects are not tried.
    """
    return tuple([await _create(api, manifest, body, resource_of) for body in manifest.objects])


async def _create(
    api: Api, manifest: Manifest, body: KubeObject, resource_of: ResourceOf
) -> ObjectRef:
    kind, version = body["kind"], body["apiVersion"]
    where = f"manifest {manifest.name}: {kind} {body['metadata'].get('name', '')}"
    resource = resource_of(version, kind)
    if resource is None:
        raise ManifestError(
            f"{where}: the API server knows no {kind} in {version}; check apiVersion and kind"
        )
    try:
        created = await api.create(resource, body, body["metadata"].get("namespace") or _NAMESPACE)
    except ApiStatusError as err:
        raise ManifestError(f"{where}: refused: {err.message}") from err
    return ObjectRef(resource, name_of(created), namespace_of(created))
