"""Why an instance is not brought back; nothing was changed then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ParameterError, StepFailed
from ...postgres.control import ControlFile
from ...words.text import joined, mark, t

if TYPE_CHECKING:
    from ...steps.instance import Instance
    from .own_rows import Found


def refuse_primary(instance: Instance) -> None:
    """Raise `ParameterError` for the primary: nobody takes its own place."""
    name, topology = instance.name, instance.cluster.topology
    if name != topology.primary:
        return
    back = mark("`pgrepl rejoin {name}` brings {name} back")
    ways = [t(back, name=other) for other in topology.fenced]
    ways += [t("`pgrepl run` starts {name} where it stands", name=name)]
    ways += [t("`pgrepl status` says who is what")]
    cause = t("{name} is the primary; nothing was changed.", name=name)
    raise ParameterError(cause, remedy=instance.cluster.addressed(joined("; ", ways)))


def require_fenced(instance: Instance) -> None:
    """Raise `StepFailed` for one that is a replica already."""
    if instance.name in instance.cluster.topology.fenced:
        return
    cause = t("{name} is not fenced: it is a replica already.", name=instance.name)
    remedy = t("`pgrepl status` says whether it runs and streams; if not, `pgrepl run` starts it")
    raise StepFailed(cause, remedy=instance.cluster.addressed(remedy))


def require_ours(instance: Instance) -> None:
    """Raise `StepFailed` for one whose data are not this cluster's."""
    engine, name = instance.cluster.engine, instance.name
    names = (name, instance.cluster.primary.name)
    own, wanted = (ControlFile.parse(engine.control_file(n)).system_identifier for n in names)
    if own == wanted:
        return
    cause = t("{name} never belonged to this cluster; nothing was changed.", name=name)
    seen = t("system identifier {own}, not {wanted}", own=own, wanted=wanted)
    throw = mark("put its own data back; or throw it away: `pgrepl replica remove {name} --yes`")
    remedy = instance.cluster.addressed(t(throw, name=name))
    raise StepFailed(cause, looked_at=[seen], remedy=remedy)


def not_looked(instance: Instance) -> StepFailed:
    """Nobody has looked yet for what only it has."""
    cause = mark("What only {name} has is not known, nor kept; nothing was changed.")
    way = mark(
        "first execute the cell with `volta.diverged()`; or all of it: `pgrepl rejoin {name}`"
    )
    remedy = instance.cluster.addressed(t(way, name=instance.name))
    return StepFailed(t(cause, name=instance.name), remedy=remedy)


def silent(instance: Instance) -> StepFailed:
    """It does not answer."""
    cause = mark("{name} does not answer: what only it has is not known; nothing was changed.")
    remedy = t("`pgrepl rejoin {name}` starts it (`volta.inspect()`)", name=instance.name)
    return StepFailed(t(cause, name=instance.name), remedy=instance.cluster.addressed(remedy))


def cannot_be_kept(instance: Instance, found: Found) -> StepFailed:
    """Some of what only it has has no place in a file of rows."""
    name = instance.name
    cause = t("{name} has data that cannot be kept row by row; nothing was changed.", name=name)
    remedy = t(
        "`pgrepl rejoin {name} --keep-data` keeps its whole data folder in a file; "
        "`pgrepl rejoin {name} --discard` throws them away",
        name=name,
    )
    return StepFailed(cause, looked_at=found.lacking, remedy=instance.cluster.addressed(remedy))
