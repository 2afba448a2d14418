"""A cluster for a measurement: prepared as chapters 01 and 02 do it, gone afterwards."""

from __future__ import annotations

import contextlib
import io
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.engine.action import CONFIGURATION
from pgrepl_lib.steps.replicas import prepare_all

SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": 10,
    "wal_keep_size": "1GB",
    "wal_compression": "on",
    "wal_log_hints": "on",
    "wal_retrieve_retry_interval": "100ms",
}


@contextlib.contextmanager
def new_project(engine: str, image: str) -> Iterator[dict[str, str]]:
    """The parameters of a project in a folder of its own, which is gone afterwards."""
    workdir = Path(tempfile.mkdtemp(prefix="pgrepl-bench-"))
    workdir.chmod(0o755)
    try:
        yield {
            "project": f"bench{secrets.token_hex(3)}",
            "engine": engine,
            "workdir": str(workdir),
            "network": "192.168.251.0/24",
            "image": image,
        }
    finally:
        shutil.rmtree(workdir)


@contextlib.contextmanager
def cluster_of(values: dict[str, Any]) -> Iterator[Cluster]:
    """A verified cluster with these parameters."""
    cluster = open_cluster("", **values)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            set_up_primary(cluster)
            set_up_replicas(cluster)
        yield cluster
    finally:
        with contextlib.redirect_stderr(io.StringIO()):
            open_cluster("", **values).remove(confirm=True)


def set_up_primary(cluster: Cluster) -> None:
    """Chapter 01."""
    primary = cluster.primary
    cluster.fetch()
    cluster.make_secrets()
    cluster.start_temporary()
    for file in CONFIGURATION:
        primary.copy_configuration(file)
    cluster.remove_temporary()
    for file in CONFIGURATION:
        primary.make_readable(file)
    primary.configure(SETTINGS)
    primary.allow_replication()
    primary.start()
    primary.create_replication_user()


def set_up_replicas(cluster: Cluster) -> None:
    """All replicas, side by side."""
    prepare_all(cluster, names=cluster.topology.replicas)
