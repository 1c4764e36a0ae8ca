"""The entry point of pydra-pizza's image, from the root file system alone, as driver on a testbed's node."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import marshal
import re
import shutil
import sys
from pathlib import Path

import pytest
from image_world import ROOT, merged, run
from image_world import images as world_of_images
from shown_pages import execute, items

import pydra_pizza.demo

pytestmark = pytest.mark.timeout(300)  # the first of them builds
PIZZAS = Path(pydra_pizza.demo.__file__).parent

CONTAINER = """
set -e
root=$1; shift
mount --bind "$root" "$root"
for folder in $1; do mount --rbind "$folder" "$root$folder"; mount -o remount,bind,ro "$root$folder"; done
for folder in /tmp /proc /dev; do mount --rbind "$folder" "$root$folder"; done
mount -o remount,bind,ro "$root"
shift
PATH="$PATH:/usr/sbin:/sbin" exec chroot "$root" "$@"
"""
"""A read-only root, its base bound from this machine, in a mount namespace of its own."""


@pytest.fixture(scope="module", name="images")
def _images(tmp_path_factory):
    return world_of_images(tmp_path_factory)


def base_folders():
    """What the image's base would hold: C library and Python."""
    found = [Path(each) for each in ("/usr", "/bin", "/lib", "/lib64", "/etc")]
    python = Path(sys.base_prefix)
    inside = any(python.is_relative_to(each) for each in found)
    return [str(each) for each in (*found, *(() if inside else (python,))) if each.is_dir()]


@pytest.fixture(scope="module")
def container(images, tmp_path_factory):
    """The command that runs its arguments in the image; skips where the machine lets nobody mount."""
    unshare = ["unshare", "--mount", "--map-root-user"]
    if not shutil.which("unshare") or run(*unshare, "mount", "--bind", "/tmp", "/tmp").returncode:
        pytest.skip("this machine gives no mount namespace: the image is run without one only")
    root = merged(tmp_path_factory.mktemp("container") / "root", images.pizza_root)
    for folder in (*base_folders(), "/tmp", "/proc", "/dev"):
        (root / folder[1:]).mkdir(parents=True, exist_ok=True)
    return [*unshare, "sh", "-c", CONTAINER, "sh", str(root), " ".join(base_folders())]


@pytest.fixture(params=["interpreter", "container"])
def entry(request, images):
    """How the entry point is called: by the image's interpreter where it lies, or by its name in a container."""
    if request.param == "interpreter":
        return images.driver()
    return [*request.getfixturevalue("container"), "/opt/pydra/bin/driver"]


async def test_the_image_serves_its_node_and_a_pod_gets_its_pizza(entry, testbed):
    await testbed.apply(PIZZAS / "1-classes.yaml")
    driver = await testbed.driver([*entry, "run"])
    await testbed.apply(PIZZAS / "2-whole-pizza.yaml")
    await testbed.pod("ada")
    maps = await asyncio.to_thread(Path(f"/proc/{driver.process.pid}/maps").read_text)
    loaded = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "site-packages" in line}
    assert any("cygrpc" in each for each in loaded)
    assert all("/opt/pydra/lib/" in each for each in loaded), loaded
    assert await driver.stop() == 0


def test_it_tells_what_it_would_publish(entry):
    done = run(*entry, "discover", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert "margherita" in json.dumps(json.loads(done.stdout))


def test_nothing_but_the_image_is_importable_and_no_environment_changes_that(images):
    told = "import importlib.util, json, sys; print(json.dumps([sys.path, [n for n in sys.argv[1:] if importlib.util.find_spec(n)]]))"
    foreign = ("pydra_testbed", "cel_expr_python", "kubernetes", "pytest", "pip", "setuptools")
    program = [*images.driver()[:2], "-c", told, *foreign, "pydra_pizza"]
    done = run(*program, PYTHONPATH=":".join(sys.path))
    path, found = json.loads(done.stdout)
    assert found == ["pydra_pizza"]
    assert [each for each in path if "site-packages" in each] == [str(images.site)]


def test_starting_it_compiles_nothing(images):
    done = run(*images.driver()[:2], "-v", "-c", "import pydra_pizza, pydra_core._commands.run")
    assert done.returncode == 0, done.stderr
    loaded = re.findall(r"# code object from '?([^'\n]+)", done.stderr)
    ours = [each for each in loaded if str(images.site) in each]
    assert len(ours) > 50
    assert [each for each in ours if not each.endswith(".pyc")] == []


def test_bytecode_is_of_this_python_is_never_compared_with_its_source_and_shows_the_images_paths(
    images,
):
    """Python's own library too: the base has none of it, and a read-only root would never get any."""
    listed = (images.pizza_root / "opt/pydra/share/standard-library.csv").read_text().splitlines()
    library = [images.pizza_root / line.rsplit(",", 2)[0] for line in listed]
    names = {path.name.split(".")[0] for path in library}
    assert names > {"argparse", "ssl", "base_events"}
    assert not names & {"pip", "idlelib", "turtle"}
    for path in (*library, *images.site.rglob("*.pyc")):
        content = path.read_bytes()
        assert content[:8] == importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
        source = f"/{path.relative_to(images.pizza_root).parents[1]}/{path.name.split('.')[0]}.py"
        assert marshal.loads(content[16:]).co_filename == source


def test_every_command_of_the_page_prints_what_it_shows(images, tmp_path):
    for name, there in (
        ("tools", ROOT / "tools"),
        ("images", ROOT / "images"),
        ("dist", images.dist),
    ):
        (tmp_path / name).symlink_to(there)
    (tmp_path / "root").symlink_to(images.pizza_root)
    (tmp_path / "core").symlink_to(images.core)
    page = (ROOT / "docs" / "user" / "image.md").read_text(encoding="utf-8")
    found = list(items(page))
    assert len(found) == 4
    execute(found, tmp_path)
