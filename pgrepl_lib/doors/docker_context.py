"""Which Docker engine is meant: one for the SDK and for every program that we start.

The SDK knows nothing of contexts, `docker` and Compose obey them. As in Docker's own command line:
DOCKER_HOST wins, then DOCKER_CONTEXT, then the context in use (docker context use).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ..errors import EnvironmentLacking
from ..words.text import t

HOST, CONTEXT = "DOCKER_HOST", "DOCKER_CONTEXT"
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
