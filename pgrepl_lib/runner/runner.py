"""Chapters through papermill, with one kernel for all of them and a folder of evidence."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Only a JupyterLab environment has this module; importing it costs more than everything else that papermill needs,
# and nothing here validates what it is for.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import nbformat
from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from papermill.iorw import LocalHandler, papermill_io
from tqdm import tqdm

from ..checks.hanging import require_none
from ..doors import terminal
from ..doors.files import make_folder, write_atomic
from ..doors.resources import NOTEBOOKS
from ..doors.show import VERDICTS
from ..drift import recorded
from ..errors import Interrupted, PgreplError, exit_code_of
from ..evidence import evidence, keys
from ..journal import audit, provenance
from ..journal.lock import run_lock
from ..journal.records import check_verdict
from ..journal.runs import Run
from ..params import Params
from ..steps.ask import Declined
from ..steps.cluster import Cluster, open_cluster
from ..words.commands import addressed
from ..words.legible import legible
from .kernel import SharedKernel

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

INTERRUPT_SECONDS = 15  # for the running cell to end by itself; then the kernel is ended
BANNER = {
    "interrupted": "⚠️ **Esta execução foi interrompida** antes do fim deste capítulo. Nada se perdeu: "
    "execute de novo (`pgrepl run --resume`) e ela continua de onde parou.",
    "failed": "❌ **Este capítulo falhou** na célula marcada abaixo: leia a causa e o que fazer, corrija e execute de novo.",
    "killed": "❌ **Este capítulo falhou**: o processo que o executa terminou durante a célula marcada abaixo (foi "
    "morto, ou faltou memória). Execute de novo (`pgrepl run --resume`) e ele continua de onde "
    "parou.",
}


class ChapterFailed(PgreplError):
    """A cell of a chapter failed; carries the exit code of the error behind it."""

    def __init__(self, chapter: str, error_name: str, text: str, notebook: Path) -> None:
        super().__init__(f"Chapter {chapter} stopped: {text}", looked_at=[f"notebook {notebook}"])
        self.chapter = chapter
        self.exit_code = exit_code_of(error_name)


class Teller:
    """Says on standard error what the kernel records: one line a step or check."""

    told = 0

    @classmethod
    def tell(cls) -> None:
        folder = os.environ.get(audit.RUN_FOLDER)
        entries = list(audit.Journal(Path(folder)).entries()) if folder else []
        for entry in entries[cls.told :]:
            if entry["kind"] == "step":
                tqdm.write(legible(f"  {entry['outcome']:>11}  {entry['title']}"), file=sys.stderr)
            elif entry["kind"] == "check":
                verdict = check_verdict(entry)
                told = f"{VERDICTS[verdict]} {verdict}"
                tqdm.write(legible(f"  {told:>11}  {entry['title']}"), file=sys.stderr)
        cls.told = len(entries)


class Client(PapermillNotebookClient):
    """Executes a chapter; a signal lets the running cell end first, so that its step is recorded."""

    pending: asyncio.Future[Any] | None = None

    def papermill_execute_cells(self) -> None:
        loop = asyncio.get_event_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.interrupt)
        super().papermill_execute_cells()

    def interrupt(self) -> None:
        """Interrupt the cell that runs; end the kernel where that does not help."""
        first, SharedKernel.interrupted = not SharedKernel.interrupted, True
        self.pending = asyncio.ensure_future(
            self.km.interrupt_kernel() if first else self.km.shutdown_kernel(now=True)
        )
        if first:
            asyncio.get_event_loop().call_later(
                INTERRUPT_SECONDS, self._end_if_running, self.nb_man
            )

    def execute_cell(self, cell: Any, cell_index: int, **more: Any) -> Any:
        if SharedKernel.interrupted:
            self.nb_man.cell_exception(
                cell, cell_index=cell_index
            )  # papermill would call it completed
            raise Interrupted("The run was interrupted.", remedy="running again goes on")
        try:
            return super().execute_cell(cell, cell_index, **more)
        except CellExecutionError as error:
            SharedKernel.interrupted |= error.ename == Declined.__name__
            raise
        finally:
            Teller.tell()

    def _end_if_running(self, chapter: Any) -> None:
        if SharedKernel.client and SharedKernel.client.nb_man is chapter:
            self.pending = asyncio.ensure_future(self.km.shutdown_kernel(now=True))


class SharedKernelEngine(NBClientEngine):
    """papermill's nbclient engine with a kernel that outlives a notebook, and a status that is always true."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
        client = Client(nb_man, kernel_name=kernel_name, timeout=None)
        nb_man.now = _steady_clock(nb_man)
        nb_man.nb.metadata["pgrepl"] = {"status": "running"}
        killed = None
        try:
            try:
                SharedKernel.lend(client)
            except RuntimeError as error:
                raise DeadKernelError(str(error)) from error
            client.execute(cleanup_kc=False)
        except (DeadKernelError, Interrupted) as error:
            cls._mark_unfinished(nb_man)
            killed = None if SharedKernel.interrupted else error
        failed = any(c.metadata.papermill.get("exception") for c in nb_man.nb.cells)
        status = "interrupted" if SharedKernel.interrupted else "failed" if failed else "completed"
        nb_man.nb.metadata["pgrepl"] = {"status": status}
        if text := BANNER.get("killed" if killed else status):
            cls._say_first(nb_man, addressed(text, options["params"]), status)
        again = "run again: it goes on where it stopped (`pgrepl run --resume`)"
        if SharedKernel.interrupted:
            raise Interrupted(
                "The run was interrupted.", remedy=addressed(again, options["params"])
            )
        if killed:
            raise PgreplError(
                "The kernel, which executes the cells, ended: it was killed, or there was no more memory.",
                remedy=addressed(again, options["params"]),
            ) from killed

    @staticmethod
    def _say_first(nb_man: Any, text: str, status: str) -> None:
        told = nbformat.v4.new_markdown_cell(text, metadata={"papermill": {"status": status}})
        nb_man.nb.cells.insert(0, told)

    @staticmethod
    def _mark_unfinished(nb_man: Any) -> None:
        """papermill would call every cell that did not run completed; a failed one stops it from that."""
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


