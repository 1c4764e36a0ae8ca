"""Speed of the CDI registry and of injection: `uv run python tests/bench/cdi_registry.py [--json FILE]`.

The scenarios are those the reference library was measured with (on another machine, so compare orders of
magnitude): 500 files of one device each in one directory, read for the first time and again; 16 devices of one
file, with 2 nodes, 1 hook, 1 mount and 1 variable each, into a small OCI spec, one lstat for each node.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from cdi import Samples, microseconds, show

from pydra_cdi import Registry, SpecBuilder, SpecDirectory, inject

FILES, DEVICES = 500, 16
# Microseconds: the median of the reference library (Go 1.26, two cores), and what we want to stay below.
REFERENCE = {"refresh 500 files, first time": 76948.6, "inject 16 devices": 41.6}
GOALS = {"refresh 500 files, first time": 77_000.0, "inject 16 devices": 200.0}
OCI_SPEC = {
    "ociVersion": "1.3.0",
    "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "env": ["PATH=/bin"], "cwd": "/"},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {"namespaces": [{"type": "pid"}]},
}


def write_specs(directory: Path, kinds: int, devices: int) -> list[str]:
    """Write a file for each kind; returns all device IDs."""
    ids = []
    for number in range(kinds):
        kind = f"vendor{number}.example/card"
        builder = SpecBuilder(kind).env(DRIVER="1").mount("/opt/acme", "/opt/acme")
        for index in range(devices):
            name = f"card{index}"
            device = builder.device(name).env(f"CARD_{index}=1")
            for path, host_path in ((f"/dev/{name}", "/dev/null"), (f"/dev/{name}c", "/dev/zero")):
                device = device.device_node(path, host_path=host_path)
            device = device.hook("createContainer", "/opt/acme/hook", args=["hook", name])
            builder = device.mount(f"/opt/{name}", f"/opt/{name}").done()
            ids.append(f"{kind}={name}")
        SpecDirectory(directory).write(builder.build())
    return ids


def measure(place: Path) -> Samples:
    many, one = place / "many", place / "one"
    write_specs(many, FILES, 1)
    ids = write_specs(one, 1, DEVICES)
    time.sleep(0.1)  # files that have just been written are read again, whatever their stamps say
    known = Registry([many])
    snapshot = Registry([one]).refresh()
    return {
        "refresh 500 files, first time": microseconds(lambda: Registry([many]).refresh(), 15),
        "refresh 500 files, none changed": microseconds(known.refresh, 100),
        "inject 16 devices": microseconds(lambda: inject(OCI_SPEC, ids, snapshot), 1000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="measure the CDI registry and injection")
    parser.add_argument("--json", type=Path, help="write all samples, in microseconds, there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        samples = measure(Path(place))
    show(samples, REFERENCE, GOALS)
    if arguments.json:
        arguments.json.write_text(json.dumps(samples))


if __name__ == "__main__":
    main()
