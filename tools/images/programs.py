"""The programs of an image: ours only, isolated from whatever the environment says about Python."""

import configparser
import re
from pathlib import Path

from images.stripping import dist_infos
from images.targets import FOLDER, ImageError

ENTRY = "driver"
"""What an image's ENTRYPOINT names, whatever its package is called."""

_CALL = re.compile(r"([A-Za-z0-9_.]+):([A-Za-z0-9_.]+)(?:\s*\[.*\])?")


def programs(site: Path, names: frozenset[str]) -> dict[str, str]:
    """Return the text of each program that the distributions `names` (as folders spell them) bring.

    Raises:
        ImageError: an entry point is no `module:function`.
    """
    found: dict[str, str] = {}
    for info in dist_infos(site):
        if info.name.split("-")[0] in names:
            found |= {name: _text(info, name, call) for name, call in _scripts(info).items()}
    return found


def _scripts(info: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    parser.read(info / "entry_points.txt", encoding="utf-8")
    return dict(parser["console_scripts"]) if "console_scripts" in parser else {}


def _text(info: Path, name: str, call: str) -> str:
    match = _CALL.fullmatch(call)
    if not match:
        raise ImageError(f"{info.name}: console script {name} = {call!r} must be module:function")
    module, function = match.groups()
    start = f"#!/{FOLDER}/bin/python -IB\n"
    return (
        start
        + f"import sys\n\nfrom {module} import {function.partition('.')[0]}\n\nsys.exit({function}())\n"
    )


def write_programs(environment: Path, site: Path, names: frozenset[str], entry: str) -> None:
    """Write the programs, and for a vendor's package (`entry`) the name that starts it in every image.

    Raises:
        ImageError: the package brings no program of its own name.
    """
    found = programs(site, names)
    folder = environment / "bin"
    folder.mkdir(exist_ok=True)
    for name, text in found.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    if entry:
        if entry not in found:
            raise ImageError(
                f"{entry}: has no console script {entry}, which its image would run; add it to its [project.scripts]"
            )
        (folder / ENTRY).symlink_to(entry)
