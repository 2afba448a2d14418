"""A container's place in its cluster's network: the others find it by its service's name."""

from __future__ import annotations

from typing import Any

from .host import client

SERVICE = "com.docker.compose.service"


def find(network: str) -> Any:
    """The network of this name; None where there is none."""
    named = client().networks.list(names=[network])  # also those that have the name in theirs
    return next((each for each in named if each.name == network), None)


def joined(container: Any, network: str) -> bool:
    """Whether a container is in this network, by its service's name.

    One that somebody has taken out and put back by hand may be there without a name.
    """
    found = container.attrs["NetworkSettings"]["Networks"].get(network)
    return bool(found) and container.labels[SERVICE] in (found.get("Aliases") or [])


def join(container: Any, network: str) -> None:
    """Put a container into this network by its service's name, running or not.

    One that is there without the name leaves it first, which cuts its connections for a moment.
    """
    found = find(network)
    if network in container.attrs["NetworkSettings"]["Networks"]:
        found.disconnect(container, force=True)
    found.connect(container, aliases=[container.labels[SERVICE]])


def commands(container: Any, network: str) -> tuple[str, ...]:
    """What a person would type for it; nothing where it has its place."""
    if joined(container, network):
        return ()
    both = f"{network} {container.name}"
    connect = f"docker network connect --alias {container.labels[SERVICE]} {both}"
    if network in container.attrs["NetworkSettings"]["Networks"]:
        return f"docker network disconnect --force {both}", connect
    return (connect,)
