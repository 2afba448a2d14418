"""What leads on where a server gives no answer: what was to be seen is not known until it does."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from psycopg import OperationalError

from ...doors import outside
from ...doors.answer import Answer, Kind, ask_all, look
from ...engine.life import Life
from ...engine.protocol import Engine
from ...errors import PgreplError, StepFailed
from ...params import Params
from ...words.commands import addressed
from ...words.text import Text, joined, mark, t
from ..topology import Topology

HUNG_LOOKS = 10  # one after the other, before a server counts as one that hangs
REFUSED_SECONDS = 20  # a replica may first have to replay a change of the password
LOST = mark("{leads}; a primary that stays so: `pgrepl failover`")
OF_LIFE = {
    Life.ABSENT: mark("`pgrepl run` says what is missing"),
    Life.STOPPED: mark("`pgrepl run` starts it"),
    Life.PAUSED: mark("`pgrepl run` lets it go on"),
    Life.RESTARTING: mark("`pgrepl status` shows when it answers"),
    Life.ORPHANED: mark("`pgrepl run` ends what is left of it, and starts it"),
}
OF_ANSWER = {
    Kind.REFUSES: mark("{first}; then `pgrepl run`"),
    Kind.CHANGING: mark("`pgrepl status` shows when it answers"),
    Kind.HUNG: mark("its log and its machine say why; `pgrepl status` shows when it answers"),
    Kind.NOBODY: mark("`pgrepl run` starts it anew"),
    Kind.UNKNOWN: mark("`pgrepl status` shows what is heard of it"),
}


def let_in(folder: Path, name: str) -> Text:
    """How a server that refuses the superuser is made to admit it."""
    return t(
        "put the password that its data know into {path}, "
        "or let {name}/pg_hba.conf admit postgres with it",
        path=folder / "secrets" / "superuser",
        name=name,
    )


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
    return addressed(joined("; ", dict.fromkeys(found)), engine.params)


def told(
    error: BaseException, engine: Engine, topology: Topology, what: str = ""
) -> PgreplError | None:
    """As `outside.told`; of a server that gives no answer also what leads on."""
    found = outside.told(error, what)
    if found and isinstance(error, OperationalError):
        found.remedy = ways_on(engine, topology) or found.remedy
    return found


def awaited(engine: Engine, topology: Topology, name: str, upstream: str) -> StepFailed | None:
    """A replica that cannot stream, since its upstream gives no answer; None where it does."""
    seen = look(engine.address(upstream), "select 1")
    if not isinstance(seen, Answer):
        return None
    cause = t("{name} waits for {upstream}: it gives no answer.", name=name, upstream=upstream)
    primary, life = upstream == topology.primary, engine.life(upstream)
    remedy = way(upstream, life, seen, engine.params, primary=primary)
    return StepFailed(cause, looked_at=[joined(" ", [upstream, seen.told])], remedy=remedy)


def way(name: str, life: Life, seen: Answer, params: Params, *, primary: bool) -> str:
    """What leads on from one that does not answer.

    life, seen: what its processes are at, and what it said.
    """
    if life in OF_LIFE:
        state = life.told
        leads = t(OF_LIFE[life])
    else:
        state = t(seen.kind.value)
        leads = t(OF_ANSWER[seen.kind], first=let_in(params.folder, name))
    if primary and not seen.lives:
        leads = t(LOST, leads=leads)
    return addressed(joined("", [name, " (", state, "): ", leads]), params)


def way_of_fenced(name: str, life: Life, params: Params) -> str:
    """Of a former primary nothing is wanted, unless it lives in an odd way."""
    if life.ended or life is Life.RUNNING:
        return ""
    back = t("{name} ({life}): `pgrepl rejoin {name}` brings it back", name=name, life=life.told)
    return addressed(back, params)


class Patience:
    """Looks at a server that is to accept connections, as long as it may still do so."""

    def __init__(self, name: str, params: Params) -> None:
        self.name, self.params = name, params
        self.hung, self.let_in = 0, time.monotonic()

    def require_hope(self, seen: Answer) -> None:
        """Raise `StepFailed` for one that hangs, or refuses us, whenever we look."""
        self.hung += 1
        if seen.kind is not Kind.HUNG:
            self.hung = 0
        if self.hung >= HUNG_LOOKS:
            remedy = t("its log and its machine say why; a primary: `pgrepl failover`")
            raise self._lost(seen, addressed(remedy, self.params))
        if seen.kind is not Kind.REFUSES:
            self.let_in = time.monotonic()
        elif time.monotonic() - self.let_in > REFUSED_SECONDS:
            remedy = t(OF_ANSWER[seen.kind], first=let_in(self.params.folder, self.name))
            raise self._lost(seen, addressed(remedy, self.params))

    def _lost(self, seen: Answer, remedy: str) -> StepFailed:
        return StepFailed(joined(" ", [self.name, seen.told]), remedy=remedy)
