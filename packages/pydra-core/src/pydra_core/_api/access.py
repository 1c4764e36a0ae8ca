"""Where the API server is and how to prove who we are: in-cluster service account or a kubeconfig.

Bound service-account tokens rotate about hourly, so a token is a function that reads its file anew, never a
string kept.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pydra_core.errors import ConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Access:
    """One API server: base URL, how to get the bearer token now, and TLS if the URL asks for it."""

    url: str
    token: Callable[[], str]
    tls: ssl.SSLContext | None


def find(kubeconfig: str, environ: Mapping[str, str]) -> Access:
    """Use `kubeconfig` if given, else the pod's service account.

    Raises:
        ConfigError: neither is there, or it cannot be used; the text says what is missing.
    """
    if kubeconfig:
        return _from_kubeconfig(Path(kubeconfig))
    host, port = (
        environ.get("KUBERNETES_SERVICE_HOST"),
        environ.get("KUBERNETES_SERVICE_PORT", "443"),
    )
    if not host:
        raise ConfigError(
            "API access: not in a pod (KUBERNETES_SERVICE_HOST is unset) and no kubeconfig given;"
            " set --kubeconfig or KUBECONFIG",
            key="kubeconfig",
            source="environment",
        )
    tls = _context(
        "service account",
        "mount the service account (automountServiceAccountToken: true), or set --kubeconfig or KUBECONFIG",
        cafile=str(SERVICE_ACCOUNT / "ca.crt"),
    )
    address = f"[{host}]" if ":" in host else host
    return Access(f"https://{address}:{port}", _file_token(SERVICE_ACCOUNT / "token"), tls)


def own_namespace() -> str:
    """The pod's namespace, `default` outside of a cluster."""
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text(encoding="ascii").strip() or "default"
    except (OSError, UnicodeDecodeError):
        return "default"


def _from_kubeconfig(file: Path) -> Access:
    import yaml  # noqa: PLC0415 (1 MB that a driver in a cluster need not hold)

    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        contexts, clusters, users = (
            _named(config, kind) for kind in ("contexts", "clusters", "users")
        )
        context = contexts[config["current-context"]]["context"]
        cluster = clusters[context["cluster"]]["cluster"]
        user = users.get(context.get("user", ""), {}).get("user") or {}
        server = str(cluster["server"]).rstrip("/")
    except (
        OSError,
        yaml.YAMLError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        AttributeError,
    ) as err:
        raise _unusable(file, f"{type(err).__name__}: {err}") from err
    for unsupported in ("exec", "auth-provider"):
        if unsupported in user:
            raise _unusable(
                file, f"user uses {unsupported}, which a node driver does not run; use a token"
            )
    return Access(server, _token(user), _tls(file, server, cluster, user))


def _named(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {entry["name"]: entry for entry in config.get(kind) or []}


def _unusable(file: Path, why: str) -> ConfigError:
    return ConfigError(
        f"kubeconfig {file}: cannot be used: {why}; check it with `kubectl --kubeconfig {file} version`",
        key="kubeconfig",
        source=str(file),
    )


def _token(user: Mapping[str, Any]) -> Callable[[], str]:
    if path := user.get("tokenFile"):
        return _file_token(Path(path))
    token = str(user.get("token", ""))
    return lambda: token


def _file_token(file: Path) -> Callable[[], str]:
    def read() -> str:
        return file.read_text(encoding="ascii").strip()

    return read


def _tls(
    file: Path, server: str, cluster: Mapping[str, Any], user: Mapping[str, Any]
) -> ssl.SSLContext | None:
    if not server.startswith("https:"):
        return None
    try:
        data = cluster.get("certificate-authority-data")
        ca = base64.b64decode(data, validate=True).decode("ascii") if data else None
    except (binascii.Error, UnicodeDecodeError) as err:
        raise _unusable(file, f"certificate-authority-data is no base64 PEM: {err}") from err
    remedy = "check certificate-authority: a file or data that holds PEM certificates"
    context = _context(str(file), remedy, cafile=cluster.get("certificate-authority"), cadata=ca)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        _client_certificate(context, user)
    except (OSError, ssl.SSLError, binascii.Error, KeyError) as err:
        raise _unusable(file, f"client certificate: {type(err).__name__}: {err}") from err
    return context


def _client_certificate(context: ssl.SSLContext, user: Mapping[str, Any]) -> None:
    if certificate := user.get("client-certificate"):
        context.load_cert_chain(certificate, user.get("client-key"))
    elif data := user.get("client-certificate-data"):
        pem = base64.b64decode(data) + b"\n" + base64.b64decode(user["client-key-data"])
        with NamedTemporaryFile(
            suffix=".pem"
        ) as both:  # OpenSSL reads files only; mode 0600, gone at once
            both.write(pem)
            both.flush()
            context.load_cert_chain(both.name)


def _context(
    source: str, remedy: str, *, cafile: str | None, cadata: str | None = None
) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cafile, cadata=cadata)
    except (OSError, ssl.SSLError) as err:
        raise ConfigError(
            f"API access from {source}: certificate authority cannot be read: {err}; {remedy}",
            key="kubeconfig",
            source=source,
        ) from err
