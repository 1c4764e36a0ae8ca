"""`gather` takes what a bug report needs, and nothing that is nobody's business."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

import pytest
from driver_world import CARDS, DRIVER, NODE

from pydra_core._commands.gather.redaction import redacted
from pydra_core._state.reading import read

SECRET = "s3cret-of-a-user"
LEAKY = CARDS.replace('f"CARD_{a.request}={a.device}"', f'"LICENCE={SECRET}"').replace(
    ") for a in claim", f', {{"seed": "{SECRET}"}}) for a in claim'
)


class Node:
    """The command in the program of the driver of a world."""

    def __init__(self, world):
        self.world = world
        self.program = world.root / "gatherer.py"
        self.program.write_text(LEAKY)

    async def gather(self, *arguments, code=0, **environ):
        variables = {
            "NODE_NAME": NODE,
            "KUBECONFIG": str(self.world.kubeconfig),
            "KUBELET_ROOT": str(self.world.root / "kubelet"),
            "CDI_DIR": str(self.world.cdi),
            "API_TOKEN": SECRET,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(self.program), "gather", "--output", "-", *arguments),
            env=os.environ | variables | environ,
            cwd=self.world.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == code, err.decode()
        return opened(out)


def opened(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        contents = {n.removeprefix("pydra/"): archive.extractfile(n).read() for n in names}
    assert names[0] == "pydra/manifest.json"
    manifest = json.loads(contents.pop("manifest.json"))
    for entry in manifest["contents"]:
        content = contents[entry["name"]]
        assert (entry["bytes"], entry["sha256"]) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )
    assert [e["name"] for e in manifest["contents"]] == list(contents)
    return manifest, contents


def left_out(manifest):
    return {each["what"]: each["why"] for each in manifest["left_out"]}


@pytest.fixture
def node(world):
    return Node(world)


async def test_a_bundle_of_a_working_driver_holds_everything_but_secrets(world, node):
    driver = await world.start(LEAKY, HTTP_ADDRESS="127.0.0.1:0")
    await driver.registered()
    config = {
        "source": "FromClaim",
        "opaque": {"driver": "other.example", "parameters": {"key": SECRET}},
    }
    claim = await world.claim("card-0", name="ada", config=[config])
    body = await world.api.get("resourceclaims", "ada", "default")
    body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": SECRET}
    await world.api.update("resourceclaims", body)
    await driver.prepare(claim)
    (world.root / "driver.log").write_text("a line\n")
    address = next(w for w in driver.logged().split() if w.startswith("address="))[8:]
    manifest, contents = await node.gather("--log", "driver.log", HTTP_ADDRESS=address)
    spec = f"spec-files/{next(iter(world.spec_files()))}"
    assert list(contents) == [
        "doctor.json", "settings.json", "journal/listing.json", "journal/journal", spec, "sockets.json",
        "packages.json", "host.json", "log.txt", "api/resourceslices.json", "api/resourceclaims.json",
        "metrics.txt", "healthz.txt", "readyz.txt",
    ]  # fmt: skip
    assert manifest["left_out"] == []
    assert (manifest["driver"], manifest["node"]) == (DRIVER, NODE)
    for name, content in contents.items():
        assert SECRET.encode() not in content, name
    told = {name: json.loads(c) for name, c in contents.items() if name.endswith("json")}
    assert told[spec]["devices"][0]["containerEdits"]["env"] == ["LICENCE=<redacted>"]
    (record,) = [r for r in told["journal/listing.json"]["records"] if r.get("op") == "prepared"]
    assert record["name"] == "ada"
    assert record["answers"][0]["state"] == {"seed": "<redacted>"}
    (prepared,) = read(contents["journal/journal"]).ledger.all_prepared()
    assert (prepared.uid, read(contents["journal/journal"]).damages) == (claim.uid, ())
    (claimed,) = told["api/resourceclaims.json"]
    opaque = claimed["status"]["allocation"]["devices"]["config"][0]["opaque"]
    assert opaque == {"driver": "other.example", "parameters": {"key": "<redacted>"}}
    assert told["api/resourceslices.json"][0]["spec"]["nodeName"] == NODE
    assert told["sockets.json"]["served"] == {
        str(driver.dra_socket): True, str(driver.registration_socket): True,
    }  # fmt: skip
    assert told["packages.json"]["pydra-core"]
    assert "kernel" in told["host.json"]
    assert contents["log.txt"] == b"a line\n"
    assert b"pydra_prepared_claims" in contents["metrics.txt"]
    assert told["doctor.json"]["driver"] == DRIVER
    _, raw = await node.gather("--raw", KUBECONFIG="")
    assert raw["journal/journal"] == world.dra_socket.with_name("journal").read_bytes()


async def test_what_cannot_be_had_costs_only_itself_and_links_lead_nowhere(world, node):
    driver = await world.start(LEAKY)
    await driver.prepare(await world.claim("card-0"))
    await driver.stop(kill=True)
    (name,) = world.spec_files()
    outside = world.root / "outside"
    outside.write_text(SECRET)
    (world.cdi / name).unlink()
    (world.cdi / name).symlink_to(outside)
    (world.cdi / name.replace(".json", "0.json")).write_text("{")
    data = world.dra_socket.parent
    (data / "journal.damaged-1").write_text(SECRET)
    os.mkfifo(world.root / "log")
    kept = (data / "journal").read_bytes()
    (data / "journal").write_bytes(kept + kept[16:][:-4] + b"xxxx")
    manifest, contents = await node.gather("--log", "log", KUBECONFIG="/nowhere")
    out = left_out(manifest)
    assert "symbolic links" in out[f"spec-files/{name}"]
    assert "is neither JSON nor YAML" in out[f"spec-files/{name.replace('.json', '0.json')}"]
    assert "--raw takes it" in out["journal/journal.damaged-1"]
    assert "is no plain file" in out["log"]
    assert "/nowhere" in out["api"]
    assert "http_address is empty" in out["metrics.txt"]
    assert any("damage" in r for r in json.loads(contents["journal/listing.json"])["records"])
    assert [n for n, content in contents.items() if SECRET.encode() in content] == []
    data.rename(world.root / "elsewhere")
    data.symlink_to(world.root / "elsewhere")
    manifest, contents = await node.gather(KUBECONFIG="")
    assert "journal/journal" not in contents
    assert "Not a directory" in left_out(manifest)["journal"]


async def test_equal_nodes_make_equal_contents_within_the_limit(world, node):
    large = world.root / "large.log"
    large.write_bytes(b"x" * (2 << 20))
    manifest, contents = await node.gather("--limit", "1", "--log", str(large), KUBECONFIG="")
    assert "the bundle has room for" in left_out(manifest)["log.txt"]
    again, second = await node.gather("--limit", "1", "--log", str(large), KUBECONFIG="")
    assert (second, again["contents"]) == (contents, manifest["contents"])
    assert "No such file" in left_out(manifest)["journal"]


def test_the_archive_is_written_where_it_was_asked_for(tmp_path):
    environ = os.environ | {"KUBELET_ROOT": str(tmp_path), "KUBECONFIG": ""}
    command = [sys.executable, "-m", "pydra_pizza", "gather"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30, check=True
    )
    archive = tmp_path / "pydra-dra.pizza.tar.gz"
    assert done.stdout.startswith("pydra-dra.pizza.tar.gz: ")
    assert archive.stat().st_mode & 0o777 == 0o600
    assert "doctor.json" in opened(archive.read_bytes())[1]
    command += ["--output", str(tmp_path / "no" / "where")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, "choose another with --output" in done.stderr) == (2, True)


def test_whatever_is_named_like_a_secret_is_taken_for_one():
    value = {
        "token": "a",
        "env": ["A=1", {"name": "B", "value": "2"}, 3],
        "metadata": {"managedFields": [1], "annotations": {"x": "y"}, "labels": {"app": "z"}},
        "opaque": {"parameters": {"deep": [1, None, {"k": True}]}},
        "automountServiceAccountToken": False,
    }
    assert redacted(value) == {
        "token": "<redacted>",
        "env": ["A=<redacted>", {"name": "B", "value": "<redacted>"}, "<redacted>"],
        "metadata": {"annotations": {"x": "<redacted>"}, "labels": {"app": "z"}},
        "opaque": {"parameters": {"deep": ["<redacted>", None, {"k": "<redacted>"}]}},
        "automountServiceAccountToken": False,
    }
