"""Projects as earlier versions recorded them, each by the day of its version's last change."""

from __future__ import annotations

import tarfile
from pathlib import Path

PROJECTS = Path(__file__).with_name("projects.tar.xz")
VERSIONS = ("2026-11-24", "2026-11-28")


def unpacked(version: str, folder: Path) -> Path:
    """The folder of that version's project, in this one."""
    with tarfile.open(PROJECTS) as archive:
        archive.extractall(folder, filter="data")
    return folder / version / "demo"
