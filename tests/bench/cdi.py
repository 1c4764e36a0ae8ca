"""Speed of reading CDI specs, and what importing the package costs: `uv run python tests/bench/cdi.py`.

One file each of 1 and of 200 devices is read from the page cache, decoded strictly and validated, as the reference
library was measured; the same text read by the slow rules shows what a file costs that is not plain JSON. Import
time and memory are those of fresh processes. `cdi_registry.py` measures refresh and injection. Beside the time on the
clock stands the CPU time of the same calls, which a busy machine stretches less.
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
    "import": 60_000.0,
}
RESIDENT_KIB = 25 * 1024
IMPORT = """
import time
began, used = time.perf_counter(), time.process_time()
import pydra_cdi
print((time.perf_counter() - began) * 1e6, (time.process_time() - used) * 1e6)
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmRSS")))
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


Samples = dict[str, list[tuple[float, float]]]
"""What was measured: for each time it was done, microseconds on the clock and of CPU."""


def microseconds(act: Callable[[], object], times: int) -> list[tuple[float, float]]:
    """Time single calls, after one that is not counted."""
    act()
    found = []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        act()
        took = time.perf_counter() - began, time.process_time() - used
        found.append((took[0] * 1e6, took[1] * 1e6))
    return found


def show(samples: Samples, reference: dict[str, float], goals: dict[str, float]) -> None:
    """Print a row for each thing measured."""
    table = Table("microseconds", "median", "best", "median CPU", "reference (Go)", "goal")
    for name, found in samples.items():
        wall, cpu = zip(*found, strict=True)
        known = reference.get(name), goals.get(name)
        figures = statistics.median(wall), min(wall), statistics.median(cpu), *known
        table.add_row(name, *("" if one is None else f"{one:,.0f}" for one in figures))
    Console().print(table)


def bench_reading(place: Path) -> Samples:
    samples: Samples = {}
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


def bench_import() -> tuple[Samples, float]:
    """Import in fresh processes; returns the times and the median of the resident memory in KiB."""
    runs = [
        subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
        for _ in range(10)
    ]
    told = [list(map(float, run.stdout.split())) for run in runs]
    return {"import": [(wall, cpu) for wall, cpu, _ in told]}, statistics.median(
        size for _, _, size in told
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="measure reading of CDI specs and the import")
    parser.add_argument("--json", type=Path, help="write all samples there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        samples = bench_reading(Path(place))
    imported, resident = bench_import()
    show({**samples, **imported}, REFERENCE, GOALS)
    Console().print(f"resident after the import: {resident:,.0f} KiB (goal {RESIDENT_KIB:,})")
    if arguments.json:
        arguments.json.write_text(json.dumps({**samples, **imported, "resident KiB": resident}))


if __name__ == "__main__":
    main()
