"""The table of resources this API server knows; adding one is a row.

Read by the request core (paths, storage), discovery and the selectors. A `Catalog` is a value per server,
so that a later custom resource can be registered on one server without touching another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydra_testbed.api._custom.version import CustomVersion

MAIN_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of one group version, with what its storage and its paths need to know.

    A `virtual` kind is answered and not stored. `selectable` maps a field label to the path it reads. `storage` names the plural under which objects
    live when another group version owns the form on disk (`renames`: our field name to theirs).
    `definition` is what a custom resource was defined as, `owner` the definition's name.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    selectable: Mapping[str, str] = field(default_factory=dict)
    has_generation: bool = False
    status_on_create: bool = False
    unconditional_update: bool = True
    create_on_update: bool = False
    returns_deleted: bool = False
    virtual: bool = False
    storage: str = ""
    stored_version: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    categories: tuple[str, ...] = ()
    definition: CustomVersion | None = None
    owner: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified_kind(self) -> str:
        """`ResourceClaim.resource.k8s.io`, as validation errors name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def qualified_plural(self) -> str:
        """`resourceclaims.resource.k8s.io`, as not-found and conflict errors name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def verbs(self) -> tuple[str, ...]:
        return ("create",) if self.virtual else MAIN_VERBS

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def stored_api_version(self) -> str:
        """The `apiVersion` of the stored form."""
        if self.renames:
            return "v1"
        if not self.stored_version:
            return self.api_version
        return f"{self.group}/{self.stored_version}"

    @property
    def bucket(self) -> str:
        """The storage that holds this kind's objects."""
        return self.storage or self.qualified_plural


BOOLEAN_FIELDS = frozenset({"spec.hostNetwork", "spec.unschedulable"})
"""Selectable fields that mean `false` when they are absent."""

_POD_FIELDS = {
    name: name
    for name in (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName",
    )
}  # fmt: skip
_EVENT_FIELDS = {
    **{
        f"involvedObject.{name}": f"involvedObject.{name}"
        for name in (
            "kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath",
        )
    },
    "reason": "reason",
    "reportingComponent": "reportingComponent",
    "source": "source.component",
    "type": "type",
}  # fmt: skip
_NEW_EVENT_FIELDS = {
    **{name: path for name, path in _EVENT_FIELDS.items() if "involvedObject" not in name},
    **{
        name.replace("involvedObject", "regarding"): path
        for name, path in _EVENT_FIELDS.items()
        if "involvedObject" in name
    },
}
EVENT_RENAMES = (
    ("regarding", "involvedObject"), ("note", "message"), ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"), ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"), ("reportingController", "reportingComponent"),
)  # fmt: skip

RESOURCE = "resource.k8s.io"

