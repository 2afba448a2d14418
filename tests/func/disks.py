"""Small file systems of a test's own, and the moment when one is full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pgrepl_lib import Cluster
from pgrepl_lib.engine.docker import host

TRIES = 20


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[str]:
    """A file system in memory in this folder; yields why there is none, for a user who may not make one."""
    made = _mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield made.stderr.strip()
    finally:
        if not made.returncode:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def disk_of_its_own(cluster: Cluster, name: str, megabytes: int) -> Iterator[None]:
    """A container's data are in a file system of their own while the block lasts, and gone after it.

    Beneath the volume, so that it stays when the container ends. On local, and for a user who may
    make no file system, they stay where they are.
    """
    disk = data_folder(cluster, name)
    if cluster.engine.name == "local" or not disk.exists():
        yield
        return
    cluster.engine.stop(name).do(print)
    with TemporaryDirectory() as aside:
        subprocess.run(["cp", "-a", f"{disk}/.", aside], check=True)
        with mounted(disk, f"size={megabytes}m"):
            subprocess.run(["cp", "-a", f"{aside}/.", disk], check=True)
            cluster.engine.start(name).do(print)
            cluster.instance(name).wait_ready()
            yield


def data_folder(cluster: Cluster, name: str) -> Path:
    """Where an instance's data are on this machine."""
    if cluster.engine.name == "local":
        return cluster.folder / "data" / name
    volume = host.client().volumes.get(f"{cluster.params.project}_{name}")
    return Path(volume.attrs["Mountpoint"])


def resize(disk: Path, megabytes: int) -> None:
    """From now on it has room for so much."""
    _mount("-o", f"remount,size={megabytes}m", str(disk)).check_returncode()


def leave_free(disk: Path, megabytes: int) -> None:
    """As if somebody else had filled the disk but for this; who writes meanwhile needs more room."""
    for _ in range(TRIES):
        size = shutil.disk_usage(disk).used + megabytes * 1024**2
        done = _mount("-o", f"remount,size={size}", str(disk))
        if not done.returncode:
            return
    done.check_returncode()


def _mount(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *words], capture_output=True, text=True)
