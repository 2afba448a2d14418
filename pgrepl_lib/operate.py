"""The command line's verbs for a running cluster: replica, switchover, failover, rejoin, sync."""

from __future__ import annotations

import sys
from typing import Any

import click

from .cli import EPILOG, existing_cluster, main, parameters, values
from .errors import ParameterError

Given = tuple[tuple[str, str], ...]


@main.group()
def replica() -> None:
    """Add, remove, rebuild or move a replica."""


@replica.command(epilog=EPILOG)
@parameters
@click.option("--upstream", default="", help="Follow this replica instead of the primary (cascading).")
def add(project: str | None, engine: str | None, given: Given, upstream: str) -> None:
    """Prepare one more replica; one whose preparation was interrupted is finished first."""
    from . import replicas

    click.echo(replicas.add(existing_cluster(values(project, engine, given)), upstream).name)


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.option("--yes", is_flag=True, help="Also the last replica, or a former primary with rows that nobody else has.")
def remove(project: str | None, engine: str | None, given: Given, name: str, yes: bool) -> None:
    """Remove the replica NAME with its data, files and slot."""
    from . import replicas

    replicas.remove(existing_cluster(values(project, engine, given)), name, confirm=yes)


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
def rebuild(project: str | None, engine: str | None, given: Given, name: str) -> None:
    """Throw the data of the replica NAME away and copy its upstream again."""
    from . import replicas

    replicas.rebuild(existing_cluster(values(project, engine, given)), name)


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.argument("upstream")
def follow(project: str | None, engine: str | None, given: Given, name: str, upstream: str) -> None:
    """Let the replica NAME stream from UPSTREAM, the primary or another replica."""
    from . import replicas

    replicas.follow(existing_cluster(values(project, engine, given)), name, upstream)


@main.command(epilog=EPILOG)
@parameters
@click.option("--to", default="", help="The replica that becomes the primary. [default: the only one]")
@click.option("--max-lag", default=16 * 1024**2, show_default=True, help="Bytes that it may be behind at the beginning.")
@click.option("--plan", is_flag=True, help="Print the steps and change nothing.")
@click.option("--cancel", is_flag=True, help="Take a switchover back that was interrupted before the promotion.")
def switchover(project: str | None, engine: str | None, given: Given, to: str, max_lag: int, plan: bool, cancel: bool) -> None:
    """Change the primary on purpose; no confirmed row is lost. An interrupted one is finished by running it again."""
    from .switchover import Switchover

    cluster = existing_cluster(values(project, engine, given))
    begun, names = cluster.topology.operation, cluster.topology.replicas
    if not to and not begun:
        if len(names) != 1:
            raise ParameterError("Which replica shall become the primary?", looked_at=[", ".join(names) or "no replica"],
                                 remedy="pgrepl switchover --to NAME")  # fmt: skip
        to = names[0]
    if cancel and not begun:
        raise ParameterError("No switchover is under way; nothing was changed.")
    change = Switchover(cluster, to, max_lag)
    if plan:
        _print_plan(change.plan())
    elif cancel:
        change.cancel()
    else:
        change.run()
        click.echo(f"{cluster.primary.name} is the primary")


@main.command(epilog=EPILOG)
@parameters
@click.option("--to", default="", help="The replica that becomes the primary. [default: the most advanced one]")
@click.option("--force", is_flag=True, help="Also while the primary answers: it is killed.")
@click.option("--plan", is_flag=True, help="Print the steps and change nothing.")
def failover(project: str | None, engine: str | None, given: Given, to: str, force: bool, plan: bool) -> None:
    """Replace a lost primary by the most advanced replica; the lost one is fenced first."""
    from .failover import Failover

    cluster = existing_cluster(values(project, engine, given))
    change = Failover(cluster, to, force)
    if plan:
        _print_plan(change.plan())
        return
    if change.seen:
        click.echo(change.choice().to_string(index=False))
    change.run()
    click.echo(f"{cluster.primary.name} is the primary; bring the old one back: pgrepl rejoin {change.old.name}")


@main.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.option("--full-copy", is_flag=True, help="A new base backup even where less would do.")
def rejoin(project: str | None, engine: str | None, given: Given, name: str, full_copy: bool) -> None:
    """Bring the fenced former primary NAME back as a replica; rows that only it has are listed and kept first."""
    from .rejoin import Rejoin

    back = Rejoin(existing_cluster(values(project, engine, given)), name, full_copy)
    lost = back.run()
    if len(lost):
        click.echo(f"{lost.to_string(index=False)}\nthrown away, and kept in {back.kept}")


@main.command(epilog=EPILOG)
@parameters
@click.argument("method")
def sync(project: str | None, engine: str | None, given: Given, method: str) -> None:
    """Let commits wait for replicas: METHOD is "FIRST n", "ANY n", or off."""
    from .synchronous import set_synchronous

    set_synchronous(existing_cluster(values(project, engine, given)), "" if method == "off" else method)


def _print_plan(steps: list[tuple[str, Any]]) -> None:
    for number, (title, action) in enumerate(steps, 1):
        click.echo(f"{number}. {title}")
        for command in action.commands:
            click.echo(f"   $ {command}")
    click.echo("nothing was changed", err=True)
    sys.exit(0)
