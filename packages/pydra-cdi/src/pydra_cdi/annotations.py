"""CDI devices asked for by annotations of a container: `cdi.k8s.io/<plugin>_<device ID>`, device IDs joined by ','.

Device plugins of older clusters write them, runtimes read them; newer clusters pass device IDs on their own. Rests
on the CDI specification, "Kubernetes annotations", decided as the reference library does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydra_cdi.errors import Fault, SpecError
from pydra_cdi.names import QualifiedName

ANNOTATION_PREFIX = "cdi.k8s.io/"
_MAX_NAME = 63
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")


class AnnotatedDevices(NamedTuple):
    """What annotations ask for: the keys that do, and the device IDs in their order."""

    keys: tuple[str, ...]
    device_ids: tuple[str, ...]


def annotation_key(plugin: str, device_id: str) -> str:
    """Make the key under which a plugin asks for the devices of one of its own device IDs.

    Args:
        plugin: Name of the plugin, like `vendor.class`.
        device_id: The plugin's ID for what was allocated; `/` becomes `_`.

    Raises:
        SpecError: One of them is empty, or together they are no name of at most 63 letters.
    """
    name = f"{plugin}_{device_id.replace('/', '_')}"
    if not plugin:
        fault = Fault("plugin", "it is empty", "give the name of the plugin")
    elif not device_id:
        fault = Fault("device_id", "it is empty", "give the ID of the device")
    elif len(name.encode()) > _MAX_NAME:
        fault = Fault("", f"{name!r} is longer than {_MAX_NAME} bytes", "use shorter names")
    elif not _NAME.fullmatch(name):
        remedy = "begin and end with a letter or digit, use only letters, digits, '_', '-' and '.' between"
        fault = Fault("", f"{name!r} breaks the rule for names of annotations", remedy)
    else:
        return f"{ANNOTATION_PREFIX}{name}"
    raise SpecError("the CDI annotation key", [fault])


def annotation_value(device_ids: Iterable[str]) -> str:
    """Join device IDs to the value of an annotation.

    Raises:
        SpecError: One of them is no `vendor/class=name`.
    """
    return ",".join(str(QualifiedName.parse(device_id)) for device_id in device_ids)


def parse_annotations(annotations: Mapping[str, str]) -> AnnotatedDevices:
    """Find the devices that annotations ask for, in the order of the annotations.

    Raises:
        SpecError: A value under a CDI key holds something that is no device ID; names the key.
    """
    keys = tuple(key for key in annotations if key.startswith(ANNOTATION_PREFIX))
    device_ids = [(key, one) for key in keys for one in annotations[key].split(",")]
    for key, device_id in device_ids:
        try:
            QualifiedName.parse(device_id)
        except SpecError as error:
            raise SpecError(f"annotation {key}: {error.subject}", error.faults) from error
    return AnnotatedDevices(keys, tuple(device_id for _, device_id in device_ids))


def update_annotations(
    annotations: Mapping[str, str] | None, plugin: str, device_id: str, device_ids: Iterable[str]
) -> dict[str, str]:
    """Add the annotation that asks for `device_ids`; see `annotation_key` and `annotation_value`.

    Returns:
        The annotations with the new one; those given stay as they are.

    Raises:
        SpecError: A name is not valid, or the key is used already.
    """
    key = annotation_key(plugin, device_id)
    present = dict(annotations or {})
    if key in present:
        remedy = "give each allocation of the plugin its own device ID"
        raise SpecError("the CDI annotation key", [Fault("", f"{key} is used already", remedy)])
    return {**present, key: annotation_value(device_ids)}
