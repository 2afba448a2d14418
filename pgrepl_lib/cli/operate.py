"""The command line's verbs for a running cluster, such as psql, down, replica and switchover."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..doors import terminal
from ..doors.program import nothing
from ..errors import ParameterError, PgreplError
from ..words.text import joined, mark, t
from .group import EPILOG, main, option
from .options import JSON, PLAN, YES, Given, existing_cluster, parameters
from .output import give, give_change, give_planned
from .question import agreed_on

if TYPE_CHECKING:
    from ..steps.cluster import Cluster

CANCEL = option("--cancel", is_flag=True, help="Take back one that has not promoted anybody yet.")
CHANGES = mark(
    "switchover: the primary changes from {old} to {new}; nothing is lost; "
    "writes wait until it is done"
)
TAKEN_BACK = mark("the {kind} from {old} to {new} is taken back")
WEAKER = mark(
    "commits wait for {wanted}, no longer for {before}; "
    "a failover may then lose rows that were confirmed"
)


@main.command(epilog=EPILOG)
@parameters
@click.argument("instance")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(given: Given, instance: str, arguments: tuple[str, ...]) -> None:
    """Open psql as superuser on INSTANCE (primary, replica); psql's own arguments follow `--`."""
    from ..doors.command import replace_process

    cluster = existing_cluster(given)
    if instance not in cluster.engine.ports:
        raise ParameterError(
            t("No instance {name!r}.", name=instance),
            looked_at=[", ".join(cluster.engine.ports)],
            remedy=cluster.addressed(t("name one of these: `pgrepl psql primary`")),
        )
    if not cluster.engine.running(instance):
        way = t("`pgrepl run` starts it")
        if instance in cluster.topology.fenced:
            way = t("it is fenced: `pgrepl rejoin {name}` brings it back", name=instance)
        remedy = cluster.addressed(way)
        life = t(cluster.engine.life(instance))
        cause = t("{name} is not running: {state}.", name=instance, state=life)
        raise PgreplError(cause, remedy=remedy)
    person = sys.stdin.isatty() and sys.stdout.isatty()
    replace_process(
        cluster.engine.client(instance, "psql", *arguments, terminal=person), cwd=cluster.folder
    )


@main.command(epilog=EPILOG)
@parameters
@YES
@JSON
def down(given: Given, yes: bool, as_json: bool) -> None:
    """Stop and remove the instances, data, configuration and secrets; the runs' evidence stays."""
    from ..cluster import state

    cluster = existing_cluster(given, must_exist=False)
    name = cluster.params.project
    there, others = cluster.existing(), cluster.engine.strangers(temporaries=True)
    kept = [t("not this project's, and left as it is: {other}", other=other) for other in others]
    if not there and not cluster.folder.joinpath(state.FILE).exists():
        for line in kept:
            terminal.tell(line)
        give(
            as_json,
            {"project": name, "removed": []},
            t("nothing of project {name} exists", name=name),
        )
        return
    goes = t("all of it is removed, but for the runs' evidence")
    if not agreed_on(cluster, yes, *there, *kept, goes):
        remedy = cluster.addressed("`pgrepl down --yes`")
        raise ParameterError(t("Nothing was removed: no confirmation."), remedy=remedy)
    cluster.remove(confirm=True)
    give(as_json, {"project": name, "removed": there}, t("project {name} is removed", name=name))


@main.command(epilog=EPILOG)
@parameters
@option("--to", default="", help="The replica that becomes the primary. [default: the only one]")
@option(
    "--max-lag",
    default=16 * 1024**2,
    show_default=True,
    help="Bytes that it may be behind at the beginning.",
)
@PLAN
@CANCEL
@YES
@JSON
def switchover(given: Given, to: str, yes: bool, as_json: bool, **how: Any) -> None:
    """Change the primary on purpose; no confirmed row is lost. An interrupted one is finished by
    running it again."""
    from ..operations.choosing import only_replica
    from ..operations.switchover import Switchover

    cluster, plan = existing_cluster(given), how["plan"]
    if _ended_otherwise(
        cluster, Switchover.kind, to, yes, as_json, cancel=how["cancel"], plan=plan
    ):
        return
    if not (to or cluster.topology.operation):
        to = only_replica(cluster)
    change = Switchover(cluster, to, how["max_lag"])
    if plan:
        give_planned(cluster, as_json, change.run, change.losses())
        return
    change.require()
    told = t(CHANGES, old=change.old.name, new=change.new.name)
    agreed_on(cluster, yes, told, *change.losses())
    change.run()
    give_change(cluster, as_json, _who_is_primary(cluster), left_behind=change.left)


def _ended_otherwise(
    cluster: Cluster, kind: str, to: str, yes: bool, as_json: bool, *, cancel: bool, plan: bool
) -> bool:
    """Whether nothing is left to change: it was taken back as asked for, or done before."""
    if not cancel:
        return _finished(cluster, to, as_json, plan=plan)
    _take_back(cluster, kind, yes, as_json, plan=plan)
    return True


