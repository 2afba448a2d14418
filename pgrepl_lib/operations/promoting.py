"""The promotion of one replica: it is started again if need be, told, and awaited."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..doors import ahead
from ..doors.answer import DECISION_SECONDS, Kind
from ..doors.wait import wait_until
from ..engine.action import Shown, Tell, leaving
from ..errors import PgreplError
from ..words.text import Text, t

if TYPE_CHECKING:
    from ..steps.instance import Instance

PROMOTE_SECONDS = 60  # without progress
PROMOTE = "select pg_promote(false)"


def commands(new: Instance) -> tuple[Shown, ...]:
    """What a person would type: the server is told, then awaited while it replays."""
    engine, name = new.cluster.engine, new.name
    promote = engine.client(name, "psql", "-c", f"{PROMOTE};")
    promote = leaving(promote, ahead.leaves(name, recovers=False))
    recovering = engine.client(name, "psql", "-Atc", "select pg_is_in_recovery()")
    return promote, f"until {recovering} | grep -qx f; do sleep 1; done"


def revive(new: Instance, tell: Tell) -> None:
    """Start it again where it died or hangs: what it confirmed is on its disk."""
    seen = new.answer(DECISION_SECONDS)
    if seen.kind is Kind.ANSWERS:
        return
    engine, name = new.cluster.engine, new.name
    kill, start = engine.kill(name), engine.start(name)
    try:
        if start.done() and seen.kind is Kind.HUNG:
            kill.do(tell)
        if not start.done():
            start.do(tell)
        new.wait_ready()
    except KeyboardInterrupt:
        raise
    except PgreplError as error:
        error.remedy = new.cluster.addressed(_without(new))
        raise


def _without(new: Instance) -> Text:
    """What to do where it cannot be started."""
    topology = new.cluster.topology
    others = [n for n in topology.replicas if n != new.name]
    if not others:
        return t("correct the cause named above and run again")
    if topology.primary == new.name:
        return t(
            "`pgrepl failover --to {other}` lets another one take over; "
            "what was written to {name} since its promotion is lost then",
            other=others[0],
            name=new.name,
        )
    return t("`pgrepl failover --to {other}` lets another one take over", other=others[0])


def wait(new: Instance) -> None:
    """It first replays what it has; as long as it does that, it is waited for."""
    engine, name = new.cluster.engine, new.name

    def probe() -> tuple[bool, str]:
        return not new.in_recovery(), t("in recovery, {position}", position=new.position())

    wait_until(
        t("the promotion of {name}", name=name),
        probe,
        seconds=PROMOTE_SECONDS,
        progress=new.position,
        alive=partial(engine.running, name),
        log=partial(engine.log_tail, name),
        hint=t("the log's last lines say why; correct it and run again"),
    )
