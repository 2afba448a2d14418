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
COPIES = "chapters"  # in a cluster's folder: its user's copies of the chapters (`pgrepl lab`)


def checkout() -> Path | None:
    """The checkout that this code runs from; None for an installed package."""
    if NOTEBOOKS.parent == PACKAGE:
        return None
    return PACKAGE.parent


def among_chapters(folder: Path) -> bool:
    """Whether a folder is that of the chapters, or of a user's copies: JupyterLab starts kernels
    there."""
    own = folder.name == COPIES and any(folder.glob("00-*.ipynb"))
    return own or NOTEBOOKS.samefile(folder)
