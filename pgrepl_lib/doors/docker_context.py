"""Which Docker engine is meant: one for the SDK and for every program that we start.

The SDK knows nothing of contexts, `docker` and Compose obey them. As in Docker's own command line:
DOCKER_HOST wins, then DOCKER_CONTEXT, then the context in use (docker context use).
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from ..errors import EnvironmentLacking
from ..words.text import t

HOST, CONTEXT = "DOCKER_HOST", "DOCKER_CONTEXT"
NETWORKED = ("tcp", "http", "https")
VARIABLES = (HOST, CONTEXT, "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


def variables() -> dict[str, str]:
    """The variables that name the engine, a context by its endpoint."""
    names = (*VARIABLES, "DOCKER_CONFIG", "HOME")
    return _variables(tuple((name, os.environ.get(name, "")) for name in names))


@cache
def _variables(given: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The same for these variables; a context's file is read once."""
    known = dict(given)
    if known[HOST]:
        return {name: known[name] for name in VARIABLES if known[name] and name != CONTEXT}
    folder = Path(known["DOCKER_CONFIG"] or Path(known["HOME"] or "~").expanduser() / ".docker")
    name = known[CONTEXT] or _in_use(folder)
    if name in ("", "default"):
        return {n: known[n] for n in VARIABLES if known[n]}
    return _of_context(folder / "contexts", name)


def elsewhere() -> str:
    """The engine's address where it is another machine's; empty of one of this machine.

    There, a container finds no folder of ours, and its ports are not this machine's.
    """
    endpoint = variables().get(HOST, "")
    parts = urlsplit(endpoint)
    if parts.scheme == "ssh" or (parts.scheme in NETWORKED and not _is_here(parts.hostname or "")):
        return endpoint
    return ""


def _is_here(host: str) -> bool:
    """Whether a name leads to an address of this machine, or nowhere: Docker says that itself."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return True
    ours = {a.address for addresses in psutil.net_if_addrs().values() for a in addresses}
    return any(ip_address(each).is_loopback or each in ours for each in found)


def _in_use(folder: Path) -> str:
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
        return str(found.get("currentContext", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _of_context(contexts: Path, name: str) -> dict[str, str]:
    """A context's endpoint, and its certificates where it has any."""
    key = hashlib.sha256(name.encode()).hexdigest()
    file = contexts / "meta" / key / "meta.json"
    try:
        made = json.loads(file.read_text("utf-8"))
        endpoint: Mapping[str, object] = made["Endpoints"]["docker"]
        found = {HOST: str(endpoint["Host"])}
    except (OSError, ValueError, LookupError, TypeError):
        raise EnvironmentLacking(
            t("The Docker context {name} cannot be read.", name=name),
            looked_at=[str(file)],
            remedy=t("`docker context ls` lists them; choose one (DOCKER_CONTEXT)"),
        ) from None
    certificates = contexts / "tls" / key / "docker"
    if certificates.is_dir():
        found["DOCKER_CERT_PATH"] = str(certificates)
        if not endpoint.get("SkipTLSVerify"):
            found["DOCKER_TLS_VERIFY"] = "1"
    return found
