"""What goes with an instance that is removed, in words."""

from __future__ import annotations

from collections.abc import Container, Sequence


def goes(name: str, replicas: Sequence[str], fenced: Container[str]) -> list[str]:
    """Before it is done. replicas, fenced: those that there are."""
    told = [f"{name} is removed with its data, files and slot"]
    if replicas == [name]:
        told.append("it is the last copy of the primary's data")
    if name in fenced:
        told.append("it was the primary: rows that nobody else has would be lost with it")
    return told
