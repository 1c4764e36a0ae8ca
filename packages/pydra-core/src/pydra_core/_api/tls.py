"""aiohttp, imported without certificates nobody looks at; `client` asks."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def certificates_where_checked() -> Iterator[None]:
    """Let a TLS context that checks no certificates load none, during the block.

    aiohttp makes two contexts as it is imported and loads the system's certificates into both, also into the one
    for `ssl=False`: 1 MB and 12 ms of each driver's start for nothing.
    """
    load = ssl.SSLContext.set_default_verify_paths

    def load_if_checked(context: ssl.SSLContext) -> None:
        if context.verify_mode is not ssl.CERT_NONE:
            load(context)

    setattr(ssl.SSLContext, load.__name__, load_if_checked)
    try:
        yield
    finally:
        delattr(ssl.SSLContext, load.__name__)  # the one it inherits is there again
