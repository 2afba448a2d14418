"""The promise to synchronous replicas: for whom commits wait (manual, 20.6.2)."""

from __future__ import annotations

from pathlib import Path

from ..doors import show
from ..engine.action import CONFIGURATION, Action
from ..engine.edit import Edit
from ..errors import ParameterError
from ..postgres import conf
from ..postgres.confirmation import METHOD, waited_for
from ..words.text import t
from . import restarts
from .project import Project
from .server import Server
from .topology import application_name

BLOCK = "synchronous"


def standbys(cluster: Project, primary: str) -> list[str]:
    """The names that the others have towards this primary; also those that do not stream now."""
    return [application_name(n) for n in cluster.topology.names if n != primary]


def edit(folder: Path, primary: str, method: str, names: list[str]) -> Edit:
    """The promise to these standbys in an instance's file; method "": none."""
    lines = None
    if method:
        quoted = ", ".join(f'"{n}"' for n in names)
        lines = conf.setting_lines({"synchronous_standby_names": f"{method} ({quoted})"})
    return Edit(folder, f"{primary}/{CONFIGURATION[0]}", {BLOCK: lines})


def recorded_edit(cluster: Project, primary: str) -> Edit:
    """The same with the promise of `cluster.json`."""
    names = standbys(cluster, primary)
    return edit(cluster.folder, primary, cluster.topology.synchronous, names)


def as_promised(cluster: Project, text: str) -> str:
    """The text of the primary's file with the promise of `cluster.json`, whoever took it out."""
    return recorded_edit(cluster, cluster.topology.primary).after(text)


def keep(cluster: Project, primary: str) -> None:
    """Take over the promise that holds where `cluster.json`, put back from an older copy, has less.

    primary: whose file says what holds. What would wait for more than there are is no promise.
    """
    topology, holds = cluster.topology, _held_by(cluster, primary)
    if waited_for(topology.synchronous) < waited_for(holds) < len(topology.names):
        topology.synchronous = holds
        told = t(
            "commits wait for {method}, which cluster.json does not say: it is kept; "
            "`pgrepl sync off` ends it",
            method=holds,
        )
        show.notice(cluster.addressed(told))


def _held_by(cluster: Project, name: str) -> str:
    """The promise in an instance's own file, as pgrepl wrote it there; empty for none."""
    text = cluster.text_of(cluster.folder / name / CONFIGURATION[0])
    setting = conf.settings_of_block(text, BLOCK).get("synchronous_standby_names", "")
    found = METHOD.match(setting)
    return found[0] if found else ""


def action(instance: Server, method: str, names: list[str]) -> Action:
    """Write it into an instance's file, or take it out, and let the server read it."""
    return restarts.edited(instance, edit(instance.cluster.folder, instance.name, method, names))


def require_enough_left(cluster: Project, name: str) -> None:
    """Raise `ParameterError` where every commit would wait for ever without this one.

    Commits wait for those that follow the primary itself.
    """
    topology = cluster.topology
    direct = topology.followers(topology.primary)
    left = len(set(direct) - {name})
    if name in direct and waited_for(topology.synchronous) > left:
        cause = t(
            "Commits wait for {method}, and {count} would be left; nothing was changed.",
            method=topology.synchronous,
            count=left,
        )
        ways = cluster.addressed(t("first `pgrepl replica add`, or `pgrepl sync off`"))
        raise ParameterError(cause, remedy=ways)
