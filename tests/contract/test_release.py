"""`make changelog` and `make release`, rehearsed in a clone: what they refuse, and what a release consists of."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

pytestmark = pytest.mark.timeout(240)  # builds a package twice

ROOT = Path(__file__).parents[2]
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")
PIZZA = "packages/pydra-pizza"


def git(clone, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    command = ["git", "-C", str(clone), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def tool(clone, *arguments, **environ):
    command = [sys.executable, str(ROOT / "tools/release.py"), "--root", str(clone), *arguments]
    environ = os.environ | {"UV": UV} | environ
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


def refused(clone, package="pydra-pizza"):
    done = tool(clone, "check", package)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.removeprefix("release: ").splitlines()


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A clone of this repository with pydra-pizza's changelog folded, as a merged pull request leaves it."""
    if not Path(UV).exists():
        pytest.skip("uv is not here: it builds what is released")
    if not (ROOT / ".git").exists():
        pytest.skip("this tree is no git checkout: a release is made of a commit")
    if not (ROOT / "uv.lock").is_file():
        pytest.skip("there is no uv.lock: `uv sync` makes it, and locks and SBOMs come from it")
    clone = tmp_path_factory.mktemp("release") / "clone"
    git(ROOT, "clone", "--quiet", "--no-tags", str(ROOT), str(clone))
    shutil.copy(ROOT / "uv.lock", clone)
    write_fragment(clone, "900.feature.md", "It bakes calzones,\nfolded.")
    done = tool(clone, "changelog", "pydra-pizza")
    assert done.returncode == 0, done.stderr
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "-m", "Release pydra-pizza")
    return clone


@pytest.fixture
def clone(original, tmp_path):
    git(original, "clone", "--quiet", str(original), str(tmp_path / "clone"))
    shutil.copy(original / "uv.lock", tmp_path / "clone")
    return tmp_path / "clone"


def write_fragment(clone, name, text):
    file = clone / PIZZA / "changes" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text + "\n")


def test_a_release_is_folded_checked_built_and_due_until_it_has_its_tag(clone):
    news = (clone / PIZZA / "CHANGELOG.md").read_text()
    assert "\n### New\n\n- " in news
    assert "- It bakes calzones,\n  folded. (#900)\n" in news
    assert not list((clone / PIZZA).glob("changes/*"))
    tag = f"pydra-pizza/v{version(clone)}"
    (only,) = due(clone)
    assert (only["tag"], only["image"], only["chart"]) == (tag, True, "dra-driver-pizza")

    done = tool(clone, "check", "pydra-pizza", UV_OFFLINE="1")
    if done.returncode:  # the build backend is in uv's cache, or comes as it did at sync
        done = tool(clone, "check", "pydra-pizza")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{tag} is ready. Nothing was pushed")

    out = clone / "dist/release/pydra-pizza"
    lines = (out / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in map(str.split, lines)}
    assert {Path(name).suffix for name in sums} == {".whl", ".gz"}
    for name, digest in sums.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    components = json.loads((out / "sbom.cdx.json").read_text())["components"]
    assert {"pydra-core", "grpcio"} <= {each["name"] for each in components}
    assert "pytest" not in {each["name"] for each in components}
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        assert not [member.name for member in archive if member.issym()]

    git(clone, "tag", "-a", tag, "-F", str(out / "TAG_MESSAGE"))
    message = git(clone, "for-each-ref", "--format=%(contents)", f"refs/tags/{tag}")
    assert message.strip() == (out / "TAG_MESSAGE").read_text().strip()  # no line is lost
    assert f"- pydra-core{allowed(clone)}\n" in message
    assert all(line in message for line in lines)
    assert due(clone) == []
    assert refused(clone) == [
        f"the tag {tag} exists: `make changelog PKG=pydra-pizza` sets the next version"
    ]


def test_the_change_after_a_release_makes_the_next_version(clone):
    before = version(clone)
    git(clone, "tag", f"pydra-pizza/v{before}")
    assert tool(clone, "changelog", "pydra-pizza").returncode == 1  # nothing has changed
    write_fragment(clone, "901.bugfix.md", "Crusts are cut off.")
    assert tool(clone, "changelog", "pydra-pizza").returncode == 0
    assert version(clone) == Version(f"{before.major}.{before.minor}.{before.micro + 1}")
    news = (clone / PIZZA / "CHANGELOG.md").read_text()
    new, old = news.index(f"## {version(clone)} ("), news.index(f"## {before} (")
    assert new < news.index("### Fixed\n\n- Crusts are cut off. (#901)") < old


def test_what_stands_in_the_way_is_refused_all_at_once_with_what_to_do(clone):
    write_fragment(clone, "902.doc.md", "How to eat.")
    project = clone / "packages/pydra-core/pyproject.toml"
    project.write_text(re.sub(r'(?m)^version = ".*"', 'version = "99.0.0"', project.read_text()))
    tree, changelog, range_ = refused(clone)
    assert tree.startswith("the tree is not clean (packages/pydra-core/pyproject.toml, ")
    assert changelog.startswith(f"{PIZZA}/changes/902.doc.md: not in the changelog yet; run `make")
    core = next(line for line in refused(clone, "pydra-core") if "pydra-pizza requires" in line)
    assert range_ == core
    left_out = f"pydra-pizza requires pydra-core{allowed(clone)}, which leaves out 99.0.0: "
    assert core.startswith(left_out)
    assert core.endswith(
        "widen it in packages/pydra-pizza/pyproject.toml and release pydra-pizza too"
    )


