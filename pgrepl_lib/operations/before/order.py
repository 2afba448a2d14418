"""The steps of a change of roles, one by one: none before the one that makes it safe.

In a chapter each is a cell of its own, and a reader may execute any of them first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from ...doors import ahead
from ...errors import StepFailed
from ...words.text import mark, t

if TYPE_CHECKING:
    from ...steps.cluster import Cluster
    from ...steps.instance import Instance

TOO_EARLY = mark("Another step of the {kind} comes first; nothing was changed.")
FIRST = mark(
    "first execute the cell with `troca.{step}()`; or all of it: `pgrepl {kind} --to {to}`"
)
OTHERS = mark("{name} is not the primary any more; nothing was changed.")
ANEW = mark("first execute the cell that chooses the new primary (`troca = …`)")


class Change(Protocol):
    """What is asked of a change of roles (`rolechange.py`)."""

    kind: str
    TITLES: ClassVar[dict[str, str]]
    fenced: bool
    cluster: Cluster
    old: Instance
    new: Instance

    @property
    def promoted(self) -> bool: ...
    @property
    def resumed(self) -> bool: ...


def require_current(change: Change) -> None:
    """Raise `StepFailed` where the roles are others than when this change was planned."""
    if not change.resumed and change.cluster.topology.primary != change.old.name:
        raise StepFailed(t(OTHERS, name=change.old.name), remedy=t(ANEW))


def require(change: Change, step: str) -> None:
    """Raise `StepFailed` where a step before this one has not been done.

    Nobody is promoted beside a primary that can still write.
    """
    if ahead.looking() or change.promoted or not (first := _missing(change, step)):
        return
    remedy = change.cluster.addressed(t(FIRST, step=first, kind=change.kind, to=change.new.name))
    raise StepFailed(t(TOO_EARLY, kind=change.kind), remedy=remedy)


def _missing(change: Change, step: str) -> str:
    """The first of its steps that has to be done before this one; empty where all are."""
    before = _before_promotion(change)
    if not _has_begun(change):
        return before[0]
    if step in before:
        return ""
    if not (change.fenced or _is_fenced(change)):
        return before[-1]
    return "" if step == "promote" else "promote"


def _before_promotion(change: Change) -> list[str]:
    steps = list(change.TITLES)
    return steps[: steps.index("promote")]


def _has_begun(change: Change) -> bool:
    begun = change.cluster.topology.operation
    mine = {"kind": change.kind, "from": change.old.name, "to": change.new.name}
    return mine.items() <= begun.items()


def _is_fenced(change: Change) -> bool:
    engine, name = change.cluster.engine, change.old.name
    return engine.life(name).ended and engine.forbid_writes(name).done()
