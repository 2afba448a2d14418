"""A reader who executes a chapter's cells in any order, some twice, and restarts the kernel in between."""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import nbformat

from pgrepl_lib import errors
from pgrepl_lib.errors import PgreplError
from pgrepl_lib.params import Params

from ..func.running import Values, pgrepl
from ..func.states import TWICE, leads_on
from ..remedies import commands_in, copied
from .chapters import CHAPTERS, NOTEBOOKS
from .kernels import Cells, Shown, in_this_process, opened

OURS = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, PgreplError)
}
FIRST = ("parametros", "abrir-cluster")
HINT = re.compile(r"execute antes a célula com `(.*?)` \((seção|capítulo) ?(\d\d)?")
DEEP = 5  # cells, each of which needs another one first
FOLLOWED = 0.7  # of the messages
NEARLY, KEPT = 0.5, 0.7  # how often
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

    def __init__(self, values: Values, drawn: random.Random, *, kernel: bool) -> None:
        """kernel: whether the cells have one, or are executed in this process, which is faster."""
        self.values, self.drawn, self.has_kernel = values, drawn, kernel
        self.told: list[str] = []
        self.kernel = ExitStack()

    def read(self, chapter: str) -> None:
        """One chapter, in an order of the reader's own."""
        found = cells(chapter, self.values)
        order = self._order(list(found))
        restart = self.drawn.choice([None, None, self.drawn.randrange(len(order))])
        with ExitStack() as self.kernel:
            self._restart(chapter)
            for number, name in enumerate(order):
                if number == restart:
                    self._restart(chapter)
                self._execute(chapter, name, found)

    def _order(self, order: list[str]) -> list[str]:
        """Any order, with two cells twice; or nearly the chapter's own, which leads further: some out of place or left out."""
        drawn = self.drawn
        if drawn.random() < NEARLY:
            for _ in range(drawn.randrange(1, 4)):
                cell = order.pop(drawn.randrange(len(order)))
                if drawn.random() < KEPT:
                    order.insert(drawn.randrange(len(order) + 1), cell)
            return order
        twice = drawn.choices(order, k=2)
        drawn.shuffle(order)
        if drawn.random() < FOLLOWED:  # begins as the chapter does
            order = [*FIRST, *(each for each in order if each not in FIRST)]
        return [*order, *twice]

    def _restart(self, chapter: str) -> None:
        self.kernel.close()
        if not self.has_kernel:
            self.notebook: Cells = self.kernel.enter_context(in_this_process(chapter))
            return
        folder = self.kernel.enter_context(tempfile.TemporaryDirectory())
        params = Params.parse(self.values)
        self.notebook = self.kernel.enter_context(opened(params, Path(folder), chapter))

    def _execute(self, chapter: str, name: str, found: dict[str, str], depth: int = 0) -> None:
        """One cell; where a message names another one first, the reader may follow it, then try again."""
        shown = self._shown(chapter, name, found[name])
        before = FIRST[0] if "a célula dos parâmetros" in shown.trace else ""
        if hint := HINT.search(shown.trace):
            before = next((n for n, source in found.items() if hint[1] in source), "")
        if before and depth < DEEP and self.drawn.random() < FOLLOWED:
            self._execute(chapter, before, found, depth + 1)
            self._shown(chapter, name, found[name])

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
            assert "corrija a causa" not in message or "Connection refused" not in message, where
            for hint, _, number in HINT.findall(message):
                (named,) = [c for c in CHAPTERS if c.startswith(number or chapter)]
                assert any(hint in source for source in cells(named, {}).values()), where
        return shown


def in_order(values: Values, chapters: Iterable[str]) -> None:
    """The chapters' cells as a run executes them, in this process; none fails."""
    for chapter in chapters:
        with in_this_process(chapter) as notebook:
            for name, source in cells(chapter, values).items():
                shown = notebook.run(source)
                assert not shown.error, f"{chapter}, {name}: {shown.trace}"


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
