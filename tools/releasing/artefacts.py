"""What a release consists of: wheel, source distribution, SBOM, checksums, and the text of the tag."""

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from images.pins import uv
from releasing.changelog import section
from releasing.members import Member, ReleaseError

SUMS, MESSAGE, SBOM = "SHA256SUMS", "TAG_MESSAGE", "sbom.cdx.json"


def build(root: Path, member: Member, out: Path) -> list[Path]:
    """Build a package's artefacts into `out`, which is emptied first, and return them.

    Raises:
        ReleaseError: something does not build, or the source distribution makes another wheel than the tree.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    of_tree = ("--package", member.name, "--sdist", "--wheel", "--out-dir", str(out))
    _uv(root, "build", "--no-sources", *of_tree)
    (out / ".gitignore").unlink(missing_ok=True)  # uv's own
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    _compare(root, sdist, wheel)
    (out / SBOM).write_text(_sbom(root, member), "utf-8")
    sums = "".join(f"{_sha256(file)}  {file.name}\n" for file in (wheel, sdist))
    (out / SUMS).write_text(sums, "utf-8")
    (out / MESSAGE).write_text(message(member, sums), "utf-8")
    return sorted(out.iterdir())


def message(member: Member, sums: str) -> str:
    """Return the text of a release's tag: what is new, which members it works with, what was built."""
    news = section((member.folder / "CHANGELOG.md").read_text("utf-8"), member.version)
    news = news.replace("### ", "")  # git takes lines behind # for comments
    ranges = "".join(f"\n- {name}{allowed}" for name, allowed in sorted(member.ranges.items()))
    needs = f"\n\nWorks with{ranges}" if ranges else ""
    return f"{member.name} {member.version}\n\n{news}{needs}\n\nSHA-256\n\n{sums}"


def _sbom(root: Path, member: Member) -> str:
    what = ("--package", member.name, "--no-dev", "--format", "cyclonedx1.5")
    return _uv(root, "export", "--quiet", "--preview-features", "sbom-export", *what)


def _compare(root: Path, sdist: Path, wheel: Path) -> None:
    """Hold the source distribution to what it is for: it makes the very same wheel."""
    with tempfile.TemporaryDirectory(prefix="pd-") as folder:
        _uv(root, "build", "--no-sources", "--wheel", "--out-dir", folder, str(sdist))
        (again,) = Path(folder).glob("*.whl")
        if again.read_bytes() == wheel.read_bytes():
            return
        other, mine = _contents(again), _contents(wheel)
    names = sorted(name for name in mine | other if mine.get(name) != other.get(name))
    raise ReleaseError(f"{sdist.name} builds another wheel than the tree; it differs in {names}")


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _uv(root: Path, command: str, *arguments: str) -> str:
    line = [uv(), command, *arguments]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"uv {command} {' '.join(arguments)}:\n{done.stderr.strip()}")
    return done.stdout
