"""Our own commands in what a person reads name their cluster."""

from __future__ import annotations

from typing import Protocol

from .text import Text
from .verbs import completed


class Addressed(Protocol):
    """Something that a command finds by its options: the parameters of a cluster."""

    def options(self, *, anywhere: bool = False) -> list[str]:
        """Those that are not the default."""


def addressed(text: str, params: Addressed, *, anywhere: bool = False) -> str:
    """The text, with each of our commands in it naming its cluster.

    anywhere: the text says the same whoever makes it, and wherever, so that the work folder is
    always named.
    """
    options = "".join(f" {option}" for option in params.options(anywhere=anywhere))
    said = completed(text, options)
    if isinstance(text, Text):
        return Text.of(said, {**text.facts, "options": options})
    return said
