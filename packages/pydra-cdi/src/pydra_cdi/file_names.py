"""Names of spec files: those the reference library generates, and which ones may be written at all.

`SpecDirectory` checks every name here; programs that must name files as the reference library does call
`static_name`, `transient_name` and the two `name_for_…`. Those may give a name that leads out of a
directory, as the library's do, and every name is checked before it is written.
"""

from __future__ import annotations

import posixpath

from pydra_cdi.errors import Fault, SpecError
from pydra_cdi.model import Spec
from pydra_cdi.names import kind_faults, split_kind

SUFFIXES = (".json", ".yaml")
_MAX_NAME = 255


def static_name(vendor: str, device_class: str) -> str:
    """Name the file for all devices of a kind, without a suffix. Nothing is checked."""
    return f"{vendor}-{device_class}"


def transient_name(vendor: str, device_class: str, transient_id: str) -> str:
    """Name the file for one short-lived use of a kind, without a suffix; `/` in the ID becomes `_`."""
    return f"{static_name(vendor, device_class)}_{transient_id.replace('/', '_')}"


def name_for_spec(spec: Spec) -> str:
    """Name the static file for a spec, without a suffix.

    Raises:
        SpecError: The kind has no vendor or no class.
    """
    return static_name(*_kind_parts(spec))


def name_for_transient_spec(spec: Spec, transient_id: str) -> str:
    """Name the file for one short-lived spec, without a suffix.

    Raises:
        SpecError: The kind has no vendor or no class.
    """
    return transient_name(*_kind_parts(spec), transient_id)


def _kind_parts(spec: Spec) -> tuple[str, str]:
    vendor, device_class = split_kind(spec.kind)
    if not (vendor and device_class):
        fault = Fault(
            "kind", f"{spec.kind!r} is not vendor/class", "write it like 'acme.example/card'"
        )
        raise SpecError("the spec file name", [fault])
    return vendor, device_class


def spec_file_name(kind: str, transient_id: str | None = None) -> str:
    """Name the JSON file for a kind, or for one transient spec of it; always one component of a path.

    Args:
        kind: `vendor/class`.
        transient_id: What the file is for, like a claim UID; a slash in it becomes `_`, so IDs
            that differ only in that share a file.

    Raises:
        SpecError: The kind is not valid, or the ID is empty, not printable or too long for a file name.
    """
    faults = kind_faults("kind", kind)
    stem = kind.replace("/", "-")
    if transient_id is not None:
        stem += "_" + transient_id.replace("/", "_")
        if not transient_id or not transient_id.isprintable():
            remedy = "use printable text, like a claim UID"
            faults.append(Fault("transient_id", f"{transient_id!r} is no ID", remedy))
    if not faults and len(f"{stem}.json".encode()) > _MAX_NAME:
        faults.append(Fault("", f"it is longer than {_MAX_NAME} bytes", "use a shorter ID"))
    if faults:
        raise SpecError(f"the spec file name for {kind!r}", faults)
    return f"{stem}.json"


def named_file(name: str) -> str:
    """Give the file name for an explicit name: `.yaml` is added to one without a known suffix.

    A leading slash counts for nothing, as in the reference library; there `..` and an empty name lead out of
    the directory, here they are refused.

    Raises:
        SpecError: The name is empty, hidden, not printable, too long, or not one component of a path.
    """
    plain = posixpath.normpath(f"/{name}").lstrip("/")
    file_name = plain if plain.endswith(SUFFIXES) else f"{plain}.yaml"
    if not plain or plain.startswith(".") or "/" in plain or ".." in name.split("/"):
        remedy = "give one name that does not begin with '.', like 'acme.example-card'"
        fault = Fault("", "it is not the name of a file in the directory", remedy)
    elif not name.isprintable():
        fault = Fault("", "it holds characters that cannot be printed", "use printable text")
    elif len(file_name.encode()) > _MAX_NAME:
        fault = Fault("", f"it is longer than {_MAX_NAME} bytes", "use a shorter name")
    else:
        return file_name
    raise SpecError(f"the spec file name {name!r}", [fault])
