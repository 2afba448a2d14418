"""Chapters executed one after the other, with one kernel for all and a folder of evidence."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
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
from ..logins.tls.refusing import require_let_in
from ..steps.cluster import Cluster, open_cluster
from ..words.text import t
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
) -> None:
    """Execute chapters in order, and leave the evidence of it.

    Inside `kernel.begun`. values: the parameters as given. bar: whether papermill draws its
    progress bar. key: the file of the key that signs. resumes: the name of the run that this one
    goes on with. Raises what `keys.signer` and `open_cluster` do before anything is touched; then
    `ProjectBusy`, `ChapterFailed`, `Interrupted`.
    """
    signer, cluster = keys.signer(key), open_cluster(**values)
    require_none(cluster)
    require_let_in(cluster)
    with run_lock(cluster.folder):
        session = RunSession(cluster, Path(os.environ[audit.RUN_FOLDER]), signer)
        session.begin(chapters, resumes)
        session.execute(chapters, bar)


class RunSession:
    """A run that goes on: the cluster, the folder of its evidence, and what is recorded there."""

    def __init__(self, cluster: Cluster, folder: Path, signer: CryptoSigner) -> None:
        self.cluster, self.folder, self.signer = cluster, folder, signer
        self.journal, self.started = audit.Journal(folder), time.monotonic()

    def begin(self, chapters: Sequence[str], resumes: str) -> None:
        """Begin the records: what the run is to do, with what, and where."""
        make_folder(self.folder)
        # First: this is what orders the runs.
        audit.Journal.of_project(self.cluster.folder).record("run", run=self.folder.name)
        facts = {"chapters": list(chapters), "params": self.cluster.params.plain()}
        if resumes:
            facts["resumes"] = resumes
        name = self.folder.name
        self.journal.record("run", name=name, pid=os.getpid(), **provenance.facts(), **facts)

    def execute(self, chapters: Iterable[str], bar: bool) -> None:
        """Execute the chapters; however that ends, the run's folder says so."""
        exports, status = evidence.Exporter(self.folder), "failed"
        try:
            with recorded.following(self.cluster, self.folder.name) as left:
                for chapter in chapters:
                    self._execute(chapter, bar)
                    exports.add(self.folder / f"{chapter}.ipynb")
            self.journal.record("state", **left)
            self._complete(exports)
            status = "completed"
        except (Interrupted, KeyboardInterrupt):
            status = "interrupted"
            raise
        finally:
            if status != "completed":
                self._leave_what_there_is(exports, status)

    def _execute(self, chapter: str, bar: bool) -> None:
        self._say(chapter, "running")
        terminal.tell(chapter)
        try:
            execute(chapter, self.cluster.params, self.folder, bar)
        except ChapterFailed as error:
            self._say(chapter, "failed", error=error.error_name)
            raise
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            _each(partial(self._say, chapter, status))
            raise
        self._say(chapter, "completed")

    def _say(self, chapter: str, status: str, **facts: str) -> None:
        self.journal.record("chapter", chapter=chapter, status=status, **facts)

    def _complete(self, exports: evidence.Exporter) -> None:
        """Leave all evidence, and say last that the run completed.

        One that is killed meanwhile has not.
        """
        seconds = self._seconds()
        exports.finish(self._notebooks())
        ended = Run(self.folder, self.journal.line("end", status="completed", seconds=seconds))
        evidence.leave(ended, self.signer)
        ended.journal.end()

    def _leave_what_there_is(self, exports: evidence.Exporter, status: str) -> None:
        _each(
            # First: a disk that is full may hold no more than this.
            partial(self.journal.record, "end", status=status, seconds=self._seconds()),
            partial(exports.finish, self._notebooks()),
            self._leave_evidence,
        )

    def _leave_evidence(self) -> None:
        evidence.leave(Run(self.folder), self.signer)

    def _notebooks(self) -> list[Path]:
        return sorted(self.folder.glob("*.ipynb"))

    def _seconds(self) -> float:
        return round(time.monotonic() - self.started, 3)


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
        terminal.tell(t("pgrepl: the evidence is not complete: {error}", error=each))
