"""`pgrepl secure`: TLS for a cluster that exists, and the way back."""

from __future__ import annotations

from functools import partial

from ...words.text import mark, t
from ..group import EPILOG, main, option
from ..options import JSON, PLAN, YES, Given, asked, existing_cluster, parameters
from ..output import give_change, give_planned
from ..question import agreed_on

SECURED = mark("all connections are encrypted, and each side proves who it is")
UNDONE = mark("connections need not be encrypted any more")
WEAKER = mark("connections are not encrypted any more, and nobody proves who he is by certificate")


@main.command(epilog=EPILOG)
@parameters
@option("--undo", is_flag=True, help="The way back: no TLS any more.")
@PLAN
@YES
@JSON
def secure(given: Given, undo: bool, plan: bool, yes: bool, as_json: bool) -> None:
    """Encrypt all connections of a running cluster, with an authority of its own; replication goes
    on. -p certificates FOLDER takes your own certificates."""
    from ...operations.security import securing

    cluster = existing_cluster(given, but="certificates")
    work, told = partial(securing.secure, cluster, asked(given, "certificates")), t(SECURED)
    if undo:
        work, told = partial(securing.undo, cluster), t(UNDONE)
    if plan:
        give_planned(cluster, as_json, work)
        return
    if undo:
        agreed_on(cluster, yes, t(WEAKER))
    work()
    give_change(cluster, as_json, told, tls=cluster.params.tls)
