"""The command line's verbs for the replicas of a running cluster: add, remove, rebuild, follow."""

from __future__ import annotations

from functools import partial

import click

from ..words.text import mark, t
from .group import EPILOG, main, option
from .options import JSON, PLAN, YES, Given, existing_cluster, parameters
from .output import give_change, give_planned
from .question import agreed_on

NEW_COPY = mark(
    "{name} becomes a new copy of {source}; the data that it has now stay until that is complete, "
    "then they are removed"
)


@main.group()
def replica() -> None:
    """Add, remove, rebuild or move a replica."""


@replica.command(epilog=EPILOG)
@parameters
@option("--upstream", default="", help="Follow this replica instead of the primary (cascading).")
@PLAN
@JSON
def add(given: Given, upstream: str, plan: bool, as_json: bool) -> None:
    """Prepare one more replica; one whose preparation was interrupted is finished first."""
    from ..operations import finished
    from ..steps import replicas

    cluster = existing_cluster(given)

    def work() -> str:
        return finished.added(cluster, upstream) or replicas.add(cluster, upstream).name

    if plan:
        give_planned(cluster, as_json, work)
        return
    name = work()
    give_change(cluster, as_json, name, name=name)


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
@option(
    "--yes",
    is_flag=True,
    help="Also the last replica, or a former primary with rows that nobody else has.",
)
@PLAN
@JSON
def remove(given: Given, name: str, yes: bool, plan: bool, as_json: bool) -> None:
    """Remove the replica NAME with its data, files and slot."""
    from ..operations import finished
    from ..steps import removable, replicas
    from ..words import removed

    cluster = existing_cluster(given)

    told = removed.goes(name, cluster.topology.replicas, cluster.topology.fenced)

    def work() -> None:
        if finished.removed(cluster, name):
            return
        removable.require_removable(cluster, name, confirm=True)
        replicas.remove(cluster, name, confirm=plan or agreed_on(cluster, yes, *told))

    if plan:
        give_planned(cluster, as_json, work, told)
        return
    work()
    give_change(cluster, as_json, t("{name} is removed", name=name), name=name)


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
@option("--discard", is_flag=True, help="Also what nobody else has.")
@PLAN
@YES
@JSON
def rebuild(given: Given, name: str, plan: bool, yes: bool, as_json: bool, discard: bool) -> None:
    """Copy the upstream of the replica NAME again; its old data go once the copy is complete."""
    from ..steps import removable, replicas

    cluster = existing_cluster(given)
    removable.require_rebuildable(cluster, name, discard)
    if plan:
        give_planned(cluster, as_json, partial(replicas.rebuild, cluster, name, discard=discard))
        return
    source = cluster.instance(name).upstream.name
    agreed_on(cluster, yes, t(NEW_COPY, name=name, source=source))
    replicas.rebuild(cluster, name, discard=discard)
    text = t("{name} is a new copy of {source}", name=name, source=source)
    give_change(cluster, as_json, text, name=name)


@replica.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.argument("upstream")
@PLAN
@JSON
def follow(given: Given, name: str, upstream: str, plan: bool, as_json: bool) -> None:
    """Let the replica NAME stream from UPSTREAM, the primary or another replica."""
    from ..steps import replicas

    cluster = existing_cluster(given)
    if plan:
        give_planned(cluster, as_json, partial(replicas.follow, cluster, name, upstream))
        return
    replicas.follow(cluster, name, upstream)
    give_change(
        cluster, as_json, t("{name} follows {upstream}", name=name, upstream=upstream), name=name
    )
