"""Our wheels: what is in them, that they install together, and that no stranger's takes their place.

Nothing here needs a network: third parties are stood for by wheels that carry only the metadata of
the versions installed here, so that uv and pip resolve our real ranges against real versions.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.timeout(240)  # builds every member once

ROOT = Path(__file__).parents[2]
PROJECTS = {
    path.parent.name: tomllib.loads(path.read_text())["project"]
    for path in sorted(ROOT.glob("packages/*/pyproject.toml"))
}
MEMBERS = sorted(PROJECTS)
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")
OWN_SETTINGS = re.compile(r"(UV|PIP)_|PYTHON|VIRTUAL_ENV$")
CLEAN = {key: value for key, value in os.environ.items() if not OWN_SETTINGS.match(key)}


def run(
    *command: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=CLEAN | (env or {}),
    )


def must(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = run(*command, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_wheel(folder: Path, name: str, version: str, requires: Iterable[str] = ()) -> Path:
    """Write a wheel that holds metadata and one module that says whose it is."""
    module = re.sub(r"[-.]+", "_", name)
    info = f"{module}-{version}.dist-info"
    requirements = "".join(f"Requires-Dist: {entry}\n" for entry in requires)
    files = {
        f"{module}_stranger.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + requirements,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inner, content in files.items():
            wheel.writestr(inner, content)
    return path


def requirements_of(name: str) -> list[Requirement]:
    """Return what applies here of a distribution's requirements, extras left out."""
    found = map(Requirement, metadata.requires(name) or ())
    return [entry for entry in found if not entry.marker or entry.marker.evaluate({"extra": ""})]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every member's wheel, built as `make wheels` builds them."""
    out = tmp_path_factory.mktemp("dist")
    build = (UV, "build", "--all-packages", "--wheel", "--no-sources", "--out-dir", out)
    everything = dict(os.environ)  # the build backend is in uv's cache, or comes as it did at sync
    if run(*build, "--offline", env=everything).returncode:
        must(*build, env=everything)
    return out


