"""The command line's verbs for a running cluster, such as psql, down, replica and switchover."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..doors import terminal
from ..errors import ParameterError, PgreplError
from .group import EPILOG, main
from .options import JSON, existing_cluster, parameters, values
from .output import give
from .question import agreed

if TYPE_CHECKING:
    from ..steps.cluster import Cluster

Given = tuple[tuple[str, str], ...]
DISCARD = click.option("--discard", is_flag=True, help="Also what nobody else has.")
OLD_DATA_STAY = "the data that it has now stay until that is complete, then they are removed"
YES = click.option("--yes", is_flag=True, help="Do not ask, where a terminal would be asked on.")


@main.command(epilog=EPILOG)
@parameters
@click.argument("instance")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(
    project: str | None, engine: str | None, given: Given, instance: str, arguments: tuple[str, ...]
) -> None:
    """Open psql as superuser on INSTANCE (primary, replica); psql's own arguments follow `--`."""
    from ..doors.command import replace_process

    cluster = existing_cluster(values(project, engine, given))
    if instance not in cluster.engine.ports:
        raise ParameterError(
            f"No instance {instance!r}.",
            looked_at=[", ".join(cluster.engine.ports)],
            remedy=cluster.addressed("name one of these: `pgrepl psql primary`"),
        )
    if not cluster.engine.running(instance):
        remedy = cluster.addressed("`pgrepl run` starts it")
        cause = f"{instance} is not running: {cluster.engine.life(instance)}."
        raise PgreplError(cause, remedy=remedy)
    person = sys.stdin.isatty() and sys.stdout.isatty()
    replace_process(
        cluster.engine.client(instance, "psql", *arguments, terminal=person), cwd=cluster.folder
    )


@main.command(epilog=EPILOG)
@parameters
@YES
@JSON
def down(project: str | None, engine: str | None, given: Given, yes: bool, as_json: bool) -> None:
    """Stop and remove the instances, data, configuration and secrets; the runs' evidence stays."""
    from ..cluster import state

    cluster = existing_cluster(values(project, engine, given), must_exist=False)
    name = cluster.params.project
    there, others = cluster.existing(), cluster.engine.strangers(temporaries=True)
    kept = [f"not this project's, and left as it is: {other}" for other in others]
    if not there and not cluster.folder.joinpath(state.FILE).exists():
        for line in kept:
            terminal.tell(line)
        give(as_json, {"project": name, "removed": []}, f"nothing of project {name} exists")
        return
    if not _agreed(cluster, yes, *there, *kept, "all of it is removed, but for the runs' evidence"):
        remedy = cluster.addressed("`pgrepl down --yes`")
        raise ParameterError("Nothing was removed: no confirmation.", remedy=remedy)
    cluster.remove(confirm=True)
    give(as_json, {"project": name, "removed": there}, f"project {name} is removed")


def _agreed(cluster: Cluster, yes: bool, *told: str) -> bool:
    """As `question.agreed`; the project comes first, since another one may have been meant."""
    where = f"folder {cluster.folder}, engine {cluster.engine.name}"
    return agreed([f"project {cluster.params.project}, {where}", *told], yes=yes)


@main.group()
def replica() -> None:
    """Add, remove, rebuild or move a replica."""


