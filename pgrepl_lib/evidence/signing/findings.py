"""What a look at a signed run finds, what a verdict rests on, and the verdict in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...journal import audit, runs
from ...words import outcomes
from ...words.legible import legible
from ...words.text import Text, joined, t
from .statements import CHECKS, SIGNER, STATEMENT

MOST_PRINTED = 20  # findings, as text
KEY_SHOWN = 16  # characters of a key's id
STATEMENTS = frozenset((STATEMENT, CHECKS))  # of a sealed run: both are read, or it is not verified
# By the run's statement, whatever else it names.
MUST_BE_NAMED = frozenset((audit.FILE, CHECKS, runs.SUMMARY, SIGNER))


@dataclass(frozen=True)
class Finding:
    """What is wrong with a file of the run and, in the journal, with which line (from 1)."""

    where: str
    what: str
    line: int | None = None

    def __str__(self) -> str:
        told = joined(": ", (self.where, self.what))
        if self.line:
            told = t("{file}, line {line}: {what}", file=self.where, line=self.line, what=self.what)
        return _in_one_line(told)


@dataclass(frozen=True)
class Proof:
    """What a verdict rests on: statements that were read under a known key, what was compared.

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
    """What was found, the most specific first.

    Verified only with a complete proof, and nothing found against it. run, project: as signed;
    without a signature that holds, the folder's name. signer: the id of the key that it holds for.
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
        if self.ok:
            return t(
                "verified: {run}, {lines} lines, {files} files, signed by ed25519 key {key}; "
                "the run {status}",
                run=self._which(),
                lines=self.lines,
                files=self.files,
                key=self.signer[:KEY_SHOWN],
                status=outcomes.said(self.status),
            )
        told = [str(found) for found in self.findings[:MOST_PRINTED]]
        told.insert(0, t("not verified: {run}", run=self._which()))
        if (left := len(self.findings) - MOST_PRINTED) > 0:
            told.append(t("… and {left} more (--json has all)", left=left))
        return "\n  ".join(told)

    def _which(self) -> str:
        if not self.project:
            return _in_one_line(t("run {run}", run=self.run))
        return _in_one_line(t("run {run} of project {project}", run=self.run, project=self.project))


def _in_one_line(text: Text) -> str:
    """A file's name is an attacker's to choose, also one that looks like a verdict."""
    return legible(text).replace("\n", "␊")
