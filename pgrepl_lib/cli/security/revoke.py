"""`pgrepl revoke`: a replica's certificate is good no more, and the way back."""

from __future__ import annotations

from functools import partial

import click

from ...words.text import mark, t
from ..group import EPILOG, main, option
from ..options import JSON, PLAN, YES, Given, existing_cluster, parameters
from ..output import give_change, give_planned
from ..question import agreed_on

REVOKED = mark(
    "{name} receives nothing any more; its slot keeps WAL until `pgrepl revoke {name} --undo` or "
    "`pgrepl replica remove {name}`"
)
BACK = mark("{name} has another certificate, and follows with it")
CUT_OFF = mark("{name} receives nothing any more, and its slot keeps WAL for it")


@main.command(epilog=EPILOG)
@click.argument("replica")
@parameters
@option("--undo", is_flag=True, help="The way back: another certificate, with which it follows.")
@PLAN
@YES
@JSON
def revoke(given: Given, replica: str, undo: bool, plan: bool, yes: bool, as_json: bool) -> None:
    """Revoke the certificate of REPLICA: no server lets it in any more."""
    from ...operations.security import revoking

    cluster = existing_cluster(given)
    work = partial(revoking.revoke, cluster, replica)
    told = cluster.addressed(t(REVOKED, name=replica))
    if undo:
        work, told = partial(revoking.take_back, cluster, replica), t(BACK, name=replica)
    if plan:
        give_planned(cluster, as_json, work)
        return
    if not undo:
        agreed_on(cluster, yes, t(CUT_OFF, name=replica))
    work()
    give_change(cluster, as_json, told)
