"""The names of all findings, for people to look up and for programs to compare: they stay what they are.

A check (`api: server`) is a row of the table and may be wrong in several ways; a finding is one of these ways, with
one kind of remedy. Guides, alerts and support tickets refer to findings by these names. Every `Result` that is a
finding carries one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Finding(StrEnum):
    """What stands in the way of a driver. A name is never reused for something else."""

    DRIVER_NAME = "driver-name"
    DRIVER_SDK = "driver-sdk"
    DRIVER_DISCOVER = "driver-discover"
    DRIVER_INVENTORY = "driver-inventory"
    DRIVER_NEEDS = "driver-needs"
    KUBELET_ROOT = "kubelet-root"
    KUBELET_DIRECTORY = "kubelet-directory"
    MODE_SETTINGS = "mode-settings"
    DEVICE_PLUGINS = "device-plugins"
    POD_RESOURCES = "pod-resources"
    SOCKET_LENGTH = "socket-length"
    SOCKET_BLOCKED = "socket-blocked"
    SOCKET_HALF = "socket-half"
    SOCKET_STRAY = "socket-stray"
    JOURNAL_UNREADABLE = "journal-unreadable"
    JOURNAL_DAMAGED = "journal-damaged"
    JOURNAL_NEWER = "journal-newer"
    JOURNAL_SET_ASIDE = "journal-set-aside"
    JOURNAL_SPACE = "journal-space"
    CDI_DIRECTORY = "cdi-directory"
    CDI_UNREADABLE = "cdi-unreadable"
    CDI_OWN_FILES = "cdi-own-files"
    CDI_OTHERS_FILES = "cdi-others-files"
    CDI_CONFLICT = "cdi-conflict"
    RUNTIME_CDI = "runtime-cdi"
    RUNTIME_DIRECTORIES = "runtime-directories"
    RUNTIME_VERSION = "runtime-version"
    RUNTIME_SETTINGS = "runtime-settings"
    API_ACCESS = "api-access"
    API_UNREACHABLE = "api-unreachable"
    API_SLOW = "api-slow"
    API_VERSION = "api-version"
    API_GROUP = "api-group"
    API_CLOCK = "api-clock"
    API_TOKEN = "api-token"  # noqa: S105 (a name, no secret)
    API_TOKEN_NODE = "api-token-node"  # noqa: S105 (same)
    API_RIGHTS = "api-rights"
    NODE_NAME = "node-name"
    NODE_KUBELET = "node-kubelet"
    CHECK_LATE = "check-late"
    CHECK_FORBIDDEN = "check-forbidden"
    CHECK_FAILED = "check-failed"


MEANINGS: Mapping[Finding, str] = {
    Finding.DRIVER_NAME: "the driver's name is no DNS subdomain that the API and CDI take",
    Finding.DRIVER_SDK: "an SDK module of the driver, or the vendor's library, cannot be loaded in its worker",
    Finding.DRIVER_DISCOVER: "`discover` raises",
    Finding.DRIVER_INVENTORY: "what `discover` returns breaks a limit of resource.k8s.io/v1",
    Finding.DRIVER_NEEDS: "what this driver needs beside itself, as another program of the node, is missing or in trouble",
    Finding.KUBELET_ROOT: "the kubelet's root directory is not where the settings say, or not mounted",
    Finding.KUBELET_DIRECTORY: "a directory of the kubelet is missing, cannot be written, or can be by everybody",
    Finding.MODE_SETTINGS: "the settings ask for neither DRA nor extended resources, or for what the driver has not",
    Finding.DEVICE_PLUGINS: "the kubelet's directory for device plugins is missing, or cannot be written",
    Finding.POD_RESOURCES: "the kubelet cannot be asked which pods have which devices",
    Finding.SOCKET_LENGTH: "a socket's path is longer than Linux allows",
    Finding.SOCKET_BLOCKED: "a file lies where a socket shall be, or may not be looked at",
    Finding.SOCKET_HALF: "one socket of the running driver answers and the other does not",
    Finding.SOCKET_STRAY: "a dead instance left a socket that the kubelet keeps dialling",
    Finding.JOURNAL_UNREADABLE: "the journal cannot be read",
    Finding.JOURNAL_DAMAGED: "records of the journal are damaged, or the file is no journal",
    Finding.JOURNAL_NEWER: "a newer driver wrote the journal",
    Finding.JOURNAL_SET_ASIDE: "an earlier start found the journal damaged and kept a copy",
    Finding.JOURNAL_SPACE: "the journal's file system is full, out of inodes, or read-only",
    Finding.CDI_DIRECTORY: "the directory for spec files is missing, not writable, open to all, or the pod's own",
    Finding.CDI_UNREADABLE: "runtimes stop at a CDI directory they cannot list",
    Finding.CDI_OWN_FILES: "a spec file of this driver is damaged or missing",
    Finding.CDI_OTHERS_FILES: "a spec file of somebody else is damaged",
    Finding.CDI_CONFLICT: "two spec files define the same device",
    Finding.RUNTIME_CDI: "CDI is switched off in the container runtime, or unknown to it",
    Finding.RUNTIME_DIRECTORIES: "the runtime does not read the directory the driver writes",
    Finding.RUNTIME_VERSION: "the runtime refuses spec files of the version the driver writes",
    Finding.RUNTIME_SETTINGS: "the runtime's settings cannot be read",
    Finding.API_ACCESS: "neither a service account nor a usable kubeconfig is there",
    Finding.API_UNREACHABLE: "the API server cannot be reached, or its certificate is not trusted",
    Finding.API_SLOW: "the API server answered before, and then did not",
    Finding.API_VERSION: "the cluster is older than Kubernetes 1.34",
    Finding.API_GROUP: "the API server does not serve resource.k8s.io/v1, or not to this driver",
    Finding.API_CLOCK: "the node's clock is off the API server's",
    Finding.API_TOKEN: "the token cannot be read, has expired, or is not accepted",
    Finding.API_TOKEN_NODE: "the token is bound to no node, or to another one",
    Finding.API_RIGHTS: "a right that a feature of this driver needs is not granted",
    Finding.NODE_NAME: "NODE_NAME is not set, or there is no such node",
    Finding.NODE_KUBELET: "the node's kubelet is too old, or has Dynamic Resource Allocation switched off",
    Finding.CHECK_LATE: "a check did not come to an end in time: what it looks at hangs",
    Finding.CHECK_FORBIDDEN: "a check may not look at a file: run it as the driver runs",
    Finding.CHECK_FAILED: "a check itself failed: a defect of `doctor`",
}
"""Each finding in a sentence. The guide to findings and the reference have exactly these."""
