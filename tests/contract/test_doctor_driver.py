"""`doctor` on drivers that have one thing wrong each."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from doctor_node import DRIVER, node

__all__ = ["node"]


NAME = repr(DRIVER)
DRIVERS = {
    "an upper-case name": (
        "'Card.acme'",
        "Inventory()",
        "driver: name",
        "a lower-case DNS subdomain",
    ),
    "a name CDI refuses": (
        "'3d.example'",
        "Inventory()",
        "driver: name",
        "with a letter: CDI takes no",
    ),
    "a bug": (
        NAME,
        "1 / 0",
        "driver: discover",
        "correct the driver; `pydra discover` shows it alone",
    ),
    "no inventory": (NAME, "None", "driver: discover", "correct the driver; `pydra discover`"),
    "a name of clay": (
        NAME,
        "Inventory(Device(7))",
        "driver: discover",
        "correct the driver; `pydra",
    ),
    "a host error": (NAME, "fail()", "driver: discover", "do what it says; `pydra discover`"),
    "a bad device": (
        NAME,
        "Inventory(Device('UP'))",
        "driver: inventory",
        "correct what `discover`",
    ),
}


@pytest.mark.parametrize(("name", "answer", "check", "fix"), DRIVERS.values(), ids=DRIVERS.keys())
async def test_what_is_wrong_with_the_driver_is_found(node, name, answer, check, fix):
    node.program(
        f"""
        from pydra_core import Device, Driver, HostError, Inventory, main

        def fail():
            raise HostError("library: not found; install it")

        class D(Driver):
            name = {name}
            async def discover(self): return {answer}
            async def prepare(self, claim): return []

        main(D)
        """
    )
    done = await node.doctor()
    assert fix in done.fix(check)


async def test_what_a_driver_needs_beside_itself_is_in_the_table_as_it_says(node):
    driver = """
        from pydra_core import Driver, Inventory, main
        from pydra_core.needs import Need

        class D(Driver):
            name = "card.acme.example"
            async def discover(self): return Inventory()
            async def prepare(self, claim): return []
            async def needs(self): NEEDS

        main(D)
        """
    said = 'return [Need("helper", "runs"), Need("clock", "is late", "wind it up")]'
    node.program(driver.replace("NEEDS", said))
    done = await node.doctor()
    assert done.row("driver: helper")["seen"] == "runs"
    assert done.row("driver: helper")["state"] == "ok"
    assert done.row("driver: clock")["finding"] == "driver-needs"
    assert done.fix("driver: clock") == "wind it up"
    node.program(driver.replace("NEEDS", "1 / 0"))
    done = await node.doctor()
    assert "raised ZeroDivisionError" in done.row("driver: needs")["seen"]
    assert done.fix("driver: needs") == "correct the driver"


async def test_a_driver_that_cannot_be_loaded_exits_2_and_says_why(tmp_path):
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pydra.drivers]\nbroken = broken:Driver\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pydra_core", "doctor", "--driver", "broken"),
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert "cannot be loaded: No module named 'broken'; install what it needs" in err.decode()


async def test_a_discover_that_hangs_in_a_library_costs_its_row_alone(node):
    node.program(
        """
        import asyncio, time
        from pydra_core import Driver, main

        class D(Driver):
            name = "card.acme.example"
            async def discover(self): await asyncio.to_thread(time.sleep, 3600)
            async def prepare(self, claim): return []

        main(D)
        """
    )
    done = await node.doctor("--timeout", "3")
    assert done.says("driver: discover", "finding", "no result after 3 s")
    assert done.fix("driver: discover").startswith("let `discover` only read")
    assert done.says("kubelet: plugins", "ok", "writable")