@replica.command(epilog=EPILOG)
@parameters
@click.option(
    "--upstream", default="", help="Follow this replica instead of the primary (cascading)."
)
@JSON
def add(
    project: str | None, engine: str | None, given: Given, upstream: str, as_json: bool
) -> None:
    """Prepare one more replica; one whose preparation was interrupted is finished first."""
    from ..operations import finished
    from ..steps import replicas

    cluster = existing_cluster(values(project, engine, given))
    name = finished.added(cluster, upstream) or replicas.add(cluster, upstream).name
    _give(cluster, as_json, name, name=name)


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.option(
    "--yes",
    is_flag=True,
    help="Also the last replica, or a former primary with rows that nobody else has.",
)
@JSON
def remove(
    project: str | None, engine: str | None, given: Given, name: str, yes: bool, as_json: bool
) -> None:
    """Remove the replica NAME with its data, files and slot."""
    from ..operations import finished
    from ..steps import replicas
    from ..words import removed

    cluster = existing_cluster(values(project, engine, given))
    if not finished.removed(cluster, name):
        replicas.require_removable(cluster, name, confirm=True)
        told = removed.goes(name, cluster.topology.replicas, cluster.topology.fenced)
        replicas.remove(cluster, name, confirm=_agreed(cluster, yes, *told))
    _give(cluster, as_json, f"{name} is removed", name=name)


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
@DISCARD
@YES
@JSON
def rebuild(
    project: str | None,
    engine: str | None,
    given: Given,
    name: str,
    discard: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Copy the upstream of the replica NAME again; its old data go once the copy is complete."""
    from ..steps import replicas

    cluster = existing_cluster(values(project, engine, given))
    replicas.require_rebuildable(cluster, name, discard)
    source = cluster.instance(name).upstream.name
    _agreed(cluster, yes, f"{name} becomes a new copy of {source}; {OLD_DATA_STAY}")
    replicas.rebuild(cluster, name, discard=discard)
    _give(
        cluster,
        as_json,
        f"{name} is a new copy of {cluster.instance(name).upstream.name}",
        name=name,
    )


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.argument("upstream")
@JSON
def follow(
    project: str | None, engine: str | None, given: Given, name: str, upstream: str, as_json: bool
) -> None:
    """Let the replica NAME stream from UPSTREAM, the primary or another replica."""
    from ..steps import replicas

    cluster = existing_cluster(values(project, engine, given))
    replicas.follow(cluster, name, upstream)
    _give(cluster, as_json, f"{name} follows {upstream}", name=name)


@main.command(epilog=EPILOG)
@parameters
@click.option(
    "--to", default="", help="The replica that becomes the primary. [default: the only one]"
)
@click.option(
    "--max-lag",
    default=16 * 1024**2,
    show_default=True,
    help="Bytes that it may be behind at the beginning.",
)
@click.option("--plan", is_flag=True, help="Print the steps and change nothing.")
@click.option("--cancel", is_flag=True, help="Take back one that has not promoted anybody yet.")
@YES
@JSON
def switchover(
    project: str | None,
    engine: str | None,
    given: Given,
    to: str,
    yes: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Change the primary on purpose; no confirmed row is lost. An interrupted one is finished by running it again."""
    from ..operations.choosing import only_replica
    from ..operations.switchover import Switchover

    cluster = existing_cluster(values(project, engine, given))
    if how["cancel"]:
        _take_back(cluster, Switchover.kind, yes, as_json)
        return
    if _finished(cluster, to, as_json):
        return
    begun = cluster.topology.operation
    change = Switchover(cluster, to if to or begun else only_replica(cluster), how["max_lag"])
    if how["plan"]:
        _give_plan(as_json, change.plan(), change.losses())
        return
    change.require()
    way = f"from {change.old.name} to {change.new.name}"
    lost = "nothing is lost; writes wait until it is done"
    _agreed(cluster, yes, f"switchover: the primary changes {way}; {lost}", *change.losses())
    change.run()
    _give(cluster, as_json, f"{cluster.primary.name} is the primary", left_behind=change.left)


def _finished(cluster: Cluster, to: str, as_json: bool) -> bool:
    """Whether the roles have changed already; then only that is left to record and say."""
    from ..doors import show
    from ..operations import finished

    if not finished.changed_roles(cluster, to):
        return False
    show.notice("nothing was left to do")
    _give(cluster, as_json, f"{cluster.primary.name} is the primary", left_behind={})
    return True


def _take_back(cluster: Cluster, kind: str, yes: bool, as_json: bool) -> None:
    """Cancel what has begun and not ended."""
    from ..operations.rolechange import RoleChange

    change = RoleChange.under_way(cluster, kind)
    way = f"from {change.old.name} to {change.new.name}"
    _agreed(cluster, yes, f"the {kind} {way} is taken back")
    change.cancel()
    _give(cluster, as_json, f"{cluster.primary.name} is the primary")


@main.command(epilog=EPILOG)
@parameters
@click.option(
    "--to",
    default="",
    help="The replica that becomes the primary. [default: the most advanced one]",
)
@click.option("--force", is_flag=True, help="Also while the primary answers: it is killed.")
@click.option("--plan", is_flag=True, help="Print the steps and change nothing.")
@click.option("--cancel", is_flag=True, help="Take back one that has not promoted anybody yet.")
@YES
@JSON
def failover(
    project: str | None,
    engine: str | None,
    given: Given,
    to: str,
    yes: bool,
    as_json: bool,
    **how: bool,
) -> None:
    """Replace a lost primary by the most advanced replica; the lost one is fenced first."""
    from ..doors import show
    from ..operations.failover import Failover

    cluster = existing_cluster(values(project, engine, given))
    if how["cancel"]:
        _take_back(cluster, Failover.kind, yes, as_json)
        return
    if _finished(cluster, to, as_json):
        return
    with show.progress("How far the replicas are"):
        change = Failover(cluster, to, how["force"])
    if how["plan"]:
        _give_plan(as_json, change.plan(), change.losses())
        return
    change.require()
    choice = change.choice()
    if len(choice):
        terminal.tell(choice.to_string(index=False))
    old = change.old.name
    _agreed(cluster, yes, change.told(), *change.losses())
    change.run()
    back = cluster.addressed(f"bring the old one back: `pgrepl rejoin {old}`")
    text = f"{cluster.primary.name} is the primary; {back}"
    _give(cluster, as_json, text, choice=choice.to_dict("records"), left_behind=change.left)


@main.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.option("--full-copy", is_flag=True, help="A new base backup even where less would do.")
@click.option("--keep-data", is_flag=True, help="Keep its data folder in a file, not rows.")
@click.option("--discard", is_flag=True, help="Also what cannot be kept.")
@YES
@JSON
def rejoin(
    project: str | None,
    engine: str | None,
    given: Given,
    name: str,
    yes: bool,
    as_json: bool,
    **how: bool,
) -> None:
    """Bring the fenced former primary NAME back as a replica; rows that only it has are listed and kept first."""
    from ..operations.rejoin.rejoin import Rejoin
    from ..words import kept

    cluster = existing_cluster(values(project, engine, given))
    back = Rejoin(cluster, name, **how)
    back.require()

    def agree() -> None:
        if not back.finished:
            _agreed(cluster, yes, *back.told())

    back.run(agree)
    files = (back.kept, back.kept_data)
    text = kept.thrown_away(name, back.found.kept, *files)
    _give(cluster, as_json, text, name=name, **kept.facts(back.found, *files))


@main.command(epilog=EPILOG)
@parameters
@click.argument("method")
@YES
@JSON
def sync(
    project: str | None,
    engine: str | None,
    given: Given,
    method: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Let commits wait for replicas: METHOD is "FIRST n", "ANY n", or off."""
    from ..operations import synchronous
    from ..postgres.confirmation import waited_for

    cluster = existing_cluster(values(project, engine, given))
    wanted = "" if method == "off" else method
    synchronous.require_method(cluster, wanted)
    before = cluster.topology.synchronous
    if waited_for(wanted) < waited_for(before):
        then = f"commits wait for {wanted or 'no replica'}, no longer for {before}"
        _agreed(cluster, yes, f"{then}; a failover may then lose rows that were confirmed")
    synchronous.set_synchronous(cluster, wanted)
    _give(cluster, as_json, f"commits wait for: {cluster.topology.synchronous or 'no replica'}")


def _give(cluster: Any, as_json: bool, text: str, **more: Any) -> None:
    """The result of a change: in JSON who is what now, and what else there is to say."""
    give(as_json, {"project": cluster.params.project, **more, **cluster.topology.plain()}, text)


def _give_plan(as_json: bool, steps: list[tuple[str, Any]], losses: list[str]) -> None:
    plan = [
        {"title": title, "commands": [str(c) for c in action.commands]} for title, action in steps
    ]
    lines = [
        f"{n}. {s['title']}" + "".join(f"\n   $ {c}" for c in s["commands"])
        for n, s in enumerate(plan, 1)
    ]
    give(as_json, plan, "\n".join(lines))
    for line in (*losses, "nothing was changed"):
        terminal.tell(line)
