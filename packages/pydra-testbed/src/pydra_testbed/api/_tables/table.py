"""The Table documents of lists, single objects and watch events.

A client asks for them in its Accept header; kubectl always does. Rows carry the objects' metadata, or with
`includeObject` all of them or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._store import Stored
from pydra_testbed.api._tables.columns import columns_of
from pydra_testbed.api._tables.model import TableColumn
from pydra_testbed.api._views import body_of
from pydra_testbed.objects import KubeObject

_META = "meta.k8s.io/v1"
_UNREADABLE = "<invalid>"


def wants_table(accept: str) -> bool:
    """Whether the first thing an Accept header names that is served here is a Table."""
    for part in accept.split(","):
        media, *pairs = (piece.strip() for piece in part.split(";"))
        if media not in {"application/json", "*/*"}:
            continue
        wanted = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if "as" not in wanted:
            return False
        if (wanted["as"], wanted.get("g"), wanted.get("v")) == ("Table", "meta.k8s.io", "v1"):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Tabulator:
    """Renders objects of one kind; `include` is Metadata, Object or None."""

    kind: Kind
    now: datetime
    include: str = "Metadata"

    def table(self, found: Iterable[Stored], version: str, *, headed: bool = True) -> bytes:
        """The encoded Table; without head in all but the first event of a watch."""
        columns = columns_of(self.kind)
        return msgspec.json.encode(
            {
                "kind": "Table",
                "apiVersion": _META,
                "metadata": {"resourceVersion": version} if version else {},
                "columnDefinitions": [column.definition() for column in columns]
                if headed
                else None,
                "rows": [self._row(stored) for stored in found],
            }
        )

    def _row(self, stored: Stored) -> KubeObject:
        obj: KubeObject = msgspec.json.decode(body_of(self.kind, stored))
        cells = [self._cell(column, obj) for column in columns_of(self.kind)]
        if self.include == "None":
            return {"cells": cells}
        if self.include == "Object":
            return {"cells": cells, "object": obj}
        partial = {"kind": "PartialObjectMetadata", "apiVersion": _META}
        return {"cells": cells, "object": partial | {"metadata": obj["metadata"]}}

    def _cell(self, column: TableColumn, obj: KubeObject) -> Any:
        """Fields that nothing in the testbed reads are stored as sent: nonsense in one must not hide the rest."""
        try:
            return column.cell(obj, self.now)
        except (AttributeError, TypeError, ValueError, LookupError):
            return _UNREADABLE
