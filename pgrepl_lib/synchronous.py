"""Synchronous replication: how many replicas a commit waits for (manual, 27.2.8)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import conf, files
from .engine import CONFIGURATION, Action, Tell
from .errors import ParameterError
from .topology import Topology

if TYPE_CHECKING:
    from .cluster import Cluster
    from .instance import Instance

METHOD = re.compile(r"(FIRST|ANY) ([1-9][0-9]?)")


def set_synchronous(cluster: Cluster, method: str, title: str = "") -> str:
    """Step: commits on the primary wait for replicas; "" turns it off again.

    method: "FIRST n" (the first n by number that are connected) or "ANY n" (any n). The next primary inherits it.
    Raises `ParameterError` for a method that is none, or that would wait for more replicas than stream now.
    """
    streaming = sum(r.streams()[0] for r in cluster.replicas)
    found = METHOD.fullmatch(method)
    if method and not (found and int(found[2]) <= streaming):
        raise ParameterError(f"synchronous = {method!r}: FIRST n or ANY n, n at most the {streaming} that stream now.",
                             remedy="with more, every commit would wait for ever; add a replica first")  # fmt: skip
    act = action(cluster.primary, method, standbys(cluster, cluster.primary.name))

    def do(tell: Tell) -> None:
        act.do(tell)
        cluster.topology.synchronous = method
        cluster.record()

    done = lambda: act.done() and cluster.topology.synchronous == method  # noqa: E731
    path = cluster.folder / cluster.primary.name / CONFIGURATION[0]
    names = standbys(cluster, cluster.primary.name)
    diff = conf.diff(
        path.read_text("utf-8"), _wanted(path.read_text("utf-8"), method, names), f"{path.parent.name}/{path.name}"
    )
    title = title or (f"Commits wait for {method}" if method else "Commits wait for no replica")
    return cluster.perform(title, Action(act.commands, do, done), diff=lambda: diff)


def standbys(cluster: Cluster, primary: str) -> list[str]:
    """The names that the others have towards this primary; also those that do not stream now."""
    topology: Topology = cluster.topology
    return [cluster.instance(n).application_name for n in topology.names if n != primary]


def action(instance: Instance, method: str, names: list[str]) -> Action:
    """Write it into an instance's file, or take it out, and let the server read it."""
    path = instance.cluster.folder / instance.name / CONFIGURATION[0]

    def done() -> bool:
        return path.read_text("utf-8") == _wanted(path.read_text("utf-8"), method, names) and not instance.stale()

    def do(tell: Tell) -> None:
        files.write_atomic(path, _wanted(path.read_text("utf-8"), method, names))
        instance.take_over_configuration()

    return Action((f"patch {instance.name}/{CONFIGURATION[0]}", *instance.reload_action().commands), do, done)


def _wanted(text: str, method: str, names: list[str]) -> str:
    if not method:
        return conf.without_block(text, "synchronous")
    quoted = ", ".join(f'"{n}"' for n in names)
    return conf.with_block(text, "synchronous", conf.setting_lines({"synchronous_standby_names": f"{method} ({quoted})"}))
