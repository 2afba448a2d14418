"""The wait for what a check wrote to arrive at a replica: soon over where it never will."""

from __future__ import annotations

from ..cluster.server import Server
from ..doors import db
from ..errors import StepFailed
from ..words.text import mark, t
from . import replay

SECONDS = 10  # for the next byte, from an upstream that has more
RECEIVED = """
select coalesce(reached >= %s::pg_lsn, false) as there, reached::text as at
from greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) as reached"""

SILENT = mark(
    "nothing comes from {upstream}: is the network between them cut, or its machine at its limit? "
    "`pgrepl status` and both logs say how far they are"
)


def wait_replayed(replica: Server, lsn: str, seconds: float) -> None:
    """Wait until a replica has replayed the WAL up to `lsn`. seconds: without progress.

    Raises `StepFailed` at once for one that was promoted and where processes are stopped,
    `WaitTimeout` for one that receives nothing any more.
    """
    replica.require_recovery()
    _require_going_on(replica)

    def probe() -> tuple[bool, str]:
        found = db.row(replica.address, RECEIVED, [lsn])
        return found["there"], t("received up to {at}, wanted {lsn}", at=found["at"], lsn=lsn)

    words = {"name": replica.name, "upstream": replica.upstream.name}
    what = t("{name} to receive what was written on {upstream}", **words)
    advice = replica.cluster.addressed(t(SILENT, **words))
    replica.wait_on_replay(what, probe, min(seconds, SECONDS), advice)
    replay.wait(replica, lsn, seconds)


def _require_going_on(replica: Server) -> None:
    """Of both ends: who was told to stop where he is sends, or replays, nothing."""
    engine, ends = replica.cluster.engine, (replica.upstream.name, replica.name)
    for name in filter(engine.frozen, ends):
        remedy = t("`pgrepl run` lets them go on")
        raise StepFailed(
            t("Processes of {name} were told to stop where they are (SIGSTOP).", name=name),
            remedy=replica.cluster.addressed(remedy),
        )
