"""`pgrepl monitoring`: a role that sees statistics and no rows, and the way back."""

from __future__ import annotations

from functools import partial

from ...words.text import mark, t
from ..group import EPILOG, main, option
from ..options import JSON, PLAN, Given, existing_cluster, parameters
from ..output import give_done

THERE = mark("`pgrepl dsn --user {role}` is how a monitoring system comes in")
GONE = mark("{role} is there no more")


@main.command(epilog=EPILOG)
@parameters
@option("--undo", is_flag=True, help="The way back: the role and its password go.")
@PLAN
@JSON
def monitoring(given: Given, undo: bool, plan: bool, as_json: bool) -> None:
    """Make a role for a monitoring system: it sees statistics and settings, and nobody's rows.

    Its password is in a file that `pgrepl dsn --user pgrepl_monitoring` names."""
    from ...logins.monitoring import ROLE
    from ...operations.security import monitoring as operation

    cluster = existing_cluster(given)
    work, told = partial(operation.admit, cluster), cluster.addressed(t(THERE, role=ROLE))
    if undo:
        work, told = partial(operation.undo, cluster), t(GONE, role=ROLE)
    give_done(cluster, as_json, plan, work, told)
