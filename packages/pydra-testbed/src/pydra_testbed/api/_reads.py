"""Reading collections: one consistent listing, and deleting what a selection means."""

from __future__ import annotations

from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._removal import DeleteOptions, Removed, delete
from pydra_testbed.api._selectors import Matcher
from pydra_testbed.api._store import Stored
from pydra_testbed.api._views import body_of


def select(core: Core, target: Target, matcher: Matcher) -> list[Stored]:
    """What a selection means now, by namespace and name."""
    return [stored for stored in core.bucket(target.kind).ordered() if matcher.matches(stored)]


def list_body(core: Core, target: Target, found: list[Stored]) -> bytes:
    """The encoded list; items are the stored bytes."""
    kind = target.kind
    head = (
        f'{{"kind":"{kind.kind}List","apiVersion":"{kind.api_version}",'
        f'"metadata":{{"resourceVersion":"{core.store.version}"}},"items":['
    )
    items = b",".join(body_of(kind, stored) for stored in found)
    return b"".join((head.encode(), items, b"]}"))


def delete_selected(
    core: Core, target: Target, matcher: Matcher, options: DeleteOptions
) -> list[Removed]:
    """Delete every object of a selection; each by itself, as Kubernetes does."""
    return [
        delete(core, Target(target.kind, *stored.key), options)
        for stored in select(core, target, matcher)
        if stored.key in core.bucket(target.kind).objects
    ]
