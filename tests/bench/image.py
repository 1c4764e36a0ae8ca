"""Start of the image of pydra-pizza: `uv run python tests/bench/image.py [--samples FILE]`, as root.

Exec of the image's entry point to both sockets answering, in a read-only root file system made of the image's layers
over a Python without bytecode, as the image's base has it; and the same without the bytecode that the core layer
brings for Python's own library. In turns, so that a busy minute meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "support")]

from claims import Bench, api_server  # noqa: E402 (the files beside this one)
from image_world import Images, build_images, merged  # noqa: E402 (same)

ROUNDS = 15
MOUNTS = """
set -e
for root in "$1" "$2"; do
    mount --bind "$root" "$root"
    for folder in /usr /bin /lib /lib64 /etc; do mount --rbind "$folder" "$root$folder"; done
    mount -o remount,bind,ro "$root"
    for folder in /tmp /proc /dev; do mount --rbind "$folder" "$root$folder"; done
done
shift 2
exec "$@"
"""


class ImageBench(Bench):
    """Starts of one root file system's entry point."""

    def __init__(self, image: Path, place: Path, kubeconfig: Path) -> None:
        super().__init__(place, [], kubeconfig)
        self.image = image
        self.socket = place / "kubelet/plugins/dra.pizza/dra.sock"
        self.registry = place / "kubelet/plugins_registry/dra.pizza-reg.sock"

    async def start(self) -> float:
        environ = {
            "NODE_NAME": "node-1",
            "KUBECONFIG": str(self.kubeconfig),
            "KUBELET_ROOT": str(self.root / "kubelet"),
            "CDI_DIR": str(self.root / "cdi"),
            "LOG_LEVEL": "warning",
        }
        command = ("chroot", str(self.image), "/opt/pydra/bin/driver", "run")
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*command, env=os.environ | environ)
        await self._answering()
        seconds = time.perf_counter() - started
        process.terminate()
        await process.wait()
        return seconds


def roots(folder: Path) -> tuple[Path, Path]:
    """Make the image's root, and one without bytecode of Python's library."""
    world = Images(folder / "images")
    build_images(world)
    image = merged(folder / "image", world.pizza_root)
    base = Path(sys.base_prefix)
    left_out = shutil.ignore_patterns("__pycache__", "test", "site-packages", "include", "*.a")
    shutil.copytree(base, image / str(base)[1:], symlinks=True, dirs_exist_ok=True, ignore=left_out)
    for name in ("usr", "bin", "lib", "lib64", "etc", "tmp", "proc", "dev"):
        (image / name).mkdir(exist_ok=True)
    without = merged(folder / "without", image)
    for path in (without / str(base)[1:]).rglob("*.pyc"):
        path.unlink()
    return image, without


async def measure(image: Path, without: Path) -> dict[str, list[float]]:
    """Start both in turns."""
    samples: dict[str, list[float]] = {"image": [], "without bytecode of Python's library": []}
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as place:
        async with api_server(Path(place), 1) as (_, kubeconfig):
            for _ in range(ROUNDS):
                for name, root in zip(samples, (image, without), strict=True):
                    bench = ImageBench(root, Path(place), kubeconfig)
                    samples[name].append(await bench.start())
    return samples


def report(samples: dict[str, list[float]]) -> None:
    """Print milliseconds from exec to both sockets answering."""
    for name, values in samples.items():
        best, worst = min(values) * 1e3, max(values) * 1e3
        middle = statistics.median(values) * 1e3
        print(f"{name}: {middle:.0f} ms ({best:.0f} to {worst:.0f}, n {len(values)})")


def main() -> None:
    """Build the roots, then measure in a mount namespace that has them read-only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, help="write the raw samples to this .json.gz")
    parser.add_argument("--roots", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.roots:
        samples = asyncio.run(measure(*arguments.roots))
        report(samples)
        if arguments.samples:
            text = json.dumps(samples).encode()
            arguments.samples.write_bytes(gzip.compress(text, mtime=0))
        return
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        made = [str(each) for each in roots(Path(folder))]
        again = [sys.executable, __file__, *sys.argv[1:], "--roots", *made]
        command = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", *made, *again]
        sys.exit(os.spawnvp(os.P_WAIT, command[0], command))


if __name__ == "__main__":
    main()
