"""Where NVML comes from: driver roots, the links in them, and what is said when there is none."""

from __future__ import annotations

import ast
import ctypes
import inspect
import re
import shutil
import textwrap
from pathlib import Path

import pynvml
import pytest
from nvidia_hosts import LIBRARY, asked, fake_host

import pydra_nvidia
from pydra_core.errors import VendorError
from pydra_nvidia.library import FOLDERS, found, resolved

__all__ = ["asked", "fake_host"]

SOURCES = Path(pydra_nvidia.__file__).parent
IMPORTER = SOURCES / "_nvml/errors.py"
VERSION = "580.95.05"


def names(path):
    """What a module says of pynvml: attributes of it, and names of its functions in strings."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "pynvml":
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^(?:nvml[A-Z]|c_nvml)\w+$", node.value)


def test_every_name_of_pynvml_that_is_used_exists_in_the_installed_one():
    used = {name for path in SOURCES.rglob("*.py") for name in names(path)}
    assert "nvmlDeviceGetMigDeviceHandleByIndex" in used
    assert len(used) > 60
    assert {name for name in used - {"nvmlInit"} if not hasattr(pynvml, name)} == set()


def test_pynvml_is_imported_in_one_module_that_only_the_worker_loads():
    importing = [
        path
        for path in SOURCES.rglob("*.py")
        if re.search(r"^(import|from) pynvml", path.read_text(), re.MULTILINE)
    ]
    assert importing == [IMPORTER]
    reaching = [path for path in SOURCES.rglob("*.py") if "pydra_nvidia._nvml" in path.read_text()]
    outside = {path.relative_to(SOURCES) for path in reaching if path.parent != IMPORTER.parent}
    assert outside == {Path("nvml.py")}


async def test_a_driver_root_of_its_own_is_loaded_from_there(asked):
    machine = asked("t4x1", driver_root="/run/nvidia/driver")
    assert machine.root.endswith("/run/nvidia/driver")
    assert (await machine.snapshot()).host.driver == "535.183.06"


async def test_absolute_links_stay_below_the_driver_root(asked):
    machine = asked("t4x1")
    link = machine.host.root / LIBRARY
    target = link.readlink()
    link.unlink()
    link.symlink_to(f"/{link.parent.relative_to(machine.host.root)}/{target}")
    assert (await machine.snapshot()).host.driver == "535.183.06"


async def test_a_library_of_another_architecture_is_passed_over(asked):
    machine = asked("t4x1")
    other = machine.host.root / "usr/lib64"
    other.mkdir()
    shutil.copy("/bin/true", other / "libnvidia-ml.so.1")
    (other / "libnvidia-ml.so.1").write_bytes(b"\x7fELF\x01" + bytes(64))
    assert (await machine.snapshot()).host.driver == "535.183.06"


async def test_a_root_without_the_library_names_it_and_where_was_looked(asked):
    machine = asked("t4x1")
    (machine.host.root / LIBRARY).unlink()
    with pytest.raises(VendorError) as missing:
        await machine.snapshot()
    said = str(missing.value)
    assert said.startswith(f"driver root {machine.root}: libnvidia-ml.so.1 is in none of usr/lib64")
    assert said.endswith("install the NVIDIA driver there, or name the root it is in")


async def test_a_broken_library_says_what_the_loader_says(asked):
    machine = asked("t4x1")
    (machine.host.root / LIBRARY).unlink()
    (machine.host.root / LIBRARY).write_text("no library")
    with pytest.raises(VendorError, match=r"file too short|invalid ELF header"):
        await machine.snapshot()


async def test_two_roots_in_one_worker_are_refused(asked):
    machine = asked("t4x1")
    await machine.snapshot()
    machine.root = "/elsewhere"
    with pytest.raises(VendorError, match="not /elsewhere; one driver has one root"):
        await machine.snapshot()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_that_is_searched_is_found_in(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / f"libcuda.so.{VERSION}").write_bytes(b"")
    (tmp_path / folder / "libcuda.so.1").symlink_to(f"libcuda.so.{VERSION}")
    assert [*found(tmp_path, "libcuda.so.1")] == [tmp_path / folder / f"libcuda.so.{VERSION}"]


def test_links_lead_neither_out_nor_around(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "out").symlink_to("../../../../etc")
    (tmp_path / "abs").symlink_to("/etc/passwd")
    assert resolved(tmp_path, tmp_path / "a") is None
    assert resolved(tmp_path, tmp_path / "out/passwd") == tmp_path / "etc/passwd"
    assert resolved(tmp_path, tmp_path / "abs") == tmp_path / "etc/passwd"


def symbols(function, seen=()):
    """C functions that a function of pynvml calls, itself or through others of pynvml."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if not isinstance(node, ast.Call):
            continue
        called = getattr(node.func, "id", "")
        if called == "_nvmlGetFunctionPointer":
            yield node.args[0].value
        elif called.startswith("nvml") and called not in {*seen, function.__name__}:
            inner = getattr(pynvml, called)
            if inspect.isfunction(inner):
                yield from symbols(inner, (*seen, function.__name__))


def test_the_stub_has_every_c_function_that_our_calls_come_to(fake_host):
    host = fake_host("t4x1")
    stub = ctypes.CDLL(str(host.root / LIBRARY))
    used = {name for path in SOURCES.rglob("*.py") for name in names(path)}
    functions = [f for name in used if inspect.isfunction(f := getattr(pynvml, name, None))]
    wanted = {symbol for function in functions for symbol in symbols(function)}
    assert len(wanted) > 50
    assert {symbol for symbol in wanted if not hasattr(stub, symbol)} == set()
