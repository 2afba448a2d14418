"""An error that ends a notebook's cell, told in a few lines: the cause, and what to run.

`pgrepl_lib` is an extension of IPython, which a kernel beside it loads when it starts
(`cli/lab/opening.py`): after a restart any cell may come before the one that imports us.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from ..doors import outside
from ..errors import ParameterError, PgreplError
from ..journal.chapter import EXERCISES
from ..journal.chapter import OURS as NOTEBOOKS
from ..words.quoted import PYTHON, line, quoted
from ..words.text import Text, mark, t
from .cells import binding

CELL = "__main__"  # the module that cells are executed in
OURS = __name__.partition(".")[0]
QUOTES = mark(
    'texts stand in straight quotes ("docker"), yes and no are True and False; correct the line, '
    "and execute the cell again"
)
NOT_YET = mark(
    "`{name}` does not exist yet: what makes it was not executed since the kernel began."
)
BEFORE = mark("first execute the cell with `{code}` ({section}), then this one again")


def begin(shell: Any) -> None:
    """From now on."""
    shell.set_custom_exc((Exception, KeyboardInterrupt), _show)


def told(shell: Any, error: BaseException, trace: TracebackType | None) -> BaseException:
    """What is shown of an error of a cell: one of ours, or itself for what is a fault of ours."""
    if isinstance(error, PgreplError) or not _concerns_us(shell):
        return error
    return _from_outside(shell, error) or _mistake(shell, error, trace) or error


def _from_outside(shell: Any, error: BaseException) -> PgreplError | None:
    """What PostgreSQL, Docker or the system raised; with a cluster also what leads on."""
    cluster = shell.user_ns.get("cluster")
    if not hasattr(cluster, "topology"):
        return outside.told(error)
    from ..cluster.changes import unanswered  # a kernel that has only begun needs none of it

    return unanswered.told(error, cluster.engine, cluster.topology)


def _show(
    shell: Any, kind: type, error: BaseException, trace: TracebackType, tb_offset: Any = None
) -> None:
    """IPython's handler of errors that end a cell."""
    found = told(shell, error, trace)
    shell.showtraceback((type(found), found, trace), tb_offset=tb_offset)


def _concerns_us(shell: Any) -> bool:
    """Whether the notebook is a chapter or has used us; others are not ours to speak in."""
    return f"{OURS}.steps" in sys.modules or _chapter(shell) in NOTEBOOKS


def _chapter(shell: Any) -> str:
    """The notebook's name, as Jupyter's server or VS Code says it."""
    told = os.environ.get("JPY_SESSION_NAME") or shell.user_ns.get("__vsc_ipynb_file__") or ""
    path = Path(told)
    if path.parent.name == EXERCISES:
        return f"{EXERCISES}/{path.stem}"
    return path.stem


def _mistake(
    shell: Any, error: BaseException, trace: TracebackType | None
) -> ParameterError | None:
    """What is wrong in the cell itself, or was not executed before it; None where it is ours."""
    if isinstance(error, SyntaxError):
        code = (error.text or "").strip()
        cause = t("Line {number} cannot be read: `{code}`", number=error.lineno or 1, code=code)
        return ParameterError(cause, looked_at=[_said(error)], remedy=t(QUOTES))
    places = list(_places(trace))
    known = [m for m, _ in places if m == CELL or m.partition(".")[0] == OURS]
    if known and known[-1] != CELL:  # not even what a cell has handed to us
        return None
    if isinstance(error, NameError) and places[-1][0] == CELL:
        return _unknown(shell, error)
    number = next((n for module, n in reversed(places) if module == CELL), 1)
    cause = t("Line {number} of the cell could not be executed.", number=number)
    remedy = t("correct the line, and execute the cell again")
    return ParameterError(cause, looked_at=[_said(error)], remedy=remedy)


def _unknown(shell: Any, error: NameError) -> ParameterError:
    name, source = error.name or "", shell.user_ns.get("In", [""])[-1].strip()
    if found := binding(_chapter(shell), source, name):
        remedy = t(BEFORE, code=found.code, section=found.section)
        return ParameterError(t(NOT_YET, name=name), remedy=remedy)
    return ParameterError(t("`{name}` is not known here.", name=name), remedy=t(QUOTES))


def _places(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    """The modules and lines that it came through, the outermost first."""
    while trace:
        yield str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_lineno
        trace = trace.tb_next


def _said(error: BaseException) -> Text:
    words = error.msg if isinstance(error, SyntaxError) else str(error)
    return quoted(PYTHON, line(f"{type(error).__name__}: {words}"))
