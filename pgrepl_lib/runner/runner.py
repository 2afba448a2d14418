"""Chapters executed one after the other, with one kernel for all and a folder of evidence."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks.hanging import require_none
from ..doors import terminal
from ..doors.files import make_folder
from ..drift import recorded
from ..errors import Interrupted
from ..evidence import evidence
from ..evidence.signing import keys
from ..journal import audit, provenance
from ..journal.lock import run_lock
from ..journal.runs import Run
from ..params import Params
from ..steps.cluster import Cluster, open_cluster
from .execution import ChapterFailed, execute

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner


def run(
    values: Mapping[str, Any],
    chapters: Sequence[str],
    *,
    bar: bool,
    key: Path | None = None,
    resumes: str = "",
) -> Path:
    """Execute chapters in order; returns the run's folder.

    Inside `kernel.begun`. values: the parameters as given. bar: whether papermill draws its
    progress bar. key: the file of the key that signs. resumes: the name of the run that this one
    goes on with. Raises what `keys.signer` and `open_cluster` do before anything is touched; then
    `ProjectBusy`, `ChapterFailed`, `Interrupted`.
    """
    params, signer = Params.parse(values), keys.signer(key)
    cluster = open_cluster(**values)
    require_none(cluster)
    folder = Path(os.environ[audit.RUN_FOLDER])
    with run_lock(params.folder):
        make_folder(folder)
        journal = audit.Journal(folder)
        # First: this is what orders the runs.
        audit.Journal.of_project(params.folder).record("run", run=folder.name)
        more = {"resumes": resumes} if resumes else {}
        made_of = {"name": folder.name, "chapters": list(chapters), "params": params.plain()}
        journal.record("run", **made_of, pid=os.getpid(), **provenance.facts(), **more)
        _recorded(cluster, chapters, folder, journal, bar, signer)
    return folder


def _recorded(
    cluster: Cluster,
    chapters: Sequence[str],
    folder: Path,
    journal: audit.Journal,
    bar: bool,
    signer: CryptoSigner,
) -> None:
    """Execute the chapters; however that ends, the run's folder says so."""
    exports, status, started = evidence.Exporter(folder), "failed", time.monotonic()
    try:
        with recorded.following(cluster, folder.name) as left:
            for chapter in chapters:
                _execute(chapter, cluster.params, folder, journal, bar)
                exports.add(folder / f"{chapter}.ipynb")
        journal.record("state", **left)
        _complete(folder, journal, exports, signer, _since(started))
        status = "completed"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        raise
    finally:
        if status != "completed":
            _each(
                # First: a disk that is full may hold no more than this.
                lambda: journal.record("end", status=status, seconds=_since(started)),
                lambda: exports.finish(sorted(folder.glob("*.ipynb"))),
                lambda: evidence.leave(Run(folder), signer),
            )


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _complete(
    folder: Path,
    journal: audit.Journal,
    exports: evidence.Exporter,
    signer: CryptoSigner,
    seconds: float,
) -> None:
    """Leave all evidence, and say last that the run completed.

    One that is killed meanwhile has not.
    """
    exports.finish(sorted(folder.glob("*.ipynb")))
    run = Run(folder, journal.line("end", status="completed", seconds=seconds))
    evidence.leave(run, signer)
    run.journal.end()


def _each(*parts: Callable[[], object]) -> None:
    """Do all of them, whichever fails; then raise the first error.

    Unless one is on its way that caused them.
    """
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
    journal.record("chapter", chapter=chapter, status="running")
    terminal.tell(chapter)
    try:
        execute(chapter, params, folder, bar)
    except ChapterFailed as error:
        journal.record("chapter", chapter=chapter, status="failed", error=error.error_name)
        raise
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        _each(lambda: journal.record("chapter", chapter=chapter, status=status))
        raise
    journal.record("chapter", chapter=chapter, status="completed")
