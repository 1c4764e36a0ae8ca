"""One change to one object, tried again on conflicts: what all writes of the scheduler are made of."""

from __future__ import annotations

import copy
from collections.abc import Callable

from pydra_testbed.objects import Api, ApiStatusError, KubeObject
from pydra_testbed.reflector import Store

_CONFLICT = 409
_TRIES = 5


class WriteFailedError(Exception):
    """A decision could not be written; the text goes into the pod's condition."""


async def change(
    api: Api,
    store: Store,
    key: str,
    change: Callable[[KubeObject], KubeObject | None],
    subresource: str,
) -> bool:
    """Change an object from what is known of it, then from what the API server has, until it takes.

    False when there was nothing to change. Raises `ApiStatusError`.
    """
    namespace, _, name = key.partition("/")
    known = store.get(key)
    for attempt in range(_TRIES):
        if known is None or attempt:
            known = await api.get(store.resource, name, namespace)
        body = change(copy.deepcopy(known))
        if body is None:
            return False
        try:
            updated = await api.update(store.resource, body, subresource)
        except ApiStatusError as problem:
            if problem.code != _CONFLICT or attempt == _TRIES - 1:
                raise
            continue
        store.offer(updated)
        return True
    return False
