"""`pgrepl rotate`: what proves who somebody is, renewed while replication goes on."""

from __future__ import annotations

from functools import partial

from ...words.text import mark, t
from ..group import EPILOG, main
from ..options import JSON, PLAN, Given, existing_cluster, parameters
from ..output import give_change, give_planned

ROTATED = mark("all replicas log in with a new password")
FINISHED = mark("the change that had been interrupted is finished: all log in with its password")


@main.group()
def rotate() -> None:
    """Renew what proves who somebody is, while replication goes on."""


@rotate.command(epilog=EPILOG)
@parameters
@PLAN
@JSON
def password(given: Given, plan: bool, as_json: bool) -> None:
    """Change the replication password, everywhere; one that was interrupted is finished."""
    from ...logins import renewal
    from ...operations.security import rotating

    cluster = existing_cluster(given)
    work, told = partial(rotating.password, cluster), t(ROTATED)
    if renewal.begun(cluster):
        told = t(FINISHED)
    if plan:
        give_planned(cluster, as_json, work)
        return
    work()
    give_change(cluster, as_json, told)
