"""What can be said about a spec from its text alone: versions, mounts, repeated paths, annotations, secrets."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from pydra_cdi._edits_rules import unbound_mounts
from pydra_cdi._lint.finding import Block, Remark, blocks
from pydra_cdi.errors import shown
from pydra_cdi.model import Spec
from pydra_cdi.runtimes import Runtime
from pydra_cdi.validation import find_faults
from pydra_cdi.versions import KNOWN_VERSIONS, required

_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD", re.IGNORECASE)
_ONLY_A_PLACE = ("_FILE", "_PATH", "_DIR")


def document_remarks(spec: Spec, runtimes: Sequence[Runtime]) -> Iterator[Remark]:
    """Apply every rule that needs neither the host nor other files."""
    yield from _versions(spec, runtimes)
    yield from _annotations(spec)
    yield from _repeated_paths(spec)
    for block in blocks(spec):
        yield from _unbound(block)
        yield from _secrets(block.edits.env, f"{block.path}.env")
        for index, hook in enumerate(block.edits.hooks):
            yield from _secrets(hook.env, f"{block.path}.hooks[{index}].env")


def _versions(spec: Spec, runtimes: Sequence[Runtime]) -> Iterator[Remark]:
    declared = spec.cdi_version.removeprefix("v")
    if declared not in KNOWN_VERSIONS:
        return
    need = required(spec)
    for runtime in runtimes:
        if _is_newer(declared, runtime.newest):
            message = f"{declared} is newer than {runtime.name} reads: {runtime.newest} at most"
            remedy = f"declare {need.version}, which says all that is in the file"
            if _is_newer(need.version, runtime.newest):
                remedy = f"do without {need.feature} ({need.path}), or update the runtime"
            yield Remark("error", "version-too-new", "cdiVersion", message, remedy)
    if _is_newer(declared, need.version):
        message = f"{declared} is declared and {need.version} would do"
        remedy = "declare the lower version: more runtimes read it"
        yield Remark("info", "version-higher-than-needed", "cdiVersion", message, remedy)


def _is_newer(one: str, other: str) -> bool:
    return KNOWN_VERSIONS.index(one) > KNOWN_VERSIONS.index(other)


def _annotations(spec: Spec) -> Iterator[Remark]:
    """Hold annotations to the rules of Kubernetes, as in what this package writes itself."""
    known = set(find_faults(spec))
    for fault in find_faults(spec, strict=True):
        if "annotations" in fault.path and fault not in known:
            yield Remark("warning", "annotation", fault.path, fault.message, fault.remedy)


def _unbound(block: Block) -> Iterator[Remark]:
    for fault in unbound_mounts(block.edits, block.path):
        yield Remark("error", "mount-unbound", fault.path, fault.message, fault.remedy)


def _repeated_paths(spec: Spec) -> Iterator[Remark]:
    """Find container paths used twice in what one device brings: its own edits and those of the spec."""
    first, *devices = blocks(spec)
    common: dict[str, str] = {}
    yield from _repeated(first, common, {})
    for block in devices:
        yield from _repeated(block, {}, common)


def _repeated(block: Block, own: dict[str, str], common: Mapping[str, str]) -> Iterator[Remark]:
    for at, path in _container_paths(block):
        place = posixpath.normpath(path)
        if (earlier := own.setdefault(place, common.get(place, at))) != at:
            message = f"{shown(path)} is the place of {earlier} already"
            remedy = "keep one of them: runtimes let the later one replace the earlier or hide it"
            yield Remark("warning", "container-path-repeated", at, message, remedy)


def _container_paths(block: Block) -> Iterator[tuple[str, str]]:
    for index, node in enumerate(block.edits.device_nodes):
        yield f"{block.path}.deviceNodes[{index}].path", node.path
    for index, mount in enumerate(block.edits.mounts):
        yield f"{block.path}.mounts[{index}].containerPath", mount.container_path


def _secrets(env: Sequence[str], at: str) -> Iterator[Remark]:
    for index, entry in enumerate(env):
        name, _, value = entry.partition("=")
        if value and _SECRET.search(name) and not name.upper().endswith(_ONLY_A_PLACE):
            message = (
                f"{shown(name)} looks like a secret, and everybody on the node can read spec files"
            )
            remedy = "pass the name of a file that only the container can read, or a Secret"
            yield Remark("warning", "secret-in-env", f"{at}[{index}]", message, remedy)
