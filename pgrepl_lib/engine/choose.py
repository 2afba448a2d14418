"""Which engine a cluster gets: the one that was asked for, else docker where it can work."""

from __future__ import annotations

from collections.abc import Mapping

from ..params import Params
from ..words.text import t
from .protocol import Engine


def choose(params: Params, ports: Mapping[str, int], made_with: str | None) -> tuple[Engine, str]:
    """The engine for these parameters, and why; `auto` prefers docker, the document's way.

    made_with: the engine that an existing cluster of this project was made with. Raises
    `EnvironmentLacking` where an engine that was asked for cannot work.
    """
    from .local import engine as local

    wanted, why = str(params.engine), t("asked for")
    if wanted == "auto":
        wanted, why = made_with or "", t("this cluster was made with it")
    if wanted == "local":
        return local.LocalEngine(params, ports), why

    from .docker import engine as docker  # its library takes long to load
    from .docker import host as docker_host

    if wanted == "docker":
        docker_host.require(params, made=made_with == "docker")
        return docker.DockerEngine(params, ports), why
    if reason := docker_host.why_not(params):
        return local.LocalEngine(params, ports), t("docker cannot be used: {reason}", reason=reason)
    why = t("a Docker engine answers and {image} can be had", image=params.image)
    return docker.DockerEngine(params, ports), why
