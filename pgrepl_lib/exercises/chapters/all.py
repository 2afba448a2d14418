"""All exercises by name, in the order of the chapters."""

from difflib import get_close_matches
from operator import attrgetter

from ...errors import ParameterError
from ...steps.cluster import Cluster
from ...words.text import mark, t
from ..registry import EXERCISES, Exercise
from . import (  # noqa: F401 - they register themselves
    failover,
    failures,
    monitoring,
    primary,
    replica,
    security,
    switchover,
    synchronous,
    verification,
)

ALL = {each.name: each for each in sorted(EXERCISES.values(), key=attrgetter("chapter", "number"))}
LIST = mark("`pgrepl exercise list` shows all")
UNKNOWN = mark("There is no exercise {name}.")


def find(cluster: Cluster, name: str) -> Exercise:
    """The exercise of this name, or of this place ("04.1"); raises `ParameterError` for none."""
    places = {each.place: each for each in ALL.values()}
    if found := ALL.get(name) or places.get(name.zfill(len("04.1"))):
        return found
    remedy = t(LIST)
    if similar := get_close_matches(name, ALL, n=1):
        remedy = t("{name} is meant? `pgrepl exercise list` shows all", name=similar[0])
    raise ParameterError(t(UNKNOWN, name=repr(name)), remedy=cluster.addressed(remedy))


def numbered(cluster: Cluster, chapter: str, number: int) -> Exercise:
    """The exercise of this number in a chapter (such as "06"); raises `ParameterError`."""
    for each in ALL.values():
        if (each.chapter, each.number) == (chapter, number):
            return each
    cause = t("Chapter {chapter} has no exercise {number}.", chapter=chapter, number=number)
    raise ParameterError(cause, remedy=cluster.addressed(t(LIST)))
