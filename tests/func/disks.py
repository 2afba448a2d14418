"""Small file systems of a test's own, and the moment when one is full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TRIES = 20


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[str]:
    """A file system in memory in this folder; yields why there is none, for a user who may not make one."""
    made = _mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield made.stderr.strip()
    finally:
        if not made.returncode:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(disk: Path, megabytes: int) -> None:
    """From now on it has room for so much."""
    _mount("-o", f"remount,size={megabytes}m", str(disk)).check_returncode()


def leave_free(disk: Path, megabytes: int) -> None:
    """As if somebody else had filled the disk but for this; who writes meanwhile needs more room."""
    for _ in range(TRIES):
        size = shutil.disk_usage(disk).used + megabytes * 1024**2
        done = _mount("-o", f"remount,size={size}", str(disk))
        if not done.returncode:
            return
    done.check_returncode()


def _mount(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *words], capture_output=True, text=True)
