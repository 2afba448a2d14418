"""A folder that one process has for itself.

It is gone when that ends, or cleared by the next where it died.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import EnvironmentLacking, first_line
from ..words.text import mark, t

PREFIX = "pgrepl-process-"
REMEDY = mark(
    "free some space there, or name another folder in the variable TMPDIR; then run again"
)


@contextmanager
def own_folder() -> Iterator[Path]:
    """An empty folder among the temporary ones that only this user may enter.

    It is locked while this process lives, whatever numbers the processes of other containers have.
    Raises `EnvironmentLacking` where none can be made.
    """
    clear()
    folder, lock = _make()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear() -> None:
    """Remove this user's folders whose processes are dead."""
    with suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _remove_dead(folder)


def _make() -> tuple[Path, int]:
    try:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)  # another process has taken it for a dead one's
    except OSError as error:
        raise EnvironmentLacking(
            t("Cannot make a temporary folder: {error}.", error=first_line(error)),
            remedy=t(REMEDY),
        ) from error


def _remove_dead(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # another user's, or gone
        return
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # its process lives
    finally:
        os.close(lock)
