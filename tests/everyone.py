"""A Python that every user of this machine may run: ours may lie in a folder of root's.

On a server one is installed where everybody may enter. Here it is the same files under another name (hard links), for the
tests and the measurement of a class.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgrepl_lib.doors.resources import COMPOSE_FILE, NOTEBOOKS, PACKAGE
from pgrepl_lib.engine.local.binaries import enterable_by_all


@contextmanager
def python_for_all() -> Iterator[tuple[str, dict[str, str]]]:
    """Its path, and the variables by which it finds pgrepl."""
    own = (Path(sys.executable).resolve(), Path(sys.prefix), PACKAGE)
    if all(map(enterable_by_all, own)):
        yield sys.executable, {"PYTHONPATH": str(PACKAGE.parent)}
        return
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-everyone-"))
    try:
        folder.chmod(0o755)
        libraries = {"LD_LIBRARY_PATH": str(folder / "base/lib")}  # of a Python built with its own
        yield _copied(folder), {"PYTHONPATH": str(folder / "checkout"), **libraries}
    finally:
        shutil.rmtree(folder)


def _copied(folder: Path) -> str:
    base, own = Path(sys.base_prefix), folder / "venv"
    ours = ((base, folder / "base", ("site-packages", "test")), (Path(sys.prefix), own, ()))
    for source, target, without in ours:
        left_out = shutil.ignore_patterns(*without)
        shutil.copytree(source, target, symlinks=True, copy_function=_link, ignore=left_out)
    for each in (PACKAGE, NOTEBOOKS):
        shutil.copytree(each, folder / "checkout" / each.name, copy_function=_link)
    _link(str(COMPOSE_FILE), str(folder / "checkout" / COMPOSE_FILE.name))
    program = folder / "base/bin" / Path(sys.executable).resolve().name
    for name in ("python", program.name):
        (own / "bin" / name).unlink(missing_ok=True)
        (own / "bin" / name).symlink_to(program)
    _rewritten(own / "pyvenv.cfg", str(base), str(folder / "base"))
    first = (own / "bin/pgrepl").read_text("utf-8").splitlines()[0]
    _rewritten(own / "bin/pgrepl", first, f"#!{own / 'bin/python'}")
    return str(own / "bin/python")


def _rewritten(path: Path, before: str, now: str) -> None:
    text, mode = path.read_text("utf-8"), path.stat().st_mode
    path.unlink()  # else the one that it is a link to would change, too
    path.write_text(text.replace(before, now), "utf-8")
    path.chmod(mode)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)