@pytest.fixture(scope="module")
def third_parties(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel for each distribution ours need, directly or not, in the version installed here."""
    folder = tmp_path_factory.mktemp("third-parties")
    wanted = [entry for member in MEMBERS for entry in requirements_of(member)]
    done = set(MEMBERS)
    while wanted:
        name = canonicalize_name(wanted.pop().name)
        if name not in done:
            done.add(name)
            needs = requirements_of(name)
            write_wheel(folder, name, metadata.version(name), map(str, needs))
            wanted += needs
    return folder


@pytest.fixture(scope="module")
def poison(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a machine whose every index and wheel folder offers a stranger under our names.

    One version beats ours, one fits the ranges our members put on each other. The settings come
    from the environment and from configuration files, because uv and pip treat the two differently.
    """
    base = tmp_path_factory.mktemp("poison")
    simple, flat = base / "simple", base / "flat"
    for name in (*MEMBERS, "pydra"):
        wheels = [write_wheel(flat, name, version) for version in ("99.0", "0.1.99")]
        links = "".join(f'<a href="{wheel.as_uri()}">{wheel.name}</a>\n' for wheel in wheels)
        (simple / name).mkdir(parents=True)
        (simple / name / "index.html").write_text(
            f"<!DOCTYPE html><html><body>{links}</body></html>"
        )
    url = simple.as_uri()
    (base / "uv").mkdir()
    (base / "uv" / "uv.toml").write_text(f'[pip]\nindex-url = "{url}"\nfind-links = ["{flat}"]\n')
    (base / "pip.conf").write_text(f"[global]\nindex-url = {url}\nfind-links = {flat}\n")
    return {
        "XDG_CONFIG_HOME": str(base),
        "UV_DEFAULT_INDEX": url,
        "UV_INDEX": url,
        "UV_FIND_LINKS": str(flat),
        "UV_NO_CACHE": "1",
        "PIP_CONFIG_FILE": str(base / "pip.conf"),
        "PIP_INDEX_URL": url,
        "PIP_EXTRA_INDEX_URL": url,
        "PIP_FIND_LINKS": str(flat),
    }


def new_environment(folder: Path, third_parties: Path) -> Path:
    """Make an environment with the third parties in it and return its Python."""
    must(UV, "venv", "--offline", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    wheels = sorted(third_parties.glob("*.whl"))
    must(UV, "pip", "install", "--python", python, "--offline", "--no-deps", *wheels)
    return python


def documented(python: Path, dist: Path, *names: str) -> list[str | Path]:
    """The install CONTRIBUTING.md gives for our wheels, once their third parties are in.

    `--no-config`, because uv adds the wheel folders of a user's uv.toml to those of the command.
    """
    install = (UV, "pip", "install", "--python", python, "--no-config")
    return [*install, "--no-index", "--find-links", dist, *names]


def documented_pip(python: Path, dist: Path, *names: str) -> list[str | Path]:
    """The same by pip.

    `--isolated` and no configuration file, because pip adds the wheel folders named there and in
    PIP_FIND_LINKS to those of the command.
    """
    pip = ("env", "PIP_CONFIG_FILE=/dev/null", python, "-m", "pip", "--isolated", "install")
    return [*pip, "--no-index", "--find-links", dist, *names]


def installed(python: Path) -> dict[str, str]:
    """Return the version of each distribution of ours, or of a stranger, in an environment."""
    lines = must(UV, "pip", "freeze", "--python", python).splitlines()
    versions = dict(line.split("==") for line in lines if "==" in line)
    return {name: versions[name] for name in (*MEMBERS, "pydra") if name in versions}


def needed_members(name: str) -> set[str]:
    """Return a member and all members it needs."""
    below = {Requirement(entry).name for entry in PROJECTS[name]["dependencies"]} & set(MEMBERS)
    return {name}.union(*(needed_members(member) for member in below))


def contents(dist: Path, member: str) -> tuple[list[str], metadata.PathDistribution]:
    """Return the files of a member's wheel and its metadata."""
    (path,) = dist.glob(f"{member.replace('-', '_')}-*.whl")
    info = f"{path.name.split('-py3')[0]}.dist-info/"
    return zipfile.ZipFile(path).namelist(), metadata.PathDistribution(zipfile.Path(path, info))


@pytest.mark.parametrize("member", MEMBERS)
def test_a_wheel_holds_its_modules_its_types_its_licence_and_no_tests(
    dist: Path, member: str
) -> None:
    names, _ = contents(dist, member)
    source = ROOT / "packages" / member / "src"
    written = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    module = member.replace("-", "_")
    assert written <= set(names)
    assert f"{module}/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {module}
    assert not [name for name in names if re.search(r"(^|/)(tests?|conftest)\b|/test_", name)]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_wheel_refuses_upload_names_its_licence_and_pins_members_to_a_minor(
    dist: Path, member: str
) -> None:
    _, distribution = contents(dist, member)
    about = distribution.metadata
    assert "Private :: Do Not Upload" in about.get_all("Classifier", [])
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    requires = [Requirement(entry) for entry in distribution.requires or ()]
    ranges = {entry.name: str(entry.specifier) for entry in requires if entry.name in MEMBERS}
    for name, wanted in ranges.items():
        major, minor, _ = PROJECTS[name]["version"].split(".")
        assert wanted == f"<{major}.{int(minor) + 1},>={major}.{minor}"
    assert all(entry.specifier and not entry.url for entry in requires)


def test_all_wheels_install_together_in_a_clean_environment(
    dist: Path, third_parties: Path, tmp_path: Path
) -> None:
    python = new_environment(tmp_path / "env", third_parties)
    must(*documented(python, dist, *MEMBERS))
    must(UV, "pip", "check", "--python", python)
    assert installed(python) == {name: PROJECTS[name]["version"] for name in MEMBERS}

    # The stand-ins hold no code: what imports is ours from here, the rest from where tests run.
    site = next((tmp_path / "env/lib").glob("*/site-packages"))
    (site / "third_parties.pth").write_text(sysconfig.get_path("purelib"))
    load = (
        "import sys; from importlib import import_module, metadata\n"
        "for name in sys.argv[1:]:\n"
        "    module = import_module(name.replace('-', '_'))\n"
        "    assert module.__file__.startswith(sys.prefix), module.__file__\n"
        "    for entry in metadata.distribution(name).entry_points: entry.load()\n"
    )
    must(python, "-W", "error", "-c", load, *MEMBERS)


def test_what_is_installed_here_satisfies_every_range() -> None:
    must(UV, "pip", "check", "--python", sys.executable)


@pytest.mark.parametrize("member", MEMBERS)
def test_the_documented_install_takes_ours_though_every_index_offers_a_stranger(
    dist: Path, third_parties: Path, poison: dict[str, str], tmp_path: Path, member: str
) -> None:
    python = new_environment(tmp_path / "env", third_parties)
    must(*documented(python, dist, member), env=poison)
    wanted = {name: PROJECTS[name]["version"] for name in needed_members(member)}
    assert installed(python) == wanted


@pytest.mark.parametrize("member", MEMBERS)
def test_the_documented_install_fails_rather_than_fill_a_gap_with_a_strangers_wheel(
    dist: Path, third_parties: Path, poison: dict[str, str], tmp_path: Path, member: str
) -> None:
    python = new_environment(tmp_path / "env", third_parties)
    for missing in sorted(needed_members(member)):
        partial = tmp_path / f"without-{missing}"
        shutil.copytree(dist, partial)
        next(partial.glob(f"{missing.replace('-', '_')}-*.whl")).unlink()
        done = run(*documented(python, partial, member), env=poison)
        assert done.returncode != 0
        assert missing in done.stderr
        assert installed(python) == {}


def test_the_documented_install_by_pip_takes_ours_or_fails_too(
    dist: Path, third_parties: Path, poison: dict[str, str], tmp_path: Path
) -> None:
    must(sys.executable, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    stand_ins = sorted(third_parties.glob("*.whl"))
    must(python, "-m", "pip", "install", "--no-index", "--no-deps", *stand_ins)

    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(*documented_pip(python, empty, "pydra-core"), env=poison).returncode != 0
    assert installed(python) == {}
    must(*documented_pip(python, dist, *MEMBERS), env=poison)
    assert installed(python) == {name: PROJECTS[name]["version"] for name in MEMBERS}


@pytest.mark.parametrize("flags", [(), ("--no-index",)], ids=["plain", "--no-index alone"])
def test_without_all_documented_flags_the_stranger_would_have_won(
    dist: Path, third_parties: Path, poison: dict[str, str], tmp_path: Path, flags: tuple[str, ...]
) -> None:
    python = new_environment(tmp_path / "env", third_parties)
    careless = (UV, "pip", "install", "--python", python, *flags, "--find-links", dist)
    must(*careless, "pydra-core", env=poison)
    assert installed(python) == {"pydra-core": "99.0"}
