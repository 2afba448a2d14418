"""What leads on where a server gives no answer: what was to be seen is not known until it does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..doors.answer import Answer, Kind, ask_all, look
from ..engine.life import Life
from ..engine.protocol import Engine
from ..errors import PgreplError
from ..params import Params
from ..words.commands import addressed
from .topology import Topology

LOST = "; a primary that stays so: `pgrepl failover`"
OF_LIFE = {
    Life.ABSENT: "`pgrepl run` says what is missing",
    Life.STOPPED: "`pgrepl run` starts it",
    Life.PAUSED: "`pgrepl run` lets it go on",
    Life.RESTARTING: "`pgrepl status` shows when it answers",
    Life.ORPHANED: "`pgrepl run` ends what is left of it, and starts it",
}
OF_ANSWER = {
    Kind.REFUSES: "{}; then `pgrepl run`",
    Kind.CHANGING: "`pgrepl status` shows when it answers",
    Kind.HUNG: "its log and its machine say why; `pgrepl status` shows when it answers",
    Kind.NOBODY: "`pgrepl run` starts it anew",
    Kind.UNKNOWN: "`pgrepl status` shows what is heard of it",
}


def let_in(folder: Path, name: str) -> str:
    """How a server that refuses the superuser is made to admit it."""
    right = f"put the password that its data know into {folder}/secrets/superuser"
    return f"{right}, or let {name}/pg_hba.conf admit postgres with it"


def ways_on(engine: Engine, topology: Topology, also: Iterable[str] = ()) -> str:
    """What to do about each instance that gives no answer now; empty where there is nothing.

    also: what else leads on, which comes once they answer.
    """

    def of_one(name: str) -> str:
        life = engine.life(name)
        if name in topology.fenced:
            return way_of_fenced(name, life, engine.params)
        try:
            seen = look(engine.address(name), "select 1")
        except (PgreplError, OSError) as error:  # there is nothing to ask with
            return getattr(error, "remedy", "")
        if not isinstance(seen, Answer):
            return ""
        primary = name == topology.primary
        return way(name, life, seen, engine.params, primary=primary)

    found = filter(None, [*ask_all(of_one, topology.names), *also])
    return addressed("; ".join(dict.fromkeys(found)), engine.params)


def way(name: str, life: Life, seen: Answer, params: Params, *, primary: bool) -> str:
    """What leads on from one that does not answer.

    life, seen: what its processes are at, and what it said.
    """
    state = str(life)
    leads = OF_LIFE.get(life)
    if leads is None:
        state = seen.kind
        leads = OF_ANSWER[seen.kind].format(let_in(params.folder, name))
    if primary and not seen.lives:
        leads += LOST
    return addressed(f"{name} ({state}): {leads}", params)


def way_of_fenced(name: str, life: Life, params: Params) -> str:
    """Of a former primary nothing is wanted, unless it lives in an odd way."""
    if life.ended or life is Life.RUNNING:
        return ""
    return addressed(f"{name} ({life}): `pgrepl rejoin {name}` brings it back", params)
