"""Speed of reading CDI specs, and what importing the package costs: `uv run python tests/bench/cdi.py`.

One file each of 1 and of 200 devices is read from the page cache, decoded strictly and validated, as the reference
library was measured; the same text read by the slow rules shows what a file costs that is not plain JSON. Import
time and memory are those of fresh processes. `cdi_registry.py` measures refresh and injection.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pydra_cdi import read_spec

# Medians in microseconds, taken over on 2026-11-21 from the recording of the library at its commit of 2026-08-21
# (another machine, Go 1.26, two cores).
REFERENCE = {"read 1 device": 97.8, "read 200 devices": 9774.2}
GOALS = {
    "read 1 device": 80.0,
    "read 200 devices": 5000.0,
    "import, microseconds": 60_000.0,
    "import, resident KiB": 25 * 1024.0,
}
IMPORT = """
import time
began = time.perf_counter()
import pydra_cdi
seconds = time.perf_counter() - began
with open("/proc/self/status") as status:
    print(seconds * 1e6, next(line.split()[1] for line in status if line.startswith("VmRSS")))
"""


def spec(devices: int) -> bytes:
    """A file like the one the reference library was measured with: 651 bytes for one device, 87 KB for 200."""
    edits = {
        "env": ["VENDOR_DRIVER=1.2.3"],
        "mounts": [
            {"hostPath": "/opt/vendor", "containerPath": "/opt/vendor", "options": ["ro", "bind"]}
        ],
    }
    listed = [
        {
            "name": f"dev{index}",
            "containerEdits": {
                "env": [f"VENDOR_DEVICE_{index}=1"],
                "deviceNodes": [
                    {"path": f"/dev/vendor{index}", "type": "c", "major": 240, "minor": index},
                    {"path": f"/dev/vendor{index}ctl", "type": "c", "major": 241, "minor": index},
                ],
                "hooks": [
                    {
                        "hookName": "createContainer",
                        "path": "/usr/bin/hook",
                        "args": ["hook", f"dev{index}"],
                    }
                ],
                "mounts": [
                    {
                        "hostPath": f"/var/lib/vendor/dev{index}",
                        "containerPath": "/var/lib/vendor",
                        "options": ["ro", "nosuid", "nodev", "bind"],
                    }
                ],
            },
        }
        for index in range(devices)
    ]
    tree = {
        "cdiVersion": "0.5.0",
        "kind": "vendor.com/device",
        "devices": listed,
        "containerEdits": edits,
    }
    return json.dumps(tree).encode()


def microseconds(act: Callable[[], object], times: int) -> list[float]:
    """Time single calls, after one that is not counted."""
    act()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        found.append((time.perf_counter() - began) * 1e6)
    return found


def bench_reading(place: Path) -> dict[str, list[float]]:
    samples = {}
    for devices, times in ((1, 2000), (200, 50)):
        plain, slow = place / f"{devices}.json", place / f"{devices}.yaml"
        plain.write_bytes(spec(devices))
        slow.write_bytes(b"--- " + spec(devices))
        what = f"{devices} device" + "s" * (devices > 1)
        samples[f"read {what}"] = microseconds(lambda path=plain: read_spec(path), times)
        samples[f"read {what}, slow rules"] = microseconds(
            lambda path=slow: read_spec(path), times // 10
        )
    return samples


def bench_import() -> dict[str, list[float]]:
    runs = [
        subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
        for _ in range(10)
    ]
    pairs = [run.stdout.split() for run in runs]
    return {
        "import, microseconds": [float(took) for took, _ in pairs],
        "import, resident KiB": [float(size) for _, size in pairs],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="measure reading of CDI specs and the import")
    parser.add_argument("--json", type=Path, help="write all samples there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        samples = {**bench_reading(Path(place)), **bench_import()}
    table = Table("microseconds, or as named", "median", "best", "reference (Go)", "goal")
    for name, found in samples.items():
        figures = (statistics.median(found), min(found), REFERENCE.get(name), GOALS.get(name))
        table.add_row(name, *("" if one is None else f"{one:,.0f}" for one in figures))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(samples))


if __name__ == "__main__":
    main()