def _finished(cluster: Cluster, to: str, as_json: bool, *, plan: bool) -> bool:
    """Whether the roles have changed already; then only that is left to record and say."""
    from ..doors import show
    from ..operations import finished

    if not finished.changed_roles(cluster, to, record=not plan):
        return False
    show.notice(t("nothing was left to do"))
    if plan:
        give_planned(cluster, as_json, nothing)
        return True
    give_change(cluster, as_json, _who_is_primary(cluster), left_behind={})
    return True


def _take_back(cluster: Cluster, kind: str, yes: bool, as_json: bool, *, plan: bool) -> None:
    """Cancel what has begun and not ended."""
    from ..operations.rolechange import RoleChange

    change = RoleChange.under_way(cluster, kind)
    if plan:
        give_planned(cluster, as_json, change.cancel)
        return
    told = t(TAKEN_BACK, kind=kind, old=change.old.name, new=change.new.name)
    agreed_on(cluster, yes, told)
    change.cancel()
    give_change(cluster, as_json, _who_is_primary(cluster))


def _who_is_primary(cluster: Cluster) -> str:
    return t("{name} is the primary", name=cluster.primary.name)


@main.command(epilog=EPILOG)
@parameters
@option(
    "--to",
    default="",
    help="The replica that becomes the primary. [default: the most advanced one]",
)
@option("--force", is_flag=True, help="Also while the primary answers: it is killed.")
@PLAN
@CANCEL
@YES
@JSON
def failover(given: Given, to: str, yes: bool, as_json: bool, **how: bool) -> None:
    """Replace a lost primary by the most advanced replica; the lost one is fenced first."""
    from ..doors import show
    from ..notebook import tables
    from ..operations.failover import Failover

    cluster, plan = existing_cluster(given), how["plan"]
    if _ended_otherwise(cluster, Failover.kind, to, yes, as_json, cancel=how["cancel"], plan=plan):
        return
    with show.progress(t("How far the replicas are")):
        change = Failover(cluster, to, how["force"])
    if plan:
        give_planned(cluster, as_json, change.run, change.losses())
        return
    change.require()
    choice = change.choice()
    if len(choice):
        terminal.tell(tables.table(choice).to_string(index=False))
    agreed_on(cluster, yes, change.told(), *change.losses())
    change.run()
    back = t("bring the old one back: `pgrepl rejoin {name}`", name=change.old.name)
    text = joined("; ", [_who_is_primary(cluster), cluster.addressed(back)])
    give_change(cluster, as_json, text, choice=choice.to_dict("records"), left_behind=change.left)


@main.command(epilog=EPILOG)
@parameters
@click.argument("name")
@option("--full-copy", is_flag=True, help="A new base backup even where less would do.")
@option("--keep-data", is_flag=True, help="Keep its data folder in a file, not rows.")
@option("--discard", is_flag=True, help="Also what cannot be kept.")
@PLAN
@YES
@JSON
def rejoin(given: Given, name: str, plan: bool, yes: bool, as_json: bool, **how: bool) -> None:
    """Bring the fenced former primary NAME back as a replica; rows that only it has are listed and
    kept first."""
    from ..operations.rejoin.rejoin import Rejoin
    from ..words import kept

    cluster = existing_cluster(given)
    back = Rejoin(cluster, name, **how)
    back.require()
    if plan:
        give_planned(cluster, as_json, back.run)
        return

    def agree() -> None:
        if not back.finished:
            agreed_on(cluster, yes, *back.told())

    back.run(agree)
    files = (back.kept, back.kept_data)
    text = kept.thrown_away(name, back.found.kept, *files)
    give_change(cluster, as_json, text, name=name, **kept.facts(back.found, *files))


@main.command(epilog=EPILOG)
@parameters
@click.argument("method")
@PLAN
@YES
@JSON
def sync(given: Given, method: str, plan: bool, yes: bool, as_json: bool) -> None:
    """Let commits wait for replicas: METHOD is "FIRST n", "ANY n", or off."""
    from ..operations import synchronous
    from ..postgres.confirmation import waited_for

    cluster = existing_cluster(given)
    wanted = "" if method == "off" else method
    synchronous.require_method(cluster, wanted)
    if plan:
        give_planned(cluster, as_json, partial(synchronous.set_synchronous, cluster, wanted))
        return
    before = cluster.topology.synchronous
    if waited_for(wanted) < waited_for(before):
        agreed_on(cluster, yes, t(WEAKER, wanted=wanted or t("no replica"), before=before))
    synchronous.set_synchronous(cluster, wanted)
    now = cluster.topology.synchronous or t("no replica")
    give_change(cluster, as_json, t("commits wait for: {method}", method=now))
