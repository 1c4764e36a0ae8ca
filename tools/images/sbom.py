"""The bill of materials of an image: CycloneDX 1.6 from the installed metadata, the same bytes for the same image.

It has no serial number and no time, which would differ from build to build. Ours are `pkg:generic`, because on the
public index their names are strangers' packages, whose advisories are not ours.
"""

import hashlib
import json
from collections.abc import Sequence
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from images.locks import normal, required
from images.stripping import dist_infos

Json = dict[str, Any]
PROPERTY = "pydra:record-sha256"
"""SHA-256 of a distribution's RECORD, which has the hash of each of its files."""


def sbom_path(environment: Path, package: str) -> Path:
    """Return where an image keeps its bill."""
    return environment / "share" / "sbom" / f"{package}.cdx.json"


def sbom(package: str, sites: Sequence[Path], others: frozenset[str]) -> str:
    """Return the bill of the image of `package` as JSON: everything in `sites`; what is not of `others` is ours."""
    found = {normal(about["Name"]): (about, info) for info, about in _installed(sites)}
    refs = {name: _purl(name, about["Version"], others) for name, (about, _) in found.items()}
    image = {"type": "container", "bom-ref": "image", "name": package}
    image["version"] = found[package][0]["Version"]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": image},
        "components": [_component(found[name], refs[name]) for name in sorted(found)],
        "dependencies": [
            {"ref": "image", "dependsOn": [refs[package]]},
            *({"ref": refs[n], "dependsOn": _needs(found[n][0], refs)} for n in sorted(found)),
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _installed(sites: Sequence[Path]) -> list[tuple[Path, Message]]:
    infos = [info for site in sites for info in dist_infos(site)]
    return [
        (info, HeaderParser().parsestr((info / "METADATA").read_text("utf-8"))) for info in infos
    ]


def _purl(name: str, version: str, others: frozenset[str]) -> str:
    return f"pkg:{'pypi' if name in others else 'generic'}/{name}@{version}"


def _component(found: tuple[Message, Path], ref: str) -> Json:
    about, info = found
    record = hashlib.sha256((info / "RECORD").read_bytes()).hexdigest()
    component: Json = {"type": "library", "bom-ref": ref, "name": normal(about["Name"])}
    component |= {"version": about["Version"], "purl": ref}
    if licence := _licence(about):
        component["licenses"] = [licence]
    return component | {"properties": [{"name": PROPERTY, "value": record}]}


def _licence(about: Message) -> Json | None:
    if about["License-Expression"]:
        return {"expression": about["License-Expression"]}
    if about["License"] and "\n" not in about["License"]:  # some put the whole text there
        return {"license": {"name": about["License"]}}
    told = [each for each in about.get_all("Classifier", []) if each.startswith("License ::")]
    return {"license": {"name": told[0].rsplit(" :: ", 1)[-1]}} if told else None


def _needs(about: Message, refs: dict[str, str]) -> list[str]:
    needed = {
        required(each) for each in about.get_all("Requires-Dist", []) if "extra ==" not in each
    }
    return sorted(refs[name] for name in needed if name in refs)
