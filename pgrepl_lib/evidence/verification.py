"""Whether a run's folder is what was signed: signature, journal, files, and that they agree; offline, and changing nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..doors import files
from ..errors import ParameterError
from ..journal import audit, runs
from ..words.legible import legible
from . import attestation, keys, standing
from .attestation import CHECKS, SIGNER, STATEMENT, ChecksStatement, Lines, RunStatement

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

MOST_PRINTED = 20  # findings, as text
STATEMENTS = frozenset((STATEMENT, CHECKS))  # of a sealed run: both are read, or it is not verified
# By the run's statement, whatever else it names.
MUST_BE_NAMED = frozenset((audit.FILE, CHECKS, runs.SUMMARY, SIGNER))
Statement = TypeVar("Statement", RunStatement, ChecksStatement)


@dataclass(frozen=True)
class Finding:
    """What is wrong with a file of the run and, in the journal, with which line (from 1)."""

    where: str
    what: str
    line: int | None = None

    def __str__(self) -> str:
        told = f"{self.where}{f', line {self.line}' if self.line else ''}: {self.what}"
        return legible(told).replace(
            "\n", "␊"
        )  # a file's name is an attacker's to choose, also one that looks like a verdict


@dataclass(frozen=True)
class Proof:
    """What a verdict rests on: statements that were read under a known key, and what was compared.

    known: whether the key is one that the verifier knows, and not only the folder's own.
    statements, files: the names of those whose signature held, and that were compared.
    """

    known: bool
    statements: frozenset[str]
    files: frozenset[str]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing that makes up a verified run; silence proves nothing."""
        return self.known and self.statements >= STATEMENTS and self.files >= MUST_BE_NAMED


@dataclass
class Verification:
    """What was found, the most specific first; verified only with a complete proof, and nothing found against it.

    run, project: as signed; without a signature that holds, the folder's name. signer: the id of the key that it holds for.
    lines, files: how many the journal and the statement have.
    """

    findings: list[Finding] = field(default_factory=list)
    proof: Proof | None = None
    run: str = ""
    project: str = ""
    status: str = ""
    signer: str = ""
    lines: int = 0
    files: int = 0

    @property
    def ok(self) -> bool:
        """Whether the run is signed by a known key, and as it was then."""
        return self.proof is not None and self.proof.complete and not self.findings

    def __str__(self) -> str:
        which = legible(
            f"run {self.run}" + (f" of project {self.project}" if self.project else "")
        ).replace("\n", "␊")
        if self.ok:
            return (
                f"verified: {which}, {self.lines} lines, {self.files} files, signed by ed25519 key {self.signer[:16]}; "
                f"the run {self.status}"
            )
        left = len(self.findings) - MOST_PRINTED
        more = [f"… and {left} more (--json has all)"] if left > 0 else []
        return "\n  ".join(
            [f"not verified: {which}", *map(str, self.findings[:MOST_PRINTED]), *more]
        )


def verify(
    run: runs.Run, public_key: Path | None = None, project: Path | None = None
) -> Verification:
    """Compare a run's folder with its signed statement and, in its project, with the run that it goes on from.

    public_key: the PEM file of the signer's key; without one, only this user's own key is known. project: the folder of the
    project that it is a run of; without one, of the project that it lies in, while a copy elsewhere is looked at by itself.
    Raises `ParameterError` where that file is no such key.
    """
    look = _Look(
        run,
        keys.public(public_key) if public_key else keys.own_public(),
        project or standing.project_of(run),
    )
    try:
        look.over()
    except OSError as error:
        look.add(str(error.filename or run.folder), f"cannot be read: {error.strerror or error}")
    look.conclude()
    return look.result


def verify_in(project: Path, name: str = "", public_key: Path | None = None) -> Verification:
    """`verify` a project's run by its name; without one the last, and that it is the last, and that none is missing.

    Raises `ParameterError` where there is no such run, and what `verify` does.
    """
    known = runs.known(project)
    asked = [run for run in known if run.name == name] if name else known[-1:]
    if not asked and runs.NAME.fullmatch(name) and (project / runs.RUNS / name).is_dir():
        asked = [
            runs.Run(project / runs.RUNS / name)
        ]  # nobody knows it and it has no journal, which is told
    run = asked[0] if asked else runs.find(project, name)
    found = verify(run, public_key, project)
    found.findings += [
        Finding(*told) for told in (standing.as_last(run, project) if not name else ())
    ]
    return found


