"""From the driver's files to container edits, in one of two ways of making libraries found.

With `nvidia-cdi-hook` on the host, libraries keep their paths, and its hooks make links and the loader's cache in the
container. Without it every name of a library is a mount in one folder of our own, which `LD_LIBRARY_PATH` names: the
folder CUDA's images have in theirs anyway. Nothing else is needed on the host then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydra_cdi import ContainerEdits, DeviceNode, Hook, Mount
from pydra_nvidia.cdi.files import DriverFiles, Library
from pydra_nvidia.cdi.roots import Root

OWN_FOLDER = "/usr/local/nvidia/lib64"
_READ_ONLY = ("ro", "nosuid", "nodev", "rbind", "rprivate")
_SOCKET = ("nosuid", "nodev", "noexec", "rbind", "rprivate")
_ENV = ("NVIDIA_VISIBLE_DEVICES=void",)
"""Keeps NVIDIA's older runtime hook, where it is installed, from injecting all GPUs of the node."""


def driver_edits(files: DriverFiles, host: Root, hook: str) -> ContainerEdits:
    """What containers need of the driver, whichever device they have.

    Args:
        files: the driver's.
        host: where the sockets are.
        hook: path of `nvidia-cdi-hook` on the host; empty if there is none.
    """
    root = files.root
    others = [_mount(root, path, path) for path in (*files.programs, *files.others)]
    sockets = [Mount(host.on_host(s), s, _SOCKET) for s in files.sockets]
    if hook:
        libraries = [_mount(root, library.path, library.path) for library in files.libraries]
        return ContainerEdits(
            env=_ENV,
            mounts=[*libraries, *others, *sockets],
            hooks=list(_hooks(hook, files.libraries)),
        )
    return ContainerEdits(
        env=(*_ENV, f"LD_LIBRARY_PATH={OWN_FOLDER}"),
        mounts=[*_own_folder(root, files.libraries), *others, *sockets],
    )


def device_edits(
    common: ContainerEdits, nodes: Iterable[DeviceNode], env: Iterable[str] = ()
) -> ContainerEdits:
    """What one device adds to that."""
    return ContainerEdits(
        env=(*common.env, *env),
        device_nodes=(*common.device_nodes, *nodes),
        mounts=common.mounts,
        hooks=common.hooks,
    )


def _mount(root: Root, path: str, inside: str) -> Mount:
    return Mount(root.on_host(path), inside, _READ_ONLY)


def _own_folder(root: Root, libraries: Sequence[Library]) -> Iterator[Mount]:
    """Each library under each of its names; those of `vdpau` keep their folder, where that loader looks."""
    for library in libraries:
        folder = OWN_FOLDER + ("/vdpau" if library.folder.endswith("/vdpau") else "")
        for name in (library.name, *library.links):
            yield _mount(root, library.path, f"{folder}/{name}")


def _hooks(program: str, libraries: Sequence[Library]) -> Iterator[Hook]:
    links = [
        f"{_soname(library)}::{library.folder}/{link}"
        for library in libraries
        for link in library.links
        if link.endswith(
            ".so"
        )  # the loader's cache finds sonames itself, and nobody else makes these
    ]
    name = program.rpartition("/")[2]
    if links:
        arguments = [part for link in links for part in ("--link", link)]
        yield Hook("createContainer", program, (name, "create-symlinks", *arguments))
    folders = dict.fromkeys(library.folder for library in libraries)
    arguments = [part for folder in folders for part in ("--folder", folder)]
    yield Hook("createContainer", program, (name, "update-ldcache", *arguments))


def _soname(library: Library) -> str:
    """The shortest versioned name: what `libcuda.so` has to lead to."""
    versioned = [link for link in library.links if not link.endswith(".so")]
    return min(versioned, key=len, default=library.name)
