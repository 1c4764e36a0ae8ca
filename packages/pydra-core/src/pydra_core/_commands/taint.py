"""`taint` and `untaint`: set devices of this node aside by hand, and take them back.

They write a small file beside the driver's journal; the running driver applies it within a second or two, and so
does one that is started later. `kubectl exec` into the driver's pod is enough to use them.
"""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from pydra_core._api.rules import is_label, is_pool_name
from pydra_core._commands import options
from pydra_core._state import set_aside
from pydra_core._state.set_aside import SetAside
from pydra_core.command import FINDING, FINE, Command
from pydra_core.errors import ConfigError

_REASON = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def _add_device(parser: ArgumentParser) -> None:
    options.add_driver(parser)
    options.add_settings(parser)
    parser.add_argument(
        "device",
        metavar="DEVICE",
        nargs="?",
        default="",
        help="its published name; POOL/DEVICE for one of a further pool of the node",
    )


def _configure_taint(parser: ArgumentParser) -> None:
    _add_device(parser)
    parser.add_argument(
        "--reason",
        default="",
        metavar="WORD",
        help="why, as the taint's value: one word (DustyFan)",
    )
    parser.add_argument(
        "--effect",
        default="NoSchedule",
        choices=("NoSchedule", "NoExecute", "None"),
        help="NoSchedule keeps new pods away (default), NoExecute also evicts those that use it, None only tells",
    )


def _taint(arguments: Namespace) -> int:
    file = _file(arguments)
    if not arguments.device:
        return _show(file)
    pool, slash, device = arguments.device.rpartition("/")
    if not is_label(device) or (slash and not is_pool_name(pool)):
        raise ConfigError(
            f"device {arguments.device!r}: is no device name; `discover` lists them",
            key="device",
            source="command line",
        )
    if not _REASON.fullmatch(arguments.reason):
        raise ConfigError(
            f"flag --reason: {arguments.reason!r} is no label value: give one word of letters, digits, '-', '_' and"
            " '.', at most 63 characters",
            key="reason",
            source="flag --reason",
        )
    entry = SetAside(arguments.reason, arguments.effect)
    set_aside.change(file, lambda devices: devices.__setitem__(arguments.device, entry))
    sys.stdout.write(f"{arguments.device} set aside: {entry.reason} ({entry.effect})\n")
    return FINE


def _show(file: Path) -> int:
    devices = set_aside.read(file)
    for name, entry in sorted(devices.items()):
        sys.stdout.write(f"{name} {entry.reason} ({entry.effect})\n")
    if not devices:
        sys.stdout.write("no device is set aside\n")
    return FINE


def _untaint(arguments: Namespace) -> int:
    found = []
    set_aside.change(
        _file(arguments), lambda devices: found.append(devices.pop(arguments.device, None))
    )
    if found == [None]:
        sys.stdout.write(f"{arguments.device} was not set aside\n")
        return FINDING
    sys.stdout.write(f"{arguments.device} is taken back\n")
    return FINE


def _file(arguments: Namespace) -> Path:
    driver, settings = options.find_driver(arguments), options.read_settings(arguments)
    return settings.kubelet_root / "plugins" / driver.name / set_aside.FILE_NAME


taint = Command(
    "taint", "set a device of this node aside, or show which are", _configure_taint, _taint
)
untaint = Command("untaint", "take a device back that was set aside", _add_device, _untaint)
