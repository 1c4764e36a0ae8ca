"""DeviceClass: selectors, configuration, the extended resource it stands for (KEP-5004)."""

from __future__ import annotations

from dataclasses import replace

from pydra_testbed.api._causes import Causes, invalid
from pydra_testbed.api._context import Context, no_cel_check
from pydra_testbed.api._names import is_extended_resource
from pydra_testbed.api._rules.lists import each
from pydra_testbed.api._rules.meta import class_name, metadata, metadata_update
from pydra_testbed.api._rules.opaque import configuration
from pydra_testbed.api._rules.selectors import selectors
from pydra_testbed.objects import KubeObject

CONFIG_MAX = 32


def new_class(obj: KubeObject, context: Context) -> Causes:
    found = metadata(obj, namespaced=False, name_check=class_name)
    return found + _spec(obj.get("spec", {}), context)


def changed_class(new: KubeObject, old: KubeObject, context: Context) -> Causes:
    """Selectors that are exactly as before count as compiled."""
    spec, before = new.get("spec", {}), old.get("spec", {})
    if spec.get("selectors") == before.get("selectors"):
        context = replace(context, cel_check=no_cel_check)
    return metadata_update(new, old) + _spec(spec, context)


def _spec(spec: KubeObject, context: Context) -> Causes:
    found = selectors("spec.selectors", spec.get("selectors"), context)
    found += each("spec.config", spec.get("config"), CONFIG_MAX, configuration)
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended_resource(name):
        detail = "must be a valid extended resource name"
        found.append(invalid("spec.extendedResourceName", name, detail))
    return found
