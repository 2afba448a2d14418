"""Ways to lose a primary, each as a block: it is lost at its begin, and what goes on by itself does so at its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from docker.errors import APIError

from pgrepl_lib import Cluster
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine.docker import host as docker_host

STREAMS = re.compile("postgres: wal(sender|receiver) ")


@contextmanager
def kill(cluster: Cluster, name: str) -> Iterator[None]:
    """As the engine does it."""
    cluster.engine.kill(name).do(print)
    yield


@contextmanager
def crash(cluster: Cluster, name: str) -> Iterator[None]:
    """As a power cut would: SIGKILL to every process of an instance at once."""
    postmaster = psutil.Process(postmaster_of(cluster, name))
    for process in [postmaster, *postmaster.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    yield


@contextmanager
def pause(cluster: Cluster, name: str) -> Iterator[None]:
    """`docker pause`; on local the postmaster alone is stopped, so that whoever is connected goes on to write."""
    if cluster.engine.name == "local":
        postmaster = psutil.Process(postmaster_of(cluster, name))
        postmaster.suspend()
        try:
            yield
        finally:
            thaw([postmaster])
        return
    container = container_of(cluster, name)

    def paused() -> tuple[bool, str]:
        try:
            container.pause()
        except APIError as error:  # "unable to freeze" on a loaded machine
            return False, str(error)
        return True, "paused"

    wait_until(f"the pause of {name}", paused, seconds=30)
    try:
        yield
    finally:
        with suppress(APIError):  # it was ended, as it should be
            container.unpause()


@contextmanager
def freeze(cluster: Cluster, name: str) -> Iterator[None]:
    """SIGSTOP to every process of an instance; those that are left go on at the end, in the middle of what they did."""
    postmaster = psutil.Process(postmaster_of(cluster, name))
    postmaster.suspend()  # first, so that no more are begun
    stopped = [postmaster, *postmaster.children(recursive=True)]
    for process in stopped:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        thaw(stopped)


@contextmanager
def cut(cluster: Cluster, name: str) -> Iterator[None]:
    """Its network is gone until the end; on local, where nobody needs one, all that sends or receives its WAL hangs."""
    if cluster.engine.name == "local":
        children = psutil.Process(postmaster_of(cluster, name)).children()
        stopped = [p for p in children if STREAMS.match(" ".join(p.cmdline()))]
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            thaw(stopped)
        return
    network = docker_host.client().networks.get(f"{cluster.params.project}_cluster")
    container = container_of(cluster, name)
    network.disconnect(container)
    try:
        yield
    finally:
        with suppress(APIError):  # it was put back, or is no more
            network.connect(container, aliases=[name])


FAULTS: dict[str, Callable[[Cluster, str], AbstractContextManager[None]]] = {
    each.__name__: each for each in (kill, crash, pause, freeze, cut)
}


def thaw(processes: list[psutil.Process]) -> None:
    """Let those that are still there go on."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def postmaster_of(cluster: Cluster, name: str) -> int:
    """The number of an instance's first process, on this machine."""
    if cluster.engine.name == "local":
        pidfile = Path(cluster.folder, "data", name, "postmaster.pid")
        return int(pidfile.read_text().split()[0])
    return int(container_of(cluster, name).attrs["State"]["Pid"])


def container_of(cluster: Cluster, name: str) -> Any:
    """An instance's container, which runs."""
    labels = [f"pgrepl.id={cluster.engine.id}", f"com.docker.compose.service={name}"]
    (found,) = docker_host.client().containers.list(filters={"label": labels})
    return found