def _steady_clock(nb_man: Any) -> Callable[[], Any]:
    """The time since the notebook began, however the machine's clock is set meanwhile: no cell ends before it starts."""
    began, started = nb_man.start_time, time.monotonic()
    return lambda: began + timedelta(seconds=time.monotonic() - started)


def run(
    values: Mapping[str, Any],
    chapters: Sequence[str],
    *,
    bar: bool,
    key: Path | None = None,
    resumes: str = "",
) -> Path:
    """Execute chapters in order; returns the run's folder.

    values: the parameters as given. Inside `kernel.begun`. bar: whether papermill draws its progress bar. key: the file of
    the key that signs. resumes: the name of the run that this one goes on with. Raises what `keys.signer` and `open_cluster`
    do before anything is touched; then `ProjectBusy`, `ChapterFailed`, `Interrupted`.
    """
    params, signer = Params.parse(values), keys.signer(key)
    cluster = open_cluster(**values)
    require_none(cluster)
    folder = Path(os.environ[audit.RUN_FOLDER])
    with run_lock(params.folder):
        make_folder(folder)
        _recorded(
            cluster, params, chapters, folder, bar, signer, {"resumes": resumes} if resumes else {}
        )
    return folder


def _recorded(
    cluster: Cluster,
    params: Params,
    chapters: Sequence[str],
    folder: Path,
    bar: bool,
    signer: CryptoSigner,
    more: dict[str, str],
) -> None:
    """Execute the chapters; however that ends, the run's folder says so."""
    journal, exports, status = audit.Journal(folder), evidence.Exporter(folder), "failed"
    # First: this is what orders the runs.
    audit.Journal.of_project(params.folder).record("run", run=folder.name)
    journal.record(
        "run",
        name=folder.name,
        chapters=list(chapters),
        params=params.plain(),
        pid=os.getpid(),
        **provenance.facts(),
        **more,
    )
    started = time.monotonic()
    try:
        with recorded.following(cluster, folder.name) as left:
            for chapter in chapters:
                _execute(chapter, params, folder, journal, bar)
                exports.add(folder / f"{chapter}.ipynb")
        journal.record("state", **left)
        _complete(folder, journal, exports, signer, time.monotonic() - started)
        status = "completed"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        raise
    finally:
        if status != "completed":
            _each(
                # First: a disk that is full may hold no more than this.
                lambda: journal.record(
                    "end", status=status, seconds=round(time.monotonic() - started, 3)
                ),
                lambda: exports.finish(sorted(folder.glob("*.ipynb"))),
                lambda: evidence.leave(Run(folder), signer),
            )


def _complete(
    folder: Path,
    journal: audit.Journal,
    exports: evidence.Exporter,
    signer: CryptoSigner,
    seconds: float,
) -> None:
    """Leave all evidence, and say last that the run completed: one that is killed meanwhile has not."""
    exports.finish(sorted(folder.glob("*.ipynb")))
    run = Run(folder, journal.line("end", status="completed", seconds=round(seconds, 3)))
    evidence.leave(run, signer)
    run.journal.end()


def _each(*parts: Callable[[], object]) -> None:
    """Do all of them, whichever fails; then raise the first error, unless one is on its way that caused them."""
    on_its_way, errors = sys.exc_info()[1], list[Exception]()
    for part in parts:
        try:
            part()
        except Exception as error:
            errors.append(error)
    if errors and not on_its_way:
        raise errors[0]
    for each in errors:
        terminal.tell(f"pgrepl: the evidence is not complete: {each}")


def _execute(chapter: str, params: Params, folder: Path, journal: audit.Journal, bar: bool) -> None:
    target = folder / f"{chapter}.ipynb"
    journal.record("chapter", chapter=chapter, status="running")
    given = {**params.plain(), "workdir": str(params.workdir)}
    terminal.tell(chapter)
    try:
        execute_notebook(
            NOTEBOOKS / f"{chapter}.ipynb",
            target,
            given,
            engine_name="pgrepl",
            progress_bar=bar,
            autosave_cell_every=0,
            params=params,
        )
    except PapermillExecutionError as error:
        journal.record("chapter", chapter=chapter, status="failed", error=error.ename)
        raise ChapterFailed(chapter, error.ename, error.evalue, target) from None
    except CellExecutionError as error:
        raise ChapterFailed(chapter, error.ename, error.evalue, target) from None
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        _each(lambda: journal.record("chapter", chapter=chapter, status=status))
        raise
    journal.record("chapter", chapter=chapter, status="completed")