class _Look:
    """One look at a run's folder; what it says is added to the result in the order in which it is looked at."""

    def __init__(self, run: runs.Run, known: SSlibKey | None, project: Path | None) -> None:
        self.run, self.known, self.project = run, known, project
        self.signer: SSlibKey | None = None  # whom the statement's signature holds for
        self.read: set[str] = set()  # the statements whose signature holds
        self.compared: set[str] = set()  # the files that are as the statement names them
        self.present: dict[
            str, bool
        ] = {}  # everything in the folder, and whether it is a plain file
        self.result = Verification(run=run.name)

    def add(self, where: str, what: str, line: int | None = None) -> None:
        if (found := Finding(where, what, line)) not in self.result.findings:
            self.result.findings.append(found)

    def conclude(self) -> None:
        """Put down what the verdict rests on; where that is not complete, something says why."""
        known = self.signer is not None and self.signer == self.known
        self.result.proof = Proof(known, frozenset(self.read), frozenset(self.compared))
        if not self.result.proof.complete and not self.result.findings:
            self.add(STATEMENT, "was not read and compared as a whole")

    def over(self) -> None:
        if not os.path.lexists(self.run.folder / STATEMENT):
            self._unsigned()
            return
        self.present = dict(attestation.contents(self.run.folder))
        for name in (n for n, plain in self.present.items() if not plain):
            self.add(name, self._no_file(name))
        if statement := self._statement(STATEMENT, RunStatement):
            said = statement.predicate
            self.result.run, self.result.project, self.result.status = (
                said.run,
                said.project,
                said.status,
            )
            self.result.lines, self.result.files = (
                len(statement.predicate.journal.hashes),
                len(statement.subject),
            )
            self._lines(statement.predicate.journal)
            self._subjects(statement)
            self._checks()
            self._agreement(statement)
            for told in standing.of_run(self.run, said, self.project) if self.project else ():
                self.add(*told)
        elif self.present.get(audit.FILE):
            self._chain()

    def _no_file(self, name: str) -> str:
        """What is wrong with something that is no plain file."""
        path = self.run.folder / name
        if path.is_dir() and not path.is_symlink():
            return "is an empty folder, which no signature covers"
        return "is a link or a device, not a file of the run"

    def _unsigned(self) -> None:
        """The run goes on, or was killed, or could not be signed, or its statement is gone."""
        journal = self.run.folder / audit.FILE
        if not journal.is_file() or journal.is_symlink():
            self.add(
                STATEMENT,
                "is missing, and so is the journal: this is not the folder of a run, or not all of it",
            )
            return
        self._chain()
        self.result.lines, _ = self.run.journal.tally()
        self.result.status = self.run.status
        holds = (
            "" if self.result.findings else f"the chain holds up to line {self.result.lines}, but "
        )
        how = {
            "running": "the run goes on",
            "killed": "the run never ended",
            "manual": "it is of no run",
        }
        if said := how.get(self.result.status):
            self.add(audit.FILE, f"{holds}{said} and is not signed")
        else:
            self.add(
                STATEMENT,
                f"is missing: {holds}the run was not signed when it had ended, or this file was removed",
            )

    def _chain(self) -> None:
        if number := audit.Journal(self.run.folder).first_broken_line():
            self.add(audit.FILE, audit.NOT_CHAINED, number)

    def _statement(self, name: str, kind: type[Statement]) -> Statement | None:
        """The statement in an envelope, where the signature holds."""
        if not self.present.get(name):
            self._absent(name)
            return None
        try:
            envelope = attestation.opened(files.content(self.run.folder / name))
        except ValueError:
            self.add(name, "is not an envelope as it was written")
            return None
        if not self._signature(name, envelope):
            return None
        try:
            statement = kind.model_validate_json(envelope.payload)
        except ValueError:
            self.add(name, "is signed, but is no statement of this kind")
            return None
        self.read.add(name)
        return statement

    def _absent(self, name: str) -> None:
        """A statement that is not there as a file: what is in its place, unless that is told."""
        if (self.run.folder / name).is_dir():
            self.add(name, "is a folder, not the file that was signed")
        elif name not in self.present:
            self.add(name, "is missing")

    def _signature(self, name: str, envelope: Envelope) -> bool:
        """Whether the signature holds for the known key or, which is a finding, for the key that the folder brings along."""
        if name == STATEMENT:
            self.signer = next(
                (k for k in (self.known, self._claimed()) if k and _holds(envelope, k)), None
            )
        if self.signer is None or not _holds(envelope, self.signer):
            self.add(
                name,
                "is not signed by a key that is known here, or was changed after it was signed",
            )
            return False
        self.result.signer = self.signer.keyid
        if name == STATEMENT and self.signer != self.known:
            self.add(
                name,
                f"is signed by key {self.signer.keyid}, which is not known here: if the signer says that this is "
                f"their key, name it with --key (a copy is {SIGNER})",
            )
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
        count = f"{len(signed.hashes)} lines were signed"
        if same < len(signed.hashes):
            cut = "is cut short" if rest else "is missing"
            last = same + 1 == len(signed.hashes)
            killed = (
                "; the run was killed while it was signed, or its end was removed" if last else ""
            )
            gone = f"{cut}: {count}{killed}" if found is None else "is not the line that was signed"
            self.add(audit.FILE, gone, same + 1)
        elif rest or found != wanted:
            self.add(audit.FILE, f"was added: {count}", same + 1)
        else:
            self._chain()

    def _subjects(self, statement: RunStatement) -> None:
        """Name the files that are not as signed, and those that no statement names."""
        named = {s.name: s.digest.get("sha256") for s in statement.subject}
        found = {f.where for f in self.result.findings}
        for name, digest in named.items():
            if name not in self.present:
                self.add(name, "is missing")
            elif name in found:
                continue
            elif attestation.sha256(self.run.folder / name) != digest:
                self.add(name, "is not the file that was signed")
            else:
                self.compared.add(name)
        for name in sorted(self.present.keys() - named.keys() - found - {STATEMENT}):
            self.add(name, "is in the folder, but not in the signed statement")
        if len(named) != len(statement.subject):
            self.add(STATEMENT, "names a file twice")
        for name in sorted(MUST_BE_NAMED - named.keys()):
            self.add(STATEMENT, f"does not name {name}")

    def _checks(self) -> None:
        """The statement about the checks: same signer, about these files, and saying what the journal says."""
        if not (statement := self._statement(CHECKS, ChecksStatement)):
            return
        for subject in statement.subject:
            there = self.present.get(subject.name)
            if not there or attestation.sha256(
                self.run.folder / subject.name
            ) != subject.digest.get("sha256"):
                self.add(CHECKS, f"is about another {subject.name}")
        self._same(CHECKS, lambda: attestation.verdict(self.run), statement.predicate.model_dump())

    def _agreement(self, statement: RunStatement) -> None:
        """The statement's and the summary's words on the run are the journal's."""
        if odd := self.run.unusable:
            self.add(
                audit.FILE,
                f"{odd} of its lines {'has' if odd == 1 else 'have'} no form of a record",
            )
        facts = statement.predicate.model_dump()
        self._same(
            STATEMENT,
            lambda: _told(self.run),
            {**facts, **facts["counts"], "lines": facts["journal"]["lines"]},
        )
        if self.present.get(runs.SUMMARY):
            try:
                summary = json.loads(files.content(self.run.folder / runs.SUMMARY))
                self._same(
                    runs.SUMMARY,
                    lambda: _told(self.run),
                    {**summary, "lines": summary["journal"]["lines"]},
                )
            except (ValueError, KeyError, TypeError, RecursionError):
                self.add(runs.SUMMARY, "is not a run's summary")

    def _same(
        self, where: str, told: Callable[[], Mapping[str, Any]], claimed: Mapping[str, Any]
    ) -> None:
        """Compare what a file claims with what the journal tells; whoever signs can sign a journal that tells nothing."""
        try:
            differing = [name for name, value in told().items() if claimed.get(name) != value]
        except (KeyError, TypeError, IndexError, AttributeError):
            self.add(audit.FILE, "is not the journal of a run")
            return
        if differing:
            self.add(where, f"does not say what the journal says of: {', '.join(differing)}")


def _holds(envelope: Envelope, key: SSlibKey) -> bool:
    from securesystemslib.exceptions import VerificationError

    try:
        envelope.verify([key], 1)
    except VerificationError:
        return False
    return True


def _told(run: runs.Run) -> dict[str, Any]:
    """What the statement and the summary repeat of the journal."""
    begun = run.first("run")
    return {
        "project": begun["params"]["project"],
        "status": run.status,
        "started": run.entries[0]["time"],
        "ended": run.entries[-1]["time"],
        "lines": len(run.entries),
        **run.counts(),
        **({"run": begun["name"]} if "name" in begun else {}),
    }
