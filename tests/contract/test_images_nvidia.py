"""The image of pydra-nvidia: what it adds to the core's, and that its driver finds GPUs from there."""

from __future__ import annotations

import json

import pytest
from image_world import BUILD, layer, merged, must, run
from image_world import images as world_of_images

from pydra_nvidia_fake import FakeHost

pytestmark = pytest.mark.timeout(300)
MEGABYTES = 2.0
"""Of the layer: pynvml and the driver, sources and bytecode."""


@pytest.fixture(scope="module", name="images")
def _images(tmp_path_factory):
    return world_of_images(tmp_path_factory)


@pytest.fixture(scope="module")
def nvidia(images, tmp_path_factory):
    """The driver's own layer."""
    out = tmp_path_factory.mktemp("nvidia") / "layer"
    must(layer("pydra-nvidia", images.dist, out, core=images.core))
    return out


def test_the_layer_holds_the_driver_and_pynvml_and_no_fake_machine(nvidia):
    (site,) = nvidia.glob("opt/pydra/lib/*/site-packages")
    held = {path.name.split("-")[0] for path in site.glob("*.dist-info")}
    assert held == {"pydra_nvidia", "nvidia_ml_py"}
    assert not [path for path in nvidia.rglob("*") if "fake" in path.name]


def test_the_layer_is_within_its_weight(nvidia):
    weights = json.loads(must(run(*BUILD, "weigh", "-o", "json", nvidia)))
    assert sum(sum(kinds.values()) for kinds in weights.values()) <= MEGABYTES * 1e6, weights


def test_the_images_driver_finds_the_gpus_of_a_machine(images, nvidia, tmp_path):
    root = merged(tmp_path / "root", images.core, nvidia)
    host = FakeHost.build("h100x8", tmp_path / "machine")
    program = root / "opt/pydra/bin"
    command = (program / "python", "-IB", program / "driver", "discover", "-o", "json")
    done = run(*command, NVIDIA_HOST_ROOT=str(host.root), NODE_NAME="n")
    (published,) = json.loads(must(done))["items"]
    assert [device["name"] for device in published["spec"]["devices"]] == [
        f"gpu-{minor}" for minor in range(8)
    ]
