"""What an image adds to its base, by distribution and kind; bytes of file contents, compression aside."""

from collections.abc import Sequence
from pathlib import Path

from images.installing import found_site_packages
from images.stripping import dist_infos, recorded

KINDS = ("native", "bytecode", "source", "other")
_OF_SUFFIX = {".pyc": "bytecode", ".py": "source"}
_LIBRARY = "(Python's own library)"
_REST = "(programs, environment, bill of materials)"

Weights = dict[str, dict[str, int]]


def weights(roots: Sequence[Path]) -> Weights:
    """Return bytes by distribution and kind; what is in none of them has a line of its own."""
    found: Weights = {}
    counted: set[Path] = set()
    for root in roots:
        site = found_site_packages(root)
        for info in dist_infos(site):
            files = [site / name for name in recorded(info)]
            found[info.name.removesuffix(".dist-info").replace("-", " ")] = _sum(files)
            counted.update(files)
    everything = {
        p for root in roots for p in root.rglob("*") if p.is_file() and not p.is_symlink()
    }
    rest = sorted(everything - counted)
    found[_LIBRARY] = _sum([path for path in rest if path.suffix == ".pyc"])
    found[_REST] = _sum([path for path in rest if path.suffix != ".pyc"])
    return found


def _sum(files: Sequence[Path]) -> dict[str, int]:
    line = dict.fromkeys(KINDS, 0)
    for path in files:
        line[_kind(path)] += path.stat().st_size
    return line


def _kind(path: Path) -> str:
    return "native" if ".so" in path.suffixes else _OF_SUFFIX.get(path.suffix, "other")


def total(found: Weights) -> int:
    """Return the bytes of everything."""
    return sum(sum(line.values()) for line in found.values())


def table(found: Weights) -> str:
    """Return the weights in megabytes as a table in Markdown, heaviest first."""
    lines = ["| distribution | MB | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 2) + "|"]
    for name, line in sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        lines.append(_row(name, line))
    sums = {kind: sum(line[kind] for line in found.values()) for kind in KINDS}
    return "\n".join([*lines, _row("**all**", sums)])


def _row(name: str, line: dict[str, int]) -> str:
    cells = [f"{n / 1e6:.2f}" for n in (sum(line.values()), *(line[kind] for kind in KINDS))]
    return f"| {name} | " + " | ".join(cells) + " |"
