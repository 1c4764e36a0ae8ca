"""One spec in another version: for runtimes whose library knows no newer one; `pydra-cdi minver --to` calls it.

A version changes nothing in a spec but which features it may hold, so a spec converts where its features
allow it, unchanged but for what it declares.
Rests on the version table of the CDI specification (SPEC.md, "Released versions").
"""

from __future__ import annotations

import msgspec

from pydra_cdi.errors import Fault, SpecError, shown
from pydra_cdi.model import Spec
from pydra_cdi.versions import FLOOR, KNOWN_VERSIONS, requirements


def convert(spec: Spec, version: str) -> Spec:
    """Give the same spec declared as `version`, older or newer; whether it is valid otherwise plays no part.

    Raises:
        SpecError: `version` is no version a spec can declare, or features need a newer one; each is a fault
            that names the feature's place and the version it needs.
    """
    wanted = version.removeprefix("v")
    known = KNOWN_VERSIONS[KNOWN_VERSIONS.index(FLOOR) :]
    subject = f"CDI spec {spec.kind} as version {version}"
    if wanted not in known:
        remedy = f"use one of {', '.join(known)}"
        message = f"{shown(version)} is no version a spec can declare"
        raise SpecError(subject, [Fault("cdiVersion", message, remedy)])
    too_new = [
        need for need in requirements(spec) if known.index(need.version) > known.index(wanted)
    ]
    if too_new:
        raise SpecError(
            subject, [_fault(need.path, need.feature, need.version) for need in too_new]
        )
    return msgspec.structs.replace(spec, cdi_version=wanted)


def _fault(path: str, feature: str, version: str) -> Fault:
    remedy = f"do without it, or convert to {version} or newer"
    return Fault(path, f"{feature} came with version {version}", remedy)
