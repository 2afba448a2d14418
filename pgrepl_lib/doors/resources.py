"""What pgrepl brings along beside its code: the chapters and the services' definition.

An installed package holds them in its own folder. In a checkout they lie beside that folder, where
people read and edit them. Both are only read.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def _shipped(name: str) -> Path:
    if (PACKAGE / name).exists():
        return PACKAGE / name
    return PACKAGE.parent / name


NOTEBOOKS = _shipped("notebooks")
COMPOSE_FILE = _shipped("docker-compose.yaml")


def checkout() -> Path | None:
    """The checkout that this code runs from; None for an installed package."""
    if NOTEBOOKS.parent == PACKAGE:
        return None
    return PACKAGE.parent