BUILT_IN: tuple[Kind, ...] = (
    Kind(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition",
        namespaced=False, short_names=("crd", "crds"), subresources=("status",), has_generation=True,
        returns_deleted=True,
    ),
    Kind("", "v1", "configmaps", "ConfigMap", short_names=("cm",)),
    Kind(
        "", "v1", "events", "Event", short_names=("ev",), selectable=_EVENT_FIELDS,
        create_on_update=True,
    ),
    Kind(
        "", "v1", "namespaces", "Namespace", namespaced=False, short_names=("ns",),
        subresources=("status",), selectable={"status.phase": "status.phase"},
    ),
    Kind(
        "", "v1", "nodes", "Node", namespaced=False, short_names=("no",),
        subresources=("status",), selectable={"spec.unschedulable": "spec.unschedulable"},
        status_on_create=True,
    ),
    Kind(
        "", "v1", "pods", "Pod", short_names=("po",), subresources=("binding", "log", "status"),
        selectable=_POD_FIELDS, has_generation=True, returns_deleted=True, categories=("all",),
    ),
    # Charts bring these three; here they are kept, and nothing acts on them.
    Kind("", "v1", "resourcequotas", "ResourceQuota", short_names=("quota",), subresources=("status",)),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short_names=("netpol",)),
    Kind(
        "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False,
        short_names=("pc",),
    ),
    Kind("", "v1", "secrets", "Secret", selectable={"type": "type"}),
    Kind(
        "", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",),
        subresources=("token",), returns_deleted=True,
    ),
    *(
        Kind(f"{group}.k8s.io", "v1", f"{kind.lower()}s", kind, namespaced=namespaced, virtual=True)
        for group, kind, namespaced in (
            ("authentication", "SelfSubjectReview", False),
            ("authentication", "TokenReview", False),
            ("authorization", "LocalSubjectAccessReview", True),
            ("authorization", "SelfSubjectAccessReview", False),
            ("authorization", "SelfSubjectRulesReview", False),
            ("authorization", "SubjectAccessReview", False),
        )
    ),
    *(
        Kind(
            "admissionregistration.k8s.io", "v1", plural, kind, namespaced=False,
            has_generation=True,
        )
        for plural, kind in (
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
            ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
        )
    ),
    *(
        Kind("rbac.authorization.k8s.io", "v1", f"{kind.lower()}s", kind, namespaced=namespaced)
        for kind, namespaced in (
            ("ClusterRoleBinding", False),
            ("ClusterRole", False),
            ("RoleBinding", True),
            ("Role", True),
        )
    ),
    *(
        Kind(
            group, "v1", f"{kind.lower()}s", kind, short_names=short, subresources=parts,
            has_generation=True, categories=("all",),
        )
        for group, kind, short, parts in (
            ("apps", "DaemonSet", ("ds",), ("status",)),
            ("apps", "Deployment", ("deploy",), ("scale", "status")),
            ("apps", "ReplicaSet", ("rs",), ("scale", "status")),
            ("batch", "Job", (), ("status",)),
        )
    ),
    Kind(
        "coordination.k8s.io", "v1", "leases", "Lease", unconditional_update=False,
        create_on_update=True,
    ),
    Kind(
        "events.k8s.io", "v1", "events", "Event", short_names=("ev",),
        selectable=_NEW_EVENT_FIELDS, create_on_update=True, storage="events",
        renames=EVENT_RENAMES,
    ),
    Kind(
        RESOURCE, "v1", "deviceclasses", "DeviceClass", namespaced=False, has_generation=True,
        returns_deleted=True,
    ),
    Kind(
        RESOURCE, "v1", "resourceclaims", "ResourceClaim", subresources=("status",),
        returns_deleted=True,
    ),
    Kind(RESOURCE, "v1", "resourceclaimtemplates", "ResourceClaimTemplate", returns_deleted=True),
    Kind(
        RESOURCE, "v1", "resourceslices", "ResourceSlice", namespaced=False, has_generation=True,
        selectable={"spec.nodeName": "spec.nodeName", "spec.driver": "spec.driver"},
        returns_deleted=True,
    ),
)  # fmt: skip


class Catalog:
    """The kinds one server serves, found by path or by the name an `Api` caller uses."""

    def __init__(self, kinds: Iterable[Kind] = BUILT_IN) -> None:
        self._index(tuple(kinds))

    def add(self, kinds: Iterable[Kind]) -> None:
        """Serve more kinds."""
        self._index((*self.kinds, *kinds))

    def withdraw(self, owner: str) -> None:
        """Serve a definition's kinds no longer."""
        self._index(tuple(kind for kind in self.kinds if kind.owner != owner))

    def _index(self, kinds: tuple[Kind, ...]) -> None:
        self.kinds = kinds
        self._by_path = {(kind.group, kind.version, kind.plural): kind for kind in self.kinds}
        self._by_name: dict[str, Kind] = {}
        for kind in self.kinds:
            self._by_name.setdefault(kind.plural, kind)
            self._by_name.setdefault(kind.qualified_plural, kind)
            self._by_name.setdefault(f"{kind.plural}.{kind.group}", kind)

    def at(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind served at `/apis/<group>/<version>/<plural>`."""
        return self._by_path.get((group, version, plural))

    def named(self, resource: str) -> Kind | None:
        """The kind for `plural` or `plural.group`; a bare plural means the first row that has it."""
        return self._by_name.get(resource)

    def groups(self) -> tuple[str, ...]:
        """Named groups in table order, the core group left out."""
        return tuple(dict.fromkeys(kind.group for kind in self.kinds if kind.group))

    def versions(self, group: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind.version for kind in self.kinds if kind.group == group))

    def of(self, group: str, version: str) -> tuple[Kind, ...]:
        return tuple(k for k in self.kinds if (k.group, k.version) == (group, version))
