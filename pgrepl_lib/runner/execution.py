"""A chapter through papermill: what its engine, its client and its files do in our own way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

# Only a JupyterLab environment has these modules; importing them costs more than everything else
# that papermill needs, and nothing here validates what they are for.
for _unused in ("rfc3987_syntax", "rfc3986_validator", "isoduration", "webcolors", "fqdn"):
    sys.modules.setdefault(_unused, None)  # type: ignore[arg-type]

import nbformat
from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from papermill.iorw import LocalHandler, papermill_io
from tqdm import tqdm

from ..doors.files import write_atomic
from ..doors.resources import NOTEBOOKS
from ..doors.show import VERDICTS
from ..errors import Interrupted, PgreplError, exit_code_of
from ..journal import audit
from ..journal.records import check_verdict
from ..params import Params
from ..steps.ask import Declined
from ..words import outcomes
from ..words.commands import addressed
from ..words.legible import legible
from ..words.text import again, mark, t
from .kernel import SharedKernel

INTERRUPT_SECONDS = 15  # for the running cell to end by itself; then the kernel is ended
BANNER = {
    "interrupted": "⚠️ **Esta execução foi interrompida** antes do fim deste capítulo. "
    "Nada se perdeu: execute de novo (`pgrepl run --resume`) e ela continua de onde parou.",
    "failed": "❌ **Este capítulo falhou** na célula marcada abaixo: leia a causa e o que "
    "fazer, corrija e execute de novo.",
    "killed": "❌ **Este capítulo falhou**: o processo que o executa terminou durante a célula "
    "marcada abaixo (foi morto, ou faltou memória). Execute de novo (`pgrepl run --resume`) e ele "
    "continua de onde parou.",
}
INJECTED = "injected-parameters"  # the tag of papermill's own cell, and our id for it
INTERRUPTED = mark("The run was interrupted.")
AGAIN = mark("run again: it goes on where it stopped (`pgrepl run --resume`)")
KILLED = mark(
    "The kernel, which executes the cells, ended: it was killed, or there was no more memory."
)


class ChapterFailed(PgreplError):
    """A cell of a chapter failed; carries the exit code of the error behind it."""

    def __init__(self, chapter: str, error_name: str, text: str, notebook: Path) -> None:
        cause = t("Chapter {chapter} stopped: {text}", chapter=chapter, text=text)
        super().__init__(cause, looked_at=[t("notebook {file}", file=notebook)])
        self.chapter, self.error_name = chapter, error_name
        self.exit_code = exit_code_of(error_name)


class Teller:
    """Says on standard error what the kernel records: one line a step or check."""

    told = 0

    @classmethod
    def tell(cls) -> None:
        folder = os.environ.get(audit.RUN_FOLDER)
        entries = list(audit.Journal(Path(folder)).entries()) if folder else []
        for entry in entries[cls.told :]:
            if told := _told(entry):
                title = audit.said(entry, "title")
                tqdm.write(legible(f"  {told:>11}  {title}"), file=sys.stderr)
        cls.told = len(entries)


def _told(entry: Mapping[str, Any]) -> str:
    """How a step or check ended; empty for what else is recorded."""
    if entry["kind"] == "step":
        return outcomes.said(str(entry["outcome"]))
    if entry["kind"] == "check":
        verdict = check_verdict(entry)
        return f"{VERDICTS[verdict]} {outcomes.said(verdict)}"
    return ""


class Client(PapermillNotebookClient):
    """Executes a chapter. A signal lets the running cell end first: so its step is recorded."""

    pending: asyncio.Future[Any] | None = None

    def __init__(self, nb_man: Any, kernel_name: str) -> None:
        # nbclient calls it once the kernel has the cell: so what the cells before it left is
        # written while this one runs.
        super().__init__(nb_man, kernel_name=kernel_name, timeout=None, on_cell_complete=self.save)

    def save(self, **cell: Any) -> None:
        """Write the notebook as it is; papermill's own writing would check it each time."""
        papermill_io.write(json.dumps(self.nb_man.nb, ensure_ascii=False), self.nb_man.output_path)

    def papermill_execute_cells(self) -> None:
        loop = asyncio.get_event_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.interrupt)
        super().papermill_execute_cells()

    def interrupt(self) -> None:
        """Interrupt the cell that runs; end the kernel where that does not help."""
        if SharedKernel.interrupted:
            self.pending = asyncio.ensure_future(self.km.shutdown_kernel(now=True))
            return
        SharedKernel.interrupted = True
        self.pending = asyncio.ensure_future(self.km.interrupt_kernel())
        asyncio.get_event_loop().call_later(INTERRUPT_SECONDS, self._end_if_running, self.nb_man)

    def execute_cell(self, cell: Any, cell_index: int, **more: Any) -> Any:
        if SharedKernel.interrupted:
            # Else papermill would call it completed.
            self.nb_man.cell_exception(cell, cell_index=cell_index)
            raise Interrupted(t(INTERRUPTED), remedy=t("running again goes on"))
        try:
            return super().execute_cell(cell, cell_index, **more)
        except CellExecutionError as error:
            SharedKernel.interrupted |= error.ename == Declined.__name__
            SharedKernel.error = SharedKernel.last_error()
            raise
        finally:
            Teller.tell()

    def _end_if_running(self, chapter: Any) -> None:
        if SharedKernel.client and SharedKernel.client.nb_man is chapter:
            self.pending = asyncio.ensure_future(self.km.shutdown_kernel(now=True))


