"""What goes with an instance that is removed, in words."""

from __future__ import annotations

from collections.abc import Container, Sequence

from .text import t


def goes(name: str, replicas: Sequence[str], fenced: Container[str]) -> list[str]:
    """Before it is done. replicas, fenced: those that there are."""
    told: list[str] = [t("{name} is removed with its data, files and slot", name=name)]
    if replicas == [name]:
        told.append(t("it is the last copy of the primary's data"))
    if name in fenced:
        told.append(t("it was the primary: rows that nobody else has would be lost with it"))
    return told
