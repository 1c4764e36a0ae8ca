"""Build, weigh and check the part of an image that is ours.

The Dockerfile and the tests run `layer`, so both make the same files by the same steps; nothing here needs Docker.

Exit codes: 0 fine, 1 a finding (input is not as locked, or a file not as recorded), 2 usage.
"""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from images.checking import findings
from images.layer import Order, build
from images.targets import ARCHES, ImageError
from images.weight import table, weights


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the module's docstring has the exit codes."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (ImageError, OSError) as error:
        print(f"build_image: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="build, weigh and check our part of an image")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    layer = commands.add_parser("layer", help="build what an image adds to the one below it")
    layer.add_argument("--package", required=True, help="distribution whose image it is")
    layer.add_argument(
        "--wheels", required=True, type=Path, help="folder with our wheels and SHA256SUMS"
    )
    layer.add_argument("--lock", required=True, type=Path, help="images/locks/<package>.txt")
    layer.add_argument("--out", required=True, type=Path, help="new root folder for the layer")
    layer.add_argument("--core", type=Path, help="root with pydra-core's layer; not for pydra-core")
    layer.add_argument(
        "--platform", default=_here(), help="as linux/arm64; default: this machine's"
    )
    layer.set_defaults(run=_layer)
    for name, run, told in (
        ("weigh", _weigh, "say what the weight is made of"),
        ("check", _check, "compare every file with what the image says of it"),
    ):
        command = commands.add_parser(name, help=told)
        command.add_argument(
            "roots", nargs="+", type=Path, help="one root, or those of core and vendor"
        )
        command.add_argument("-o", choices=("table", "json"), default="table", dest="form")
        command.set_defaults(run=run)
    return parser


def _here() -> str:
    return next((k for k, v in ARCHES.items() if v == platform.machine()), "linux/amd64")


def _layer(arguments: argparse.Namespace) -> int:
    a = arguments
    digest = build(Order(a.package, a.wheels, a.lock, a.out, a.platform, a.core))
    print(f"{a.package} {a.platform} sha256:{digest}")
    return 0


def _weigh(arguments: argparse.Namespace) -> int:
    found = weights(arguments.roots)
    if arguments.form == "json":
        print(json.dumps(found, indent=1))
    else:
        print(table(found))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    found = findings(arguments.roots)
    if arguments.form == "json":
        print(json.dumps(found, indent=1))
    else:
        print(*found, f"{len(found)} findings", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
