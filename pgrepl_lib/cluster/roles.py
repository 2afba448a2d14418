"""What an instance really is: asked from its server before anything of it is thrown away."""

from __future__ import annotations

from typing import Any

import psycopg

from ..doors import ahead, db
from ..engine.protocol import Engine
from ..errors import StepFailed, first_line
from ..postgres.control import ControlFile
from ..words.commands import addressed
from ..words.text import mark, t
from . import identity
from .changes import left, outdated, promotion
from .topology import Topology

HAS_MORE = mark("{name} has data that {source} does not have; nothing was changed.")


def accepts_writes(engine: Engine, name: str) -> bool:
    """Whether its server accepts writes; of one that does not run, whether it would."""
    if not engine.life(name).ended:
        return not _asked(engine, name)["recovering"]
    if not promotion.has_happened(engine, name):
        return False
    return not ControlFile.parse(engine.control_file(name)).was_standby


@ahead.judged_now
def require_expendable(
    engine: Engine, topology: Topology, name: str, source: str, *, discard: bool
) -> None:
    """Raise `StepFailed` where the data of `name` are more than another copy of what `source` has.

    discard: what was written to a server that was promoted by hand may go; never the only server
    that accepts writes.
    """
    identity.require_own_data(engine, topology, source)
    reasons = [*_foreign(engine, topology, name), *_newer(engine, name, source)]
    if why := left.why(engine, name, source):
        reasons.append(t("{name} is {left}", name=name, left=why))
    if accepts_writes(engine, name):
        require_another_writer(engine, topology, name)
        reasons.append(t("{name} accepts writes", name=name))
    if reasons and not discard:
        raise StepFailed(
            t(HAS_MORE, name=name, source=source),
            looked_at=reasons,
            remedy=t("to throw them away all the same, run it again with --discard"),
        )


@ahead.judged_now
def require_another_writer(engine: Engine, topology: Topology, name: str) -> None:
    """Raise `StepFailed` where `name` alone accepts writes, whatever is recorded."""
    if _may_write(engine, name) and not accepts_writes(engine, topology.primary):
        primary = topology.primary
        raise StepFailed(
            t("{name} is the only server that accepts writes; nothing was changed.", name=name),
            looked_at=[t("the recorded primary, {name}, does not accept any", name=primary)],
            remedy=addressed(outdated.remedy(topology, name), engine.params),
        )


def _may_write(engine: Engine, name: str) -> bool:
    """Whether it accepts writes, as far as it is known: one that hangs may do so."""
    try:
        return accepts_writes(engine, name)
    except StepFailed:
        return True


def _foreign(engine: Engine, topology: Topology, name: str) -> list[str]:
    found, known = identity.identifier_of(engine, name), topology.system_identifier
    if not (found and known) or found == known:
        return []
    return [
        t(
            "{name} has another cluster's data (system identifier {found}, not {known})",
            name=name,
            found=found,
            known=known,
        )
    ]


def _newer(engine: Engine, name: str, source: str) -> list[str]:
    """A timeline that the other one has not reached: this one, or whom it follows, was promoted."""
    if not engine.has_data(name):
        return []
    mine, theirs = _timeline(engine, name), _timeline(engine, source)
    if mine <= theirs:
        return []
    return [
        t(
            "{name} is on timeline {mine}, {source} on {theirs}",
            name=name,
            mine=mine,
            source=source,
            theirs=theirs,
        )
    ]


def _timeline(engine: Engine, name: str) -> int:
    if not engine.life(name).ended:
        return int(_asked(engine, name)["timeline"])
    return ControlFile.parse(engine.control_file(name)).timeline


def _asked(engine: Engine, name: str) -> dict[str, Any]:
    """Role and timeline; a server that runs and does not answer may be anything."""
    try:
        return db.row(engine.address(name), outdated.ROLE)
    except (psycopg.Error, OSError) as error:
        raise StepFailed(
            t("{name} does not say what it is; nothing was changed.", name=name),
            looked_at=[first_line(error)],
            remedy=addressed(
                t("`pgrepl status`; stop it, or wait until it answers"), engine.params
            ),
        ) from None
