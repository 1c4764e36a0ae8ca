"""How custom resources and their definitions are judged: the strategies that `_strategies` hands out."""

from __future__ import annotations

from pydra_testbed.api._causes import Causes
from pydra_testbed.api._context import Context
from pydra_testbed.api._custom.version import CustomVersion
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._names import dns_subdomain
from pydra_testbed.api._rules.meta import metadata, metadata_update
from pydra_testbed.objects import KubeObject


def judge_new(kind: Kind, version: CustomVersion, obj: KubeObject, _context: Context) -> Causes:
    """Metadata and all of the schema."""
    found = metadata(obj, namespaced=kind.namespaced, name_check=dns_subdomain)
    return found + version.judge(obj)


def judge_change(
    version: CustomVersion, new: KubeObject, old: KubeObject, _context: Context
) -> Causes:
    """As a new one; what was wrong before in the same way is let be (KEP-4008).

    Kubernetes judges metadata twice here, in its registry and in the kind's own validation, and says so.
    """
    known = set(version.judge(old))
    found = metadata_update(new, old)
    return [*found, *found, *(cause for cause in version.judge(new, old) if cause not in known)]


def default(version: CustomVersion, obj: KubeObject, _context: Context) -> None:
    version.default(obj)
