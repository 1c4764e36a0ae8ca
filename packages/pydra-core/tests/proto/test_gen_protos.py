import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
GENERATED = Path("packages/pydra-core/src/pydra_core/_proto")
EDITED = GENERATED / "dra_v1_pb2.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the generator reads and writes."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copytree(ROOT / GENERATED, tmp_path / GENERATED)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "gen_protos.py", tmp_path / "tools")
    return tmp_path


def gen_protos(
    tree: Path, *flags: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tree / "tools" / "gen_protos.py"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode == 2 and env is None:
        # `.ci/run` runs the check itself and fails there; a laptop without network goes on.
        pytest.skip(f"the generator cannot run here: {done.stderr}")
    return done


def test_the_committed_messages_are_what_the_protos_generate(tree: Path) -> None:
    done = gen_protos(tree, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_edited_a_lost_and_a_left_over_file_are_each_named_and_mended(tree: Path) -> None:
    edited = tree / EDITED
    original = edited.read_bytes()
    edited.write_bytes(original + b"# edited by hand\n")
    lost = tree / GENERATED / "podresources_v1_pb2.pyi"
    lost.unlink()
    left_over = tree / GENERATED / "dra_v1alpha4_pb2.py"
    left_over.write_text("")

    check = gen_protos(tree, "--check")
    assert check.returncode == 1
    assert check.stdout.splitlines() == [
        "pydra_core/_proto/dra_v1_pb2.py: differs from what its .proto file generates",
        "pydra_core/_proto/dra_v1alpha4_pb2.py: has no .proto file",
        "pydra_core/_proto/podresources_v1_pb2.pyi: missing",
    ]
    assert "make protos" in check.stderr
    assert edited.read_bytes() != original

    assert gen_protos(tree).returncode == 0
    assert edited.read_bytes() == original
    assert lost.exists()
    assert not left_over.exists()


def test_a_changed_field_number_is_named(tree: Path) -> None:
    proto = tree / "protos/pydra_core/_proto/dra_v1.proto"
    proto.write_text(proto.read_text().replace("share_id = 5", "share_id = 6"))
    assert "dra_v1_pb2.py: differs" in gen_protos(tree, "--check").stdout


def test_without_uv_it_says_what_to_do_and_touches_nothing(tree: Path) -> None:
    before = (tree / EDITED).read_bytes()
    done = gen_protos(tree, env={"PATH": str(tree)})
    assert done.returncode == 2
    assert "CONTRIBUTING.md" in done.stderr
    assert (tree / EDITED).read_bytes() == before


def test_without_network_it_says_what_to_do(tree: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    empty = {"UV": uv, "PATH": str(tree), "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tree / "cache")}
    done = gen_protos(tree, "--check", env=empty | {"HOME": str(tree)})
    assert done.returncode == 2
    assert "nothing was generated" in done.stderr
    assert "network" in done.stderr
