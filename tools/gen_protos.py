"""Generate the kubelet's messages from `protos/`, or with `--check` say what differs.

Called by `make protos`, by `.ci/run` (`--check`) and by whoever edits a .proto file. The generator
runs in an environment of its own, because generated code refuses a runtime older than itself: the
oldest generator we can bear keeps the range of `protobuf` wide for our users.

Exit codes: 0 fine, 1 generated files differ (`--check`), 2 the generator could not run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

GENERATOR = "grpcio-tools==1.76.0"  # writes gencode 6.31.1, the lower end of our protobuf range
ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
SOURCES = ROOT / "packages" / "pydra-core" / "src"


class GeneratorError(Exception):
    """The generator could not run or refused a file; the message says what to do."""


def find_uv() -> str:
    """Return the uv to run: the one running us, the one on PATH, or the one CONTRIBUTING installs.

    Raises:
        GeneratorError: there is none.
    """
    local = ROOT / ".uv" / "bin" / "uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(local) if local.exists() else None)
    if found is None:
        raise GeneratorError("uv not found: set it up as CONTRIBUTING.md says, then run this again")
    return found


def generate(out: Path) -> None:
    """Write `_pb2.py` and `_pb2.pyi` of every .proto file below `out`.

    File names are given relative to `protos/`: the generator derives import lines from them.

    Raises:
        GeneratorError: uv is missing, cannot provide the generator, or a .proto file is wrong.
    """
    names = [str(path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))]
    environment = ["run", "--isolated", "--no-project", "--python", sys.executable]
    protoc = ["--with", GENERATOR, "python", "-m", "grpc_tools.protoc"]
    flags = [f"--proto_path={PROTOS}", f"--python_out={out}", f"--pyi_out={out}"]
    command = [find_uv(), *environment, *protoc, *flags, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        hint = f"is a .proto file wrong, or can uv not fetch {GENERATOR} (network, uv cache)?"
        raise GeneratorError(f"{done.stderr.strip()}\nnothing was generated: {hint}")


def generated(base: Path) -> Iterator[Path]:
    """Yield the generated files below `base`, relative to it, sorted."""
    found = (*base.rglob("*_pb2.py"), *base.rglob("*_pb2.pyi"))
    yield from sorted(path.relative_to(base) for path in found)


def differences(fresh: Path, committed: Path) -> list[str]:
    """Return one line for each file that is changed, missing or left over in `committed`."""
    wanted, present = set(generated(fresh)), set(generated(committed))
    lines = [f"{path}: missing" for path in wanted - present]
    lines += [f"{path}: has no .proto file" for path in present - wanted]
    lines += [
        f"{path}: differs from what its .proto file generates"
        for path in wanted & present
        if (fresh / path).read_bytes() != (committed / path).read_bytes()
    ]
    return sorted(lines)


def install(fresh: Path, committed: Path) -> None:
    """Make the generated files of `committed` those of `fresh`."""
    wanted = set(generated(fresh))
    for path in set(generated(committed)) - wanted:
        (committed / path).unlink()
    for path in wanted:
        (committed / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fresh / path, committed / path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the module's docstring has the exit codes."""
    parser = argparse.ArgumentParser(description="generate the kubelet's messages from protos/")
    parser.add_argument("--check", action="store_true", help="write nothing, name what differs")
    check = parser.parse_args(argv).check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        try:
            generate(fresh)
        except GeneratorError as error:
            print(f"gen_protos: {error}", file=sys.stderr)
            return 2
        found = differences(fresh, SOURCES)
        if not check:
            install(fresh, SOURCES)
    for line in found:
        print(line if check else f"{line}; written")
    if check and found:
        print("gen_protos: run `make protos` and commit what it writes", file=sys.stderr)
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
