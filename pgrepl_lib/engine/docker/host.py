"""The Docker host: the engine's connection, its Compose, what containers and networks exist."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from threading import Lock
from typing import Any

import docker
import psutil
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import kwargs_from_env

from ...doors import command, docker_context
from ...doors.command import Command
from ...doors.wait import wait_until
from ...errors import EnvironmentLacking, first_line
from ...params import Params
from ...words.text import joined, t
from .. import life
from ..life import Life

GOING = (404, 409)  # HTTP's, of a container: it is not there, or being removed


class Connection(docker.APIClient):
    """The engine's interface; an engine that has gone away is named as such."""

    def send(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().send(*arguments, **options)
        except requests.ConnectionError as error:
            raise EnvironmentLacking(
                t("The Docker engine does not answer any more."),
                looked_at=[first_line(error)],
                remedy=t("start Docker, then run again: it goes on where it stopped"),
            ) from None


@cache
def client() -> docker.DockerClient:
    """A connection to the Docker engine of the environment; raises `EnvironmentLacking`."""
    _require_here()
    try:
        named = docker_context.variables()
        found = docker.from_env(timeout=60, environment=named)  # which asks for its version
        words = kwargs_from_env(environment=named)
        found.api = Connection(version=found.api.api_version, timeout=60, **words)
        return found
    except (DockerException, OSError, ValueError) as error:
        raise EnvironmentLacking(
            t("No Docker engine answers."),
            looked_at=[joined(": ", [_endpoint(), first_line(error)])],
            remedy=t(
                "start Docker (and allow this user to use it), or use the parameter engine = local"
            ),
        ) from None


def _require_here() -> None:
    """Raise `EnvironmentLacking` for an engine on another machine."""
    if there := docker_context.elsewhere():
        raise EnvironmentLacking(
            t("The Docker engine is on another machine: our folders and ports are not there."),
            looked_at=[there],
            remedy=t(
                "run pgrepl on that machine; or choose an engine of this one (DOCKER_HOST, "
                "DOCKER_CONTEXT, `docker context use default`), or the parameter engine = local"
            ),
        )


def _endpoint() -> str:
    return docker_context.variables().get(docker_context.HOST, "unix:///var/run/docker.sock")


PLUG_IN = ("docker", "compose")
_asking = Lock()


def compose() -> tuple[str, ...]:
    """`docker compose`, or `docker-compose` where only version 1 exists (correction 11)."""
    if _version(PLUG_IN):
        return PLUG_IN
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise EnvironmentLacking(
        t("Docker Compose is missing."),
        looked_at=["docker compose", "docker-compose"],
        remedy=t("install the Compose plug-in, or use the parameter engine = local"),
    )


def compose_version() -> str:
    """What Compose says its version is."""
    return _version(compose())


def _version(words: tuple[str, ...]) -> str:
    with _asking:  # of two threads that want to know, one asks
        return ask_version(words)


@cache
def ask_version(words: tuple[str, ...]) -> str:
    """What this Compose says its version is; empty where it is missing."""
    if not shutil.which(words[0]):
        return ""
    asked = command.run(Command((*words, "version", "--short")), cwd=Path("/"), check=False)
    return "" if asked.code else asked.out.strip()


def why_not(params: Params) -> str:
    """Why docker cannot be used for these parameters; empty where it can."""
    try:
        require(params)
    except EnvironmentLacking as error:
        return error.cause
    return ""


def require(params: Params, *, made: bool = False) -> None:
    """Raise `EnvironmentLacking` unless an engine and Compose answer and the image can be had.

    made: there is a cluster already; what runs is operated without the image.
    """
    _require_here()  # before a program asks it, by ssh
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(compose)  # a program, which starts while the engine answers
        client()
        asked.result()
    try:
        image = client().images.get(params.image)
    except ImageNotFound:
        if not made:
            _require_in_registry(params)
        return
    wanted = params.pg_version
    found = image_environment(image.attrs).get("PG_MAJOR", str(wanted))
    if found != str(wanted):
        words = {"image": params.image, "found": found, "wanted": wanted}
        raise EnvironmentLacking(
            t("The image {image} holds PostgreSQL {found}, not {wanted}.", **words),
            remedy=t("choose an image of {wanted}, or -p pg_version {found}", **words),
        )


def _require_in_registry(params: Params) -> None:
    try:
        client().api.inspect_distribution(params.image)
    except (DockerException, OSError) as error:
        raise EnvironmentLacking(
            t("The image {image} is not here and cannot be pulled.", image=params.image),
            looked_at=[first_line(error)],
            remedy=t(
                "check the parameter image and the connection to its registry, load the image "
                "with `docker image load`, or use the parameter engine = local"
            ),
        ) from None


def image_here(image: str) -> bool:
    """Whether the engine has an image, by its name or id."""
    try:
        return bool(client().images.get(image))
    except ImageNotFound:
        return False


def pull(image: str, tell: Callable[[str], None]) -> None:
    """Get an image from its registry; raises `DockerException`."""
    reference, tag = image, "latest"
    if ":" in image.rpartition("/")[2]:  # a colon before it is that of a registry's port
        reference, _, tag = image.rpartition(":")
    for event in client().api.pull(reference, tag=tag, stream=True, decode=True):
        tell(" ".join(str(event.get(k, "")) for k in ("id", "status", "progress")).strip())
    client().images.get(image)


def create(image: str, **options: Any) -> Any:
    """A container that is not started; raises `EnvironmentLacking` where its image is gone."""
    try:
        return client().containers.create(image, **options)
    except ImageNotFound:
        raise EnvironmentLacking(
            t("The image {image} is gone, and a container of it is needed.", image=image),
            remedy=t("load it with `docker image load`, or pull it, then run again"),
        ) from None


def data_root() -> Path | None:
    """Where the engine keeps images and volumes; None where that is no folder of this machine."""
    root = Path(client().info().get("DockerRootDir", ""))
    by_socket = client().api.base_url.startswith("http+docker://")
    if by_socket and root.is_absolute() and root.is_dir():
        return root
    return None


def network_holder(network: IPv4Network, mine: Mapping[str, str]) -> str:
    """Another project's Docker network that overlaps; empty where there is none."""
    for found, subnet in _subnets():
        ours = mine.items() <= (found.attrs.get("Labels") or {}).items()
        if not ours and subnet.overlaps(network):
            return t("Docker network {name} ({subnet})", name=found.name, subnet=subnet)
    return ""


def find_container(name: str) -> Any:
    """The container of this name or id, or None."""
    try:
        return client().containers.get(name)
    except NotFound:
        return None


def remove_container(key: str) -> None:
    """Remove a container, running or not; what has gone meanwhile, or goes (--rm), is fine.

    It is killed first: Podman would wait for its own end, longer than for an answer is waited.
    """
    with suppress(APIError):
        client().api.kill(key)
    try:
        client().api.remove_container(key, force=True, v=True)
    except APIError as error:
        if error.status_code not in GOING:
            raise


def life_of(container: Any) -> Life:
    """What a container is at; None has no life."""
    return life.of_container(container.status) if container else Life.ABSENT


def image_environment(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The variables that an image sets, such as PG_MAJOR."""
    pairs = (attributes.get("Config") or {}).get("Env") or []
    return dict(p.split("=", 1) for p in pairs if "=" in p)


def host_address_outside(network: IPv4Network) -> str:
    """An address of this host that is not in the network, nor in another one of Docker's.

    What is sent from one of Docker's into another arrives from an address inside it.
    """
    networks = [network, *(subnet for _, subnet in _subnets())]
    for addresses in psutil.net_if_addrs().values():
        for a in (a.address for a in addresses if a.family == socket.AF_INET):
            if not a.startswith("127.") and not any(IPv4Address(a) in n for n in networks):
                return a
    return "127.0.0.2"


def _subnets() -> Iterator[tuple[Any, IPv4Network]]:
    """Docker's networks, each with what it has of IPv4."""
    for found in client().networks.list():
        for entry in (found.attrs.get("IPAM") or {}).get("Config") or []:
            if ":" not in (subnet := entry.get("Subnet", ":")):
                yield found, IPv4Network(subnet)


def wait_accepting(container_id: str) -> None:
    """Wait until the server in a container accepts TCP connections: it is set up (correction 2)."""
    container = client().containers.get(container_id)

    def probe() -> tuple[bool, str]:
        try:
            code, _ = container.exec_run(["pg_isready", "--host=127.0.0.1", "--quiet"])
            return code == 0, t("pg_isready answers {code}", code=code)
        except DockerException as error:
            return False, first_line(error)

    def log() -> str:
        return str(container.logs(tail=12).decode(errors="replace"))

    def alive() -> bool:
        return life_of(find_container(container_id)) is Life.RUNNING

    what = t("the temporary server to accept connections")
    wait_until(
        what, probe, seconds=90, hint=t("the log's last lines say why"), log=log, alive=alive
    )
