"""The command line's verbs for a running cluster, such as psql, down, replica and switchover."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..doors import terminal
from ..errors import ParameterError, PgreplError
from .group import EPILOG, main
from .options import JSON, YES, Given, existing_cluster, parameters
from .output import give, give_change
from .question import agreed_on

if TYPE_CHECKING:
    from ..steps.cluster import Cluster

CANCEL = click.option(
    "--cancel", is_flag=True, help="Take back one that has not promoted anybody yet."
)
PLAN = click.option("--plan", is_flag=True, help="Print the steps and change nothing.")


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
def down(given: Given, yes: bool, as_json: bool) -> None:
    """Stop and remove the instances, data, configuration and secrets; the runs' evidence stays."""
    from ..cluster import state

    cluster = existing_cluster(given, must_exist=False)
    name = cluster.params.project
    there, others = cluster.existing(), cluster.engine.strangers(temporaries=True)
    kept = [f"not this project's, and left as it is: {other}" for other in others]
    if not there and not cluster.folder.joinpath(state.FILE).exists():
        for line in kept:
            terminal.tell(line)
        give(as_json, {"project": name, "removed": []}, f"nothing of project {name} exists")
        return
    if not agreed_on(
        cluster, yes, *there, *kept, "all of it is removed, but for the runs' evidence"
    ):
        remedy = cluster.addressed("`pgrepl down --yes`")
        raise ParameterError("Nothing was removed: no confirmation.", remedy=remedy)
    cluster.remove(confirm=True)
    give(as_json, {"project": name, "removed": there}, f"project {name} is removed")


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
@PLAN
@CANCEL
@YES
@JSON
def switchover(given: Given, to: str, yes: bool, as_json: bool, **how: Any) -> None:
    """Change the primary on purpose; no confirmed row is lost. An interrupted one is finished by
    running it again."""
    from ..operations.choosing import only_replica
    from ..operations.switchover import Switchover

    cluster = existing_cluster(given)
    if _ended_otherwise(cluster, Switchover.kind, to, yes, as_json, cancel=how["cancel"]):
        return
    if not (to or cluster.topology.operation):
        to = only_replica(cluster)
    change = Switchover(cluster, to, how["max_lag"])
    if how["plan"]:
        _give_plan(as_json, change.plan(), change.losses())
        return
    change.require()
    way = f"from {change.old.name} to {change.new.name}"
    lost = "nothing is lost; writes wait until it is done"
    agreed_on(cluster, yes, f"switchover: the primary changes {way}; {lost}", *change.losses())
    change.run()
    give_change(cluster, as_json, f"{cluster.primary.name} is the primary", left_behind=change.left)


def _ended_otherwise(
    cluster: Cluster, kind: str, to: str, yes: bool, as_json: bool, *, cancel: bool
) -> bool:
    """Whether nothing is left to change: it was taken back as asked for, or done before."""
    if not cancel:
        return _finished(cluster, to, as_json)
    _take_back(cluster, kind, yes, as_json)
    return True


def _finished(cluster: Cluster, to: str, as_json: bool) -> bool:
    """Whether the roles have changed already; then only that is left to record and say."""
    from ..doors import show
    from ..operations import finished

    if not finished.changed_roles(cluster, to):
        return False
    show.notice("nothing was left to do")
    give_change(cluster, as_json, f"{cluster.primary.name} is the primary", left_behind={})
    return True


def _take_back(cluster: Cluster, kind: str, yes: bool, as_json: bool) -> None:
    """Cancel what has begun and not ended."""
    from ..operations.rolechange import RoleChange

    change = RoleChange.under_way(cluster, kind)
    way = f"from {change.old.name} to {change.new.name}"
    agreed_on(cluster, yes, f"the {kind} {way} is taken back")
    change.cancel()
    give_change(cluster, as_json, f"{cluster.primary.name} is the primary")


@main.command(epilog=EPILOG)
@parameters
@click.option(
    "--to",
    default="",
    help="The replica that becomes the primary. [default: the most advanced one]",
)
@click.option("--force", is_flag=True, help="Also while the primary answers: it is killed.")
@PLAN
@CANCEL
@YES
@JSON
def failover(given: Given, to: str, yes: bool, as_json: bool, **how: bool) -> None:
    """Replace a lost primary by the most advanced replica; the lost one is fenced first."""
    from ..doors import show
    from ..operations.failover import Failover

    cluster = existing_cluster(given)
    if _ended_otherwise(cluster, Failover.kind, to, yes, as_json, cancel=how["cancel"]):
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
    agreed_on(cluster, yes, change.told(), *change.losses())
    change.run()
    back = cluster.addressed(f"bring the old one back: `pgrepl rejoin {change.old.name}`")
    text = f"{cluster.primary.name} is the primary; {back}"
    give_change(cluster, as_json, text, choice=choice.to_dict("records"), left_behind=change.left)


@main.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.option("--full-copy", is_flag=True, help="A new base backup even where less would do.")
@click.option("--keep-data", is_flag=True, help="Keep its data folder in a file, not rows.")
@click.option("--discard", is_flag=True, help="Also what cannot be kept.")
@YES
@JSON
def rejoin(
    given: Given,
    name: str,
    yes: bool,
    as_json: bool,
    **how: bool,
) -> None:
    """Bring the fenced former primary NAME back as a replica; rows that only it has are listed and
    kept first."""
    from ..operations.rejoin.rejoin import Rejoin
    from ..words import kept

    cluster = existing_cluster(given)
    back = Rejoin(cluster, name, **how)
    back.require()

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
@YES
@JSON
def sync(
    given: Given,
    method: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Let commits wait for replicas: METHOD is "FIRST n", "ANY n", or off."""
    from ..operations import synchronous
    from ..postgres.confirmation import waited_for

    cluster = existing_cluster(given)
    wanted = "" if method == "off" else method
    synchronous.require_method(cluster, wanted)
    before = cluster.topology.synchronous
    if waited_for(wanted) < waited_for(before):
        then = f"commits wait for {wanted or 'no replica'}, no longer for {before}"
        agreed_on(cluster, yes, f"{then}; a failover may then lose rows that were confirmed")
    synchronous.set_synchronous(cluster, wanted)
    give_change(
        cluster, as_json, f"commits wait for: {cluster.topology.synchronous or 'no replica'}"
    )


def _give_plan(
    as_json: bool, steps: Sequence[tuple[str, Sequence[object], str]], losses: list[str]
) -> None:
    plan: list[dict[str, Any]] = []
    lines: list[str] = []
    for title, commands, diff in steps:
        plan.append({"title": title, "commands": [str(c) for c in commands], "diff": diff})
        lines.append(f"{len(plan)}. {title}")
        lines += [f"   $ {command}" for command in commands]
        lines += [f"   {line}" for line in diff.splitlines()]
    give(as_json, plan, "\n".join(lines))
    for line in (*losses, "nothing was changed"):
        terminal.tell(line)