def test_a_version_below_the_last_and_a_section_that_is_missing_are_refused(clone):
    git(clone, "tag", "pydra-pizza/v7.0.0")
    assert f"{PIZZA}/pyproject.toml: version {version(clone)} is lower than the released 7.0.0" in (
        refused(clone)
    )
    git(clone, "tag", "--delete", "pydra-pizza/v7.0.0")
    edit(clone / PIZZA / "CHANGELOG.md", f"## {version(clone)} (", "## 0.0.9 (")
    missing = f"{PIZZA}/CHANGELOG.md has no section {version(clone)}"
    assert any(line.startswith(missing) for line in refused(clone))
    assert due(clone) == []


def test_an_unknown_package_is_refused_with_the_known_ones(original):
    (line,) = refused(original, "pydra-calzone")
    told, _, known = line.partition("PKG is one of ")
    assert told == "'pydra-calzone' is no package: "
    assert set(known.split(", ")) == {path.name for path in (ROOT / "packages").iterdir()}


def test_an_image_is_made_of_the_newest_releases_that_fit_each_other(clone):
    minor = re.search(r">=(\d+\.\d+)", str(allowed(clone)))[1]
    for patch in ("0", "10", "9"):
        git(clone, "tag", f"pydra-cdi/v{minor}.{patch}")
    git(clone, "tag", "pydra-cdi/v99.0.0")
    git(clone, "tag", "pydra-pizza/v0.1.0")
    missing = tool(clone, "wheels", "pydra-pizza")
    assert missing.returncode == 1
    assert f"pydra-core has no release that fits {allowed(clone)}: rele" in missing.stderr
    git(clone, "tag", f"pydra-core/v{minor}.0")
    assert tool(clone, "wheels", "pydra-pizza").stdout.split() == [
        f"pydra-cdi/v{minor}.10", f"pydra-core/v{minor}.0", "pydra-pizza/v0.1.0",
    ]  # fmt: skip


def test_the_chart_of_a_release_runs_its_image_and_needs_no_values(clone):
    digest = "sha256:" + "0" * 64
    order = ("chart", "pydra-pizza", "--registry", "registry.example.com/acme", "--digest", digest)
    done = tool(clone, *order)
    assert (done.returncode, done.stderr) == (0, "")
    folder = clone / done.stdout.strip()
    assert folder == clone / "dist/chart/dra-driver-pizza"
    about, values = (
        yaml.safe_load((folder / f).read_text()) for f in ("Chart.yaml", "values.yaml")
    )
    assert about["name"] == "dra-driver-pizza"
    assert about["version"] == about["appVersion"] == str(version(clone))
    image = values["image"]
    assert f"{image['registry']}/{image['repository']}@{image['digest']}" == (
        f"registry.example.com/acme/pydra-pizza@{digest}"
    )
    assert values["driver"]["name"] == "dra.pizza"
    jsonschema.validate(values, json.loads((folder / "values.schema.json").read_text()))
    assert not (folder / "values").exists()
    refused = tool(clone, *order[:-1], "latest")
    assert (refused.returncode, refused.stderr.count("is no digest")) == (1, 1)
    assert "names its image" in tool(clone, "chart", "pydra-cdi", *order[2:]).stderr


@pytest.mark.parametrize(
    ("last", "written", "kinds", "wanted"),
    [
        (None, "0.1.0", ["feature"], "0.1.0"),
        ("0.1.0", "0.1.0", ["bugfix", "doc"], "0.1.1"),
        ("0.1.3", "0.1.3", ["bugfix", "feature"], "0.2.0"),
        ("0.1.0", "0.1.0", ["removal"], "0.2.0"),
        ("0.1.0", "1.0.0", ["removal"], "1.0.0"),
        ("1.4.2", "1.4.2", ["removal"], "2.0.0"),
        ("1.4.2", "1.4.2", ["feature"], "1.5.0"),
        ("1.4.2", "1.4.2", ["doc"], "1.4.3"),
    ],
)
def test_the_kinds_of_changes_make_the_version(monkeypatch, last, written, kinds, wanted):
    monkeypatch.syspath_prepend(ROOT / "tools")
    from releasing.changelog import next_version

    found = next_version(last and Version(last), Version(written), kinds)
    assert str(found) == wanted


def test_every_package_carries_the_licence_itself():
    """As a file: a link out of the package would make a source distribution that cannot be unpacked."""
    text = (ROOT / "LICENSE").read_bytes()
    for folder in sorted((ROOT / "packages").iterdir()):
        assert not (folder / "LICENSE").is_symlink()
        assert (folder / "LICENSE").read_bytes() == text


def version(clone):
    for line in (clone / PIZZA / "pyproject.toml").read_text().splitlines():
        if line.startswith("version = "):
            return Version(line.split('"')[1])
    raise AssertionError


def allowed(clone):
    """Return the range that the pizza driver puts on pydra-core."""
    (range_,) = re.findall(r'"pydra-core([^"]+)"', (clone / PIZZA / "pyproject.toml").read_text())
    return SpecifierSet(range_)


def due(clone):
    done = tool(clone, "due")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
