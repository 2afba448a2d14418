"""A drill: a certificate is over, as one is that nobody has renewed in time."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ..doors import ahead
from ..doors.wait import wait_until
from ..engine.action import Action, Tell
from ..logins.tls import certificates, issuing
from ..steps.actions.connecting import end, end_command
from ..steps.actions.encrypting import presenting_action
from ..words.text import mark, t

if TYPE_CHECKING:
    from ..steps.cluster import Cluster

NOT_SO = mark(
    "`pgrepl status` says whose certificate is over or revoked; first execute the cell that makes "
    "it so"
)
AGAIN_SECONDS = 30  # a receiver tries again every five (wal_retrieve_retry_interval)


def expire(cluster: Cluster, name: str) -> str:
    """Step: a replica's certificate is over since a moment ago, and its connection ends.

    The way back is `renewing.rotate`. One that is connected goes on with what was good at first.
    """
    replica, folder = cluster.instance(name), cluster.folder / "secrets"
    shows = presenting_action(replica)

    def put() -> None:
        signer, now = certificates.signer(cluster), datetime.now(UTC)
        certificates.write(folder, name, issuing.instance(name, signer, now))

    def do(tell: Tell) -> None:
        put()
        cluster.engine.prepare()
        shows.do(tell)
        end(replica)

    def leaves() -> None:
        put()
        shows.leaves()

    made = certificates.command(cluster, name, days=0)
    action = Action((made, *shows.commands, end_command(replica)), do, leaves=leaves)
    return cluster.perform(t("Let the certificate of {name} be over", name=name), action)


@ahead.measured
def said(cluster: Cluster, name: str, word: str) -> str:
    """What a replica's receiver was told, as its log has it; waits until the word is in there."""

    def last() -> str:
        lines = cluster.engine.log_tail(name).splitlines()
        return next((line for line in reversed(lines) if "FATAL" in line and word in line), "")

    def probe() -> tuple[bool, str]:
        return bool(last()), t("not connected")

    awaited = t("{name} to connect again", name=name)
    log, hint = partial(cluster.engine.log_tail, name), cluster.addressed(t(NOT_SO))
    wait_until(awaited, probe, seconds=AGAIN_SECONDS, log=log, hint=hint)
    return last().partition("FATAL:")[2].strip()
