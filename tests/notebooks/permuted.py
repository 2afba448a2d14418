"""A reader who executes a chapter's cells in any order, some twice, and restarts the kernel in between."""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import nbformat

from pgrepl_lib import errors
from pgrepl_lib.errors import PgreplError
from pgrepl_lib.params import Params

from ..func.running import Values, pgrepl
from ..func.states import TWICE, leads_on
from ..remedies import commands_in, copied
from .chapters import NOTEBOOKS
from .kernels import Shown, opened

OURS = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, PgreplError)
}
FIRST = ("parametros", "abrir-cluster")
HINT = re.compile(r"execute antes a célula com `(.*?)` \((?:seção|capítulo)")
LINES = 14  # of a message, with what a server's log says
LONG = 400  # characters of its first line


def cells(chapter: str, values: Values) -> dict[str, str]:
    """A chapter's cells by their ids, with these parameters typed into the cell for them."""
    found = {}
    for cell in nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells:
        if cell.cell_type == "code":
            found[cell.id] = cell.source
            if "parameters" in cell.metadata.get("tags", []):
                found[cell.id] += "".join(f"\n{n} = {v!r}" for n, v in values.items())
    return found


class Reader:
    """Executes cells, and requires of what is shown that it can be read."""

    def __init__(self, values: Values, drawn: random.Random) -> None:
        self.values, self.drawn = values, drawn
        self.told: list[str] = []
        self.kernel = ExitStack()

    def read(self, chapter: str) -> None:
        """One chapter, in an order of the reader's own."""
        found = cells(chapter, self.values)
        order = list(found)
        self.drawn.shuffle(order)
        if self.drawn.random() < 0.7:  # who begins as the chapter does, gets further
            order = [*FIRST, *(each for each in order if each not in FIRST)]
        order += self.drawn.choices(list(found), k=2)
        restart = self.drawn.choice([None, None, self.drawn.randrange(len(order))])
        with ExitStack() as self.kernel:
            self._restart()
            for number, name in enumerate(order):
                if number == restart:
                    self._restart()
                self._execute(chapter, name, found)

    def _restart(self) -> None:
        self.kernel.close()
        folder = self.kernel.enter_context(tempfile.TemporaryDirectory())
        params = Params.parse(self.values)
        self.notebook = self.kernel.enter_context(opened(params, Path(folder)))

    def _execute(self, chapter: str, name: str, found: dict[str, str]) -> None:
        """One cell; where a message names another one first, the reader may follow it."""
        shown = self._shown(chapter, name, found[name])
        for _ in range(4):
            hint = HINT.search(shown.trace)
            if not hint or self.drawn.random() < 0.3:
                return
            named = [n for n, source in found.items() if hint[1] in source]
            if not named:  # of another chapter
                return
            self._shown(chapter, named[0], found[named[0]])
            shown = self._shown(chapter, name, found[name])

    def _shown(self, chapter: str, name: str, source: str) -> Shown:
        start = time.monotonic()
        shown = self.notebook.run(source, 200)
        seconds = time.monotonic() - start
        message = shown.trace
        self.told.append(f"{seconds:5.1f} s  {chapter}, {name}: {shown.error} {message}")
        print(self.told[-1], flush=True)
        if shown.error:
            first, *rest = message.splitlines()
            where = "\n".join([*self.told[-12:], *shown.texts])
            assert shown.error in OURS and not shown.framed(), where
            assert len(first) < LONG and len(rest) < LINES, where
            assert shown.error == "CheckFailed" or "o que fazer" in message, where
        return shown


def come_back(values: Values) -> Iterator[str]:
    """`pgrepl run`, until it completes; what it names first, where roles are being changed. Gives what was done."""
    tried: list[str] = []
    while True:
        done = pgrepl("run", values)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        yield f"run: {done.returncode}"
        if done.returncode == 0:
            return
        ways = [c for c in commands_in(said) if leads_on(c) and not c.startswith("pgrepl run")]
        left = [c for c in ways if tried.count(c) < TWICE]
        assert left, f"no way back, after {tried}:\n{said}"
        tried.append(left[0])
        done = copied(left[0])
        yield f"{left[0]}: {done.returncode}"
