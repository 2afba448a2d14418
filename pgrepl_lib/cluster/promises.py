"""The promise to synchronous replicas: for whom commits wait, as the primary's file says it (manual, 20.6.2)."""

from __future__ import annotations

from ..doors import files, show
from ..engine.action import CONFIGURATION, Action, Tell
from ..errors import ParameterError
from ..postgres import conf
from ..postgres.confirmation import METHOD, waited_for
from . import restarts
from .project import Project
from .server import Server
from .topology import application_name


def standbys(cluster: Project, primary: str) -> list[str]:
    """The names that the others have towards this primary; also those that do not stream now."""
    return [application_name(n) for n in cluster.topology.names if n != primary]


def wanted(text: str, method: str, names: list[str]) -> str:
    """The text of a file with the promise to these standbys; method "": with none."""
    if not method:
        return conf.without_block(text, "synchronous")
    quoted = ", ".join(f'"{n}"' for n in names)
    return conf.with_block(
        text,
        "synchronous",
        conf.setting_lines({"synchronous_standby_names": f"{method} ({quoted})"}),
    )


def as_promised(cluster: Project, text: str) -> str:
    """The text of the primary's file with the promise of `cluster.json`, whoever took it out."""
    names = standbys(cluster, cluster.topology.primary)
    return wanted(text, cluster.topology.synchronous, names)


def keep(cluster: Project, primary: str) -> None:
    """Take over the promise that holds where `cluster.json`, put back from an older copy, has less.

    primary: whose file says what holds. What would wait for more than there are is no promise.
    """
    topology, holds = cluster.topology, _held_by(cluster, primary)
    if waited_for(topology.synchronous) < waited_for(holds) < len(topology.names):
        topology.synchronous = holds
        ends = cluster.addressed("`pgrepl sync off` ends it")
        show.notice(
            f"commits wait for {holds}, which cluster.json does not say: it is kept; {ends}"
        )


def _held_by(cluster: Project, name: str) -> str:
    """The promise in an instance's own file, as pgrepl wrote it there; empty for none."""
    text = cluster.text_of(cluster.folder / name / CONFIGURATION[0])
    setting = conf.settings_of_block(text, "synchronous").get("synchronous_standby_names", "")
    found = METHOD.match(setting)
    return found[0] if found else ""


def action(instance: Server, method: str, names: list[str]) -> Action:
    """Write it into an instance's file, or take it out, and let the server read it."""
    path = instance.cluster.folder / instance.name / CONFIGURATION[0]

    def done() -> bool:
        text = path.read_text("utf-8")
        return text == wanted(text, method, names) and not instance.stale()

    def do(tell: Tell) -> None:
        files.write_atomic(path, wanted(path.read_text("utf-8"), method, names))
        restarts.take_over(instance)

    return Action(
        (f"patch {instance.name}/{CONFIGURATION[0]}", *restarts.reload_action(instance).commands),
        do,
        done,
    )


def require_enough_left(cluster: Project, name: str) -> None:
    """Raise `ParameterError` where every commit would wait for ever without this one.

    Commits wait for those that follow the primary itself.
    """
    method, direct = (
        cluster.topology.synchronous,
        cluster.topology.followers(cluster.topology.primary),
    )
    left = set(direct) - {name}
    if name in direct and waited_for(method) > len(left):
        ways = cluster.addressed("first `pgrepl replica add`, or `pgrepl sync off`")
        cause = f"Commits wait for {method}, and {len(left)} would be left; nothing was changed."
        raise ParameterError(cause, remedy=ways)
