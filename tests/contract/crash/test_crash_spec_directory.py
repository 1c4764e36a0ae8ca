"""`SpecDirectory(fsync=True)`, for directories that are no tmpfs: what it promised survives a power cut."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from crash_kit.disk import Disk
from crash_kit.interposer import read_log

PROGRAM = """
import sys
from pathlib import Path
from pydra_cdi import ContainerEdits, Device, Spec, SpecBuilder, SpecDirectory

def spec(value):
    return SpecBuilder("acme.example/card").add(Device("0", ContainerEdits(env=[f"CARD={value}"]))).build()

directory = SpecDirectory(Path(sys.argv[1]), fsync=True)
for word in sys.argv[2:]:
    directory.remove("acme.example/card") if word == "remove" else directory.write(spec(word))
"""


@pytest.fixture
def after_cut(library, tmp_path):
    """Run writes and removals, cut the power after the last, and return what the file then holds."""
    root, log = tmp_path / "etc", tmp_path / "log"
    root.mkdir()

    def run(*words):
        environ = {"LD_PRELOAD": str(library), "CRASH_ROOTS": str(root), "CRASH_LOG": str(log)}
        command = [sys.executable, "-c", PROGRAM, str(root / "cdi"), *words]
        disk = Disk(root)
        subprocess.run(command, env=os.environ | environ, check=True, timeout=30)
        for event in read_log(log):
            disk.replay(event)
        image = tmp_path / "image"
        image.mkdir()
        disk.after_cut(image)
        file = image / "cdi" / "acme.example-card.json"
        return file.read_text() if file.exists() else None

    return run


def test_a_spec_written_with_fsync_is_there_and_whole_after_a_power_cut(after_cut):
    assert '"CARD=1"' in after_cut("1")


def test_a_spec_replaced_with_fsync_is_the_new_one_after_a_power_cut(after_cut):
    assert '"CARD=2"' in after_cut("1", "2")


def test_a_spec_removed_with_fsync_stays_removed_after_a_power_cut(after_cut):
    assert after_cut("1", "remove") is None