class SharedKernelEngine(NBClientEngine):
    """papermill's nbclient engine with a kernel that outlives a notebook.

    The status that the notebook carries is always true.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
        nb_man.now = _steady_clock(nb_man)
        nb_man.nb.metadata["pgrepl"] = {"status": "running"}
        cls._name_parameters(nb_man.nb)
        killed = cls._execute(Client(nb_man, kernel_name))
        status = cls._status(nb_man.nb)
        nb_man.nb.metadata["pgrepl"] = {"status": status}
        if text := BANNER.get("killed" if killed else status):
            cls._say_first(nb_man, addressed(text, options["params"]), status)
        again = addressed(t(AGAIN), options["params"])
        if SharedKernel.interrupted:
            raise Interrupted(t(INTERRUPTED), remedy=again)
        if killed:
            raise PgreplError(t(KILLED), remedy=again) from killed

    @classmethod
    def _execute(cls, client: Client) -> Exception | None:
        """Execute the cells; returns the error where the kernel ended, and nobody wanted that."""
        client.nb_man.save = _not_yet  # papermill's own: before and after each cell, of text too
        try:
            try:
                SharedKernel.lend(client)
            except RuntimeError as error:
                raise DeadKernelError(str(error)) from error
            client.execute(cleanup_kc=False)
        except (DeadKernelError, Interrupted) as error:
            cls._mark_unfinished(client.nb_man)
            if not SharedKernel.interrupted:
                return error
        finally:
            del client.nb_man.save
        return None

    @staticmethod
    def _name_parameters(notebook: Any) -> None:
        """The cell has the same id in each run: papermill's would differ, and so would chapters."""
        for cell in notebook.cells:
            if INJECTED in cell.metadata.get("tags", []):
                cell.id = INJECTED

    @staticmethod
    def _status(notebook: Any) -> str:
        if SharedKernel.interrupted:
            return "interrupted"
        if any(cell.metadata.papermill.get("exception") for cell in notebook.cells):
            return "failed"
        return "completed"

    @staticmethod
    def _say_first(nb_man: Any, text: str, status: str) -> None:
        told = nbformat.v4.new_markdown_cell(text, metadata={"papermill": {"status": status}})
        nb_man.nb.cells.insert(0, told)

    @staticmethod
    def _mark_unfinished(nb_man: Any) -> None:
        """A failed cell: without one papermill would call all that did not run completed."""
        if any(cell.metadata.papermill["status"] == nb_man.FAILED for cell in nb_man.nb.cells):
            return
        for cell in nb_man.nb.cells:
            if cell.metadata.papermill["status"] in (nb_man.PENDING, nb_man.RUNNING):
                cell.metadata.papermill.update(status=nb_man.FAILED, exception=True)
                return


papermill_engines.register("pgrepl", SharedKernelEngine)


class WholeFiles(LocalHandler):
    """Executed notebooks are replaced as a whole: one whose runner was killed can be read."""

    def write(self, buf: str, path: str) -> None:
        write_atomic(Path(path), buf, durable=False)


papermill_io.register("/", WholeFiles())


def _not_yet() -> None:
    """`Client.save` writes the notebook while a cell runs."""


def _steady_clock(nb_man: Any) -> Callable[[], datetime]:
    """The time since the notebook began: no cell ends before it starts, however a clock is set."""
    began, started = nb_man.start_time, time.monotonic()

    def now() -> datetime:
        return began + timedelta(seconds=time.monotonic() - started)  # type: ignore[no-any-return]

    return now


def execute(chapter: str, params: Params, folder: Path, bar: bool) -> None:
    """Execute a chapter, and leave it in this folder. bar: whether to draw a progress bar.

    Raises `ChapterFailed`, `Interrupted`, or `PgreplError` where the kernel ended.
    """
    target = folder / f"{chapter}.ipynb"
    try:
        execute_notebook(
            NOTEBOOKS / f"{chapter}.ipynb",
            target,
            {**params.plain(), "workdir": str(params.workdir)},
            engine_name="pgrepl",
            progress_bar=bar,
            autosave_cell_every=0,
            params=params,
        )
    except (PapermillExecutionError, CellExecutionError) as error:
        text = again(SharedKernel.error, error.evalue)
        raise ChapterFailed(chapter, error.ename, text, target) from None
