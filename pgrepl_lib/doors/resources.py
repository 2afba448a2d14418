"""What pgrepl brings along beside its code: the chapters and the services' definition.

An installed package holds them in its own folder. In a checkout they lie beside that folder, where people read and
edit them. Both are only read.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def _shipped(name: str) -> Path:
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name


NOTEBOOKS = _shipped("notebooks")
COMPOSE_FILE = _shipped("docker-compose.yaml")


def checkout() -> Path | None:
    """The checkout that this code runs from; None for an installed package."""
    return None if NOTEBOOKS.parent == PACKAGE else PACKAGE.parent
