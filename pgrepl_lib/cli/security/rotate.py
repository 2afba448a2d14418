"""`pgrepl rotate`: what proves who somebody is, renewed while replication goes on."""

from __future__ import annotations

from functools import partial

from ...words.text import mark, t
from ..group import EPILOG, main, option
from ..options import JSON, PLAN, Given, asked, existing_cluster, parameters
from ..output import give_done

ROTATED = mark("all replicas log in with a new password")
FINISHED = mark("the change that had been interrupted is finished: all log in with its password")

RENEWED = mark("all instances show new certificates, and replicas follow with them")


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
    give_done(cluster, as_json, plan, work, told)


@rotate.command(epilog=EPILOG)
@parameters
@option("--authority", is_flag=True, help="Another certificate authority, too.")
@PLAN
@JSON
def certificates(given: Given, authority: bool, plan: bool, as_json: bool) -> None:
    """Renew the certificates; an interrupted change of the authority is finished.

    -p certificates FOLDER takes your own from then on, -p certificates '' those of the cluster's
    own authority again.
    """
    from ...operations.security import renewing

    cluster = existing_cluster(given, but="certificates")
    folder = asked(given, "certificates")
    work = partial(renewing.rotate, cluster, authority=authority, given=folder)
    give_done(cluster, as_json, plan, work, t(RENEWED))
