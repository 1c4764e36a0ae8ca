"""What a pod would get of a real GPU: everything in its spec file is there, and a CUDA program runs with it.

Nothing is changed: the claim asks for no time slices. Without a GPU it is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

OWN_FOLDER = "/usr/local/nvidia/lib64"
pytestmark = [
    pytest.mark.skipif(
        not shutil.which("nvidia-smi") or not Path("/dev/nvidiactl").exists(),
        reason="no NVIDIA GPU here: neither nvidia-smi nor /dev/nvidiactl",
    ),
    pytest.mark.timeout(300),  # a driver without persistence mode begins slowly
]
BY_DRIVER_API = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
path = [line.split()[-1] for line in open("/proc/self/maps") if "libcuda.so" in line][0]
count, total = ctypes.c_int(), ctypes.c_size_t()
assert cuda.cuInit(0) == 0, "cuInit"
assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
assert cuda.cuDeviceTotalMem_v2(ctypes.byref(total), 0) == 0
print(count.value, total.value, path)
"""
KERNEL = r"""
#include <cstdio>
__global__ void add(int *sum) { atomicAdd(sum, threadIdx.x); }
int main() {
    int *sum;
    if (cudaMallocManaged(&sum, sizeof *sum) != cudaSuccess) return 2;
    *sum = 0;
    add<<<1, 256>>>(sum);
    if (cudaDeviceSynchronize() != cudaSuccess) return 3;
    printf("%d\n", *sum);
    return cudaFree(sum) != cudaSuccess;
}
"""


@pytest.fixture
async def edits(testbed):
    """What a pod's container is given with one GPU of this machine, as the driver's spec file has it."""
    await testbed.apply(Path(str(files("pydra_nvidia") / "demo" / "1-classes.yaml")))
    program = [sys.executable, "-m", "pydra_nvidia", "run"]
    await testbed.driver(program, environ={"NVIDIA_HOST_ROOT": "/"})
    container = {"name": "c", "image": "none", "command": ["sleep", "600"]}
    container["resources"] = {"claims": [{"name": "gpu"}]}
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    metadata = {"name": "one", "namespace": "default"}
    claims = [{"name": "gpu", "resourceClaimName": "one"}]
    await testbed.apply(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": metadata,
            "spec": {"devices": {"requests": [request]}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": [container], "resourceClaims": claims},
        },
    )
    await testbed.pod("one", "Running")
    (node,) = testbed.nodes.values()
    (file,) = node.cdi_dir.glob("*.json")
    (device,) = json.loads(file.read_text())["devices"]
    return device["containerEdits"]


@pytest.fixture
def libraries(edits, tmp_path):
    """The folder of libraries as the container has it, made of links to where they are mounted from."""
    for mount in edits["mounts"]:
        if mount["containerPath"].startswith(OWN_FOLDER):
            path = tmp_path / "lib64" / mount["containerPath"].removeprefix(OWN_FOLDER).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(mount["hostPath"])
    return tmp_path / "lib64"


def environment(edits, libraries):
    """The injected variables over an empty environment, the folder of libraries where it is here."""
    told = dict(each.split("=", 1) for each in edits["env"])
    assert told["LD_LIBRARY_PATH"] == OWN_FOLDER
    return told | {"LD_LIBRARY_PATH": str(libraries), "PATH": os.environ["PATH"]}


def test_every_node_and_file_of_the_spec_is_there(edits):
    nodes = {node["path"]: node for node in edits["deviceNodes"]}
    assert {"/dev/nvidiactl", "/dev/nvidia-uvm"} <= nodes.keys()
    for node in nodes.values():
        status = Path(node.get("hostPath", node["path"])).stat()
        told = node["major"], node.get("minor", 0)  # zero is left out
        assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == told
    names = set()
    for mount in edits["mounts"]:
        assert Path(mount["hostPath"]).exists(), mount
        names.add(Path(mount["containerPath"]).name)
    assert {"libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1", "nvidia-smi"} <= names  # fmt: skip


def test_the_driver_api_starts_with_the_libraries_of_the_spec(edits, libraries):
    command = [sys.executable, "-I", "-c", BY_DRIVER_API]
    done = subprocess.run(command, env=environment(edits, libraries), capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, total, path = done.stdout.split()
    assert int(count) >= 1
    assert int(total) > 1 << 30
    assert Path(path).samefile(libraries / "libcuda.so.1")


def test_a_program_of_cuda_runs_with_the_libraries_of_the_spec(edits, libraries, tmp_path):
    compiler = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if not compiler:
        pytest.skip("no nvcc here: there is nothing to compile a program of CUDA with")
    (tmp_path / "sum.cu").write_text(KERNEL)
    subprocess.run([compiler, "-o", tmp_path / "sum", tmp_path / "sum.cu"], check=True)
    done = subprocess.run([tmp_path / "sum"], env=environment(edits, libraries), capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{sum(range(256))}\n"), done.stderr
