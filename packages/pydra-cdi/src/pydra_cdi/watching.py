"""A registry kept up to date: whoever waits here is told as soon as a spec file comes, goes or changes.

Long-running runtimes and `pydra-cdi monitor` use it, from a thread (`wait_for_change`) or from asyncio
(`next_change`), or wait on its descriptor themselves. It listens by inotify, and where the kernel does not let
it, it looks at the directories from time to time instead.
"""

from __future__ import annotations

import asyncio
import errno
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from pydra_cdi._inotify import GONE, OVERFLOW, Event, Inotify
from pydra_cdi.registry import Registry
from pydra_cdi.snapshot import Snapshot

_MAX_STEPS = 1000
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})
_TEMPORARY = ".tmp"  # what writers rename into place: only the renaming counts


@dataclass(slots=True)
class _Watched:
    """Why a directory is watched: it holds spec files, or these names lead to one that does."""

    holds_specs: bool = False
    names: set[str] = field(default_factory=set)


class RegistryWatcher:
    """Refreshes a registry when its directories change; a context manager. One thread or task may wait at a time.

    Directories need not exist: every directory and link on the way to them is watched, so that one that is
    made, removed, replaced or linked elsewhere later is seen.
    """

    def __init__(self, registry: Registry, *, poll_interval_s: float = 5.0) -> None:
        """Begin to watch, then refresh once, so that nothing falls between.

        Args:
            registry: What to refresh; others may refresh it as well.
            poll_interval_s: How often to look, in seconds, while inotify cannot be used.
        """
        self._registry = registry
        self._poll_interval_s = poll_interval_s
        self._inotify: Inotify | None = None
        self._watched: dict[int, _Watched] = {}
        self._trouble: str | None = None
        self._watch()
        self._told = registry.refresh()

    @property
    def polling_because(self) -> str | None:
        """Why the directories are looked at from time to time; None while inotify tells of all changes."""
        return self._trouble

    def fileno(self) -> int:
        """Give the descriptor that is readable when `check` should be called; -1 when there is none."""
        return -1 if self._inotify is None else self._inotify.descriptor

    def check(self) -> Snapshot | None:
        """Take what happened since the last call; does not wait.

        Returns:
            The new snapshot, or None when the directories define what they defined before.
        """
        events = self._inotify.read() if self._inotify is not None else []
        if self._trouble is not None or any(map(self._leads_elsewhere, events)):
            self._watch()
        elif not any(map(self._concerns_specs, events)):
            return None
        snapshot = self._registry.refresh()
        if snapshot is self._told:
            return None
        self._told = snapshot
        return snapshot

    def wait_for_change(self, timeout_s: float | None = None) -> Snapshot | None:
        """Wait until the directories define something else than before.

        Args:
            timeout_s: The longest to wait, in seconds; None waits for ever.

        Returns:
            The new snapshot, None when the time is over.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (snapshot := self.check()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._wait(left)
        return snapshot

    async def next_change(self) -> Snapshot:
        """Wait, in asyncio, until the directories define something else than before; may be cancelled.

        Files that changed are read in the event loop, so that cancelling never loses a change.
        """
        while (snapshot := self.check()) is None:
            await self._readable()
        return snapshot

    def close(self) -> None:
        """Stop watching."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify, self._watched = None, {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wait(self, left_s: float | None) -> None:
        """Wait for an event; for the polling interval at most while polling."""
        if self._trouble is not None:
            left_s = min(left_s or self._poll_interval_s, self._poll_interval_s)
        poll = select.poll()
        if self._inotify is not None:
            poll.register(self._inotify.descriptor, select.POLLIN)
        poll.poll(None if left_s is None else left_s * 1000)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        descriptor = self.fileno()
        if descriptor >= 0:
            loop.add_reader(descriptor, ready.set)
        try:
            async with asyncio.timeout(self._poll_interval_s if self._trouble else None):
                await ready.wait()
        except TimeoutError:
            return
        finally:
            if descriptor >= 0:
                loop.remove_reader(descriptor)

    def _leads_elsewhere(self, event: Event) -> bool:
        """Tell whether the way to a directory changed, or may have."""
        if event.mask & OVERFLOW:
            return True
        watched = self._watched.get(event.watch)
        return watched is not None and bool(event.mask & GONE or event.name in watched.names)

    def _concerns_specs(self, event: Event) -> bool:
        watched = self._watched.get(event.watch)
        holds = watched is not None and watched.holds_specs
        return holds and not event.name.endswith(_TEMPORARY)

    def _watch(self) -> None:
        """Watch the directories and the way to them; what is not on the way any more is forgotten."""
        old, self._watched, self._trouble = self._watched, {}, None
        try:
            inotify = self._inotify = self._inotify or Inotify()
            for directory in self._registry.directories:
                self._watch_one(inotify, directory.absolute())
            for watch in old.keys() - self._watched.keys():
                inotify.forget(watch)
        except OSError as error:
            self._watched = {**old, **self._watched}
            self._trouble = f"inotify cannot be used: {error}"

    def _watch_one(self, inotify: Inotify, directory: Path) -> None:
        try:
            for parent, name in _way_to(directory):
                self._watched.setdefault(inotify.watch(parent), _Watched()).names.add(name)
            self._watched.setdefault(inotify.watch(directory), _Watched()).holds_specs = True
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise


def _way_to(directory: Path) -> Iterator[tuple[Path, str]]:
    """Go to a directory as the kernel does, link by link; yield each directory on the way and the name taken in it.

    Whoever iterates watches a directory before this looks up the name in it, so nothing is made unseen between.
    The last steps of a way that is not there, or runs in circles, are left out.
    """
    here, names = Path("/"), list(directory.parts)
    for _ in range(_MAX_STEPS):
        if not names:
            return
        name = names.pop(0)
        if name in {"/", ".."}:
            here = Path("/") if name == "/" else here.parent
            continue
        yield here, name
        try:
            names = [*(here / name).readlink().parts, *names]
        except OSError as error:
            if error.errno != errno.EINVAL:
                return
            here /= name  # no link: a directory, or nothing that can be entered
