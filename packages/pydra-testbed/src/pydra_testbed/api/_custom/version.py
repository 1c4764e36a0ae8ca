"""One version of a custom resource, as its definition describes it; a kind's row carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydra_testbed.api._causes import Causes
from pydra_testbed.api._custom.celrules import broken
from pydra_testbed.api._custom.defaulting import fill_in
from pydra_testbed.api._custom.lists import doubles
from pydra_testbed.api._custom.pruning import prune
from pydra_testbed.api._custom.validating import complaints
from pydra_testbed.objects import KubeObject


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column; `path` is a JSON path without braces, as definitions write it."""

    name: str
    type: str
    path: str
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a custom resource keeps what its `scale` subresource shows."""

    replicas: str
    status_replicas: str
    selector: str = ""


@dataclass(frozen=True, slots=True)
class CustomVersion:
    """Schema, printer columns and scale paths of one version."""

    schema: Mapping[str, Any]
    columns: tuple[Column, ...] = ()
    scale: ScalePaths | None = None

    def prune(self, obj: KubeObject) -> tuple[str, ...]:
        """Drop unknown fields, in place; returns their paths."""
        return prune(obj, self.schema)

    def default(self, obj: KubeObject) -> None:
        """Fill in what the schema has defaults for, in place."""
        fill_in(obj, self.schema)

    def judge(self, obj: KubeObject, old: KubeObject | None = None) -> Causes:
        """What is wrong with an object, metadata aside; rules are held when it fits the schema."""
        found = [*complaints(obj, self.schema), *doubles(obj, self.schema)]
        return found or list(broken(obj, old, self.schema))


def version_of(entry: Mapping[str, Any]) -> CustomVersion:
    """Read one of `spec.versions` of a valid definition."""
    schema = (entry.get("schema") or {}).get("openAPIV3Schema") or {}
    columns = tuple(_column(column) for column in entry.get("additionalPrinterColumns") or ())
    scale = (entry.get("subresources") or {}).get("scale")
    return CustomVersion(schema, columns, _scale(scale) if scale else None)


def _column(entry: Mapping[str, Any]) -> Column:
    return Column(
        str(entry["name"]),
        str(entry["type"]),
        str(entry["jsonPath"]),
        str(entry.get("description", "")),
        int(entry.get("priority", 0)),
    )


def _scale(entry: Mapping[str, Any]) -> ScalePaths:
    return ScalePaths(
        str(entry.get("specReplicasPath", "")),
        str(entry.get("statusReplicasPath", "")),
        str(entry.get("labelSelectorPath", "")),
    )
