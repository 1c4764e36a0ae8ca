"""A kubeconfig file for kubectl and drivers."""

from __future__ import annotations

from pathlib import Path

import yaml

_NAME = "pydra-testbed"


def write_kubeconfig(path: Path, url: str, token: str | None = None) -> Path:
    """Write a kubeconfig whose only context is this server; readable by its owner alone.

    kubectl and other Go clients send a token over TLS alone, which this server does not speak: give them a
    server without one. Returns `path`. Raises `OSError` when the directory cannot be written.
    """
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "clusters": [{"name": _NAME, "cluster": {"server": url}}],
        "users": [{"name": _NAME, "user": {"token": token} if token else {}}],
        "contexts": [
            {"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": "default"}}
        ],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
