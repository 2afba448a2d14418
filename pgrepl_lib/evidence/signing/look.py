"""One look at a run's folder: signature, journal, files, and that they agree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...doors import files
from ...errors import ParameterError
from ...journal import audit, runs
from ...journal.records import NO_RECORDS
from ...words.text import counted, mark, t
from . import attestation, keys, succession
from .findings import MUST_BE_NAMED, Finding, Proof, Verification
from .statements import (
    CHECKS,
    SIGNER,
    STATEMENT,
    ChecksStatement,
    Lines,
    RunStatement,
    Subject,
    holds,
    opened,
)

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

Kind = TypeVar("Kind", RunStatement, ChecksStatement)
MISSING = mark("is missing")
CHANGED = mark("is not the file that was signed")
UNSIGNED = {  # by a run's status
    "running": mark("the run goes on and is not signed"),
    "killed": mark("the run never ended and is not signed"),
    "manual": mark("it is of no run and is not signed"),
}
NO_STATEMENT = mark("the run was not signed when it had ended, or this file was removed")
UNKNOWN_KEY = mark(
    "is signed by key {key}, which is not known here: if the signer says that this is "
    "their key, name it with --key (a copy is {file})"
)


class Look:
    """What it says is added to the result in the order in which it is looked at."""

    def __init__(self, run: runs.Run, known: SSlibKey | None, project: Path | None) -> None:
        self.run, self.known, self.project = run, known, project
        self.signer: SSlibKey | None = None  # whom the statement's signature holds for
        self.read: set[str] = set()  # the statements whose signature holds
        self.compared: set[str] = set()  # the files that are as the statement names them
        # Everything in the folder, and whether it is a plain file.
        self.present: dict[str, bool] = {}
        self.result = Verification(run=run.name)

    def add(self, where: str, what: str, line: int | None = None) -> None:
        """Put down what is wrong, once."""
        if (found := Finding(where, what, line)) not in self.result.findings:
            self.result.findings.append(found)

    def conclude(self) -> None:
        """Put down what the verdict rests on; where that is not complete, something says why."""
        known = self.signer is not None and self.signer == self.known
        self.result.proof = Proof(known, frozenset(self.read), frozenset(self.compared))
        if not self.result.proof.complete and not self.result.findings:
            self.add(STATEMENT, t("was not read and compared as a whole"))

    def over(self) -> None:
        """Look at everything in the folder. Raises `OSError` for what cannot be read."""
        if not os.path.lexists(self.run.folder / STATEMENT):
            self._unsigned()
            return
        self.present = dict(attestation.contents(self.run.folder))
        for name in (n for n, plain in self.present.items() if not plain):
            self.add(name, self._no_file(name))
        if statement := self._statement(STATEMENT, RunStatement):
            self._signed(statement)
        elif self.present.get(audit.FILE):
            self._chain()

    def _signed(self, statement: RunStatement) -> None:
        """Compare everything with the run's statement."""
        said, result = statement.predicate, self.result
        result.run, result.project, result.status = said.run, said.project, said.status
        result.lines, result.files = len(said.journal.hashes), len(statement.subject)
        self._lines(said.journal)
        self._subjects(statement.subject)
        self._checks()
        self._agreement(statement)
        if self.project:
            for found in succession.of_run(self.run, said, self.project):
                self.add(found.where, found.what, found.line)

    def _no_file(self, name: str) -> str:
        """What is wrong with something that is no plain file."""
        path = self.run.folder / name
        if path.is_dir() and not path.is_symlink():
            return t("is an empty folder, which no signature covers")
        return t("is a link or a device, not a file of the run")

    def _unsigned(self) -> None:
        """The run goes on, or was killed, or could not be signed, or its statement is gone."""
        journal = self.run.folder / audit.FILE
        if not journal.is_file() or journal.is_symlink():
            missing = t(
                "is missing, and so is the journal: this is not the folder of a run, "
                "or not all of it"
            )
            self.add(STATEMENT, missing)
            return
        self._chain()
        self.result.lines, _ = self.run.journal.tally()
        self.result.status = self.run.status
        why = t(UNSIGNED.get(self.result.status, NO_STATEMENT))
        if not self.result.findings:
            line = self.result.lines
            why = t("the chain holds up to line {line}, but {why}", line=line, why=why)
        if self.result.status in UNSIGNED:
            self.add(audit.FILE, why)
        else:
            self.add(STATEMENT, t("is missing: {why}", why=why))

    def _chain(self) -> None:
        if number := audit.Journal(self.run.folder).first_broken_line():
            self.add(audit.FILE, t(audit.NOT_CHAINED), number)

    def _statement(self, name: str, kind: type[Kind]) -> Kind | None:
        """The statement in an envelope, where the signature holds."""
        if not self.present.get(name):
            self._absent(name)
            return None
        try:
            envelope = opened(files.content(self.run.folder / name))
        except ValueError:
            self.add(name, t("is not an envelope as it was written"))
            return None
        if not self._signature(name, envelope):
            return None
        try:
            statement = kind.model_validate_json(envelope.payload)
        except ValueError:
            self.add(name, t("is signed, but is no statement of this kind"))
            return None
        self.read.add(name)
        return statement

    def _absent(self, name: str) -> None:
        """A statement that is not there as a file: what is in its place, unless that is told."""
        if (self.run.folder / name).is_dir():
            self.add(name, t("is a folder, not the file that was signed"))
        elif name not in self.present:
            self.add(name, t(MISSING))

    def _signature(self, name: str, envelope: Envelope) -> bool:
        """Whether the signature holds for the known key or, a finding, for the folder's own."""
        if name == STATEMENT:
            candidates = (key for key in (self.known, self._claimed()) if key)
            self.signer = next((key for key in candidates if holds(envelope, key)), None)
        if self.signer is None or not holds(envelope, self.signer):
            not_signed = t(
                "is not signed by a key that is known here, or was changed after it was signed"
            )
            self.add(name, not_signed)
            return False
        self.result.signer = self.signer.keyid
        if name == STATEMENT and self.signer != self.known:
            self.add(name, t(UNKNOWN_KEY, key=self.signer.keyid, file=SIGNER))
        return True

    def _claimed(self) -> SSlibKey | None:
        """The key in the folder; whoever changed the folder may have changed it, too."""
        if not self.present.get(SIGNER):
            return None
        with suppress(ParameterError):
            return keys.public(self.run.folder / SIGNER)
        return None

    def _lines(self, signed: Lines) -> None:
        """Name the first line that is not as signed."""
        if not self.present.get(audit.FILE):
            return
        same, found, wanted = 0, None, None
        for found, wanted in zip_longest(self.run.journal.hashes(), signed.hashes):
            if found != wanted:
                break
            same += 1
        rest = files.cut_short(self.run.folder / audit.FILE)
        count = len(signed.hashes)
        if same < count and found is None:
            self.add(audit.FILE, _gone(rest, count, last=same + 1 == count), same + 1)
        elif same < count:
            self.add(audit.FILE, t("is not the line that was signed"), same + 1)
        elif rest or found != wanted:
            self.add(audit.FILE, t("was added: {count} lines were signed", count=count), same + 1)
        else:
            self._chain()

    def _subjects(self, subjects: list[Subject]) -> None:
        """Name the files that are not as signed, and those that no statement names."""
        named = {s.name: s.digest.get("sha256") for s in subjects}
        found = {f.where for f in self.result.findings}
        for name, digest in named.items():
            if name not in self.present:
                self.add(name, t(MISSING))
            elif name in found:
                continue
            elif attestation.sha256(self.run.folder / name) != digest:
                self.add(name, t(CHANGED))
            else:
                self.compared.add(name)
        for name in sorted(self.present.keys() - named.keys() - found - {STATEMENT}):
            self.add(name, t("is in the folder, but not in the signed statement"))
        if len(named) != len(subjects):
            self.add(STATEMENT, t("names a file twice"))
        for name in sorted(MUST_BE_NAMED - named.keys()):
            self.add(STATEMENT, t("does not name {file}", file=name))

    def _checks(self) -> None:
        """The statement about the checks: same signer, these files, and what the journal says."""
        if not (statement := self._statement(CHECKS, ChecksStatement)):
            return
        for name, digest in ((s.name, s.digest.get("sha256")) for s in statement.subject):
            if not self.present.get(name) or attestation.sha256(self.run.folder / name) != digest:
                self.add(CHECKS, t("is about another {file}", file=name))
        self._same(CHECKS, attestation.results, statement.predicate.model_dump(by_alias=True))

    def _agreement(self, statement: RunStatement) -> None:
        """What the statement and the summary say of the run is what the journal says."""
        if odd := self.run.unusable:
            self.add(audit.FILE, counted(odd, *NO_RECORDS))
        facts = statement.predicate.model_dump()
        lines = facts["journal"]["lines"]
        self._same(STATEMENT, attestation.told, {**facts, **facts["counts"], "lines": lines})
        if not self.present.get(runs.SUMMARY):
            return
        try:
            summary = json.loads(files.content(self.run.folder / runs.SUMMARY))
            lines = summary["journal"]["lines"]
            self._same(runs.SUMMARY, attestation.told, {**summary, "lines": lines})
        except (ValueError, KeyError, TypeError, RecursionError):
            self.add(runs.SUMMARY, t("is not a run's summary"))

    def _same(
        self, where: str, told: Callable[[runs.Run], Mapping[str, Any]], claimed: Mapping[str, Any]
    ) -> None:
        """Compare what a file claims with what the journal tells.

        Whoever signs can sign a journal that tells nothing.
        """
        try:
            facts = told(self.run)
            differing = [name for name, value in facts.items() if claimed.get(name) != value]
        except (KeyError, TypeError, IndexError, AttributeError):
            self.add(audit.FILE, t("is not the journal of a run"))
            return
        if differing:
            names = ", ".join(differing)
            self.add(where, t("does not say what the journal says of: {names}", names=names))


def _gone(cut: bool, count: int, *, last: bool) -> str:
    """A line that was signed and is not there, or not as a whole."""
    gone = t("is missing: {count} lines were signed", count=count)
    if cut:
        gone = t("is cut short: {count} lines were signed", count=count)
    if not last:
        return gone
    return t("{gone}; the run was killed while it was signed, or its end was removed", gone=gone)
