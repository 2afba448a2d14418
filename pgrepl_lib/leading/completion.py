"""A participant's statement of completion: signed as runs are, and verified offline.

It says what the participant's journal tells, which is the participant's own file: its chain holds,
and its SHA-256 is the statement's subject. `docs/predicate-completion-v1.md` documents the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from ..doors import files
from ..errors import StepFailed
from ..evidence.signing import keys, statements
from ..evidence.signing.findings import KEY_SHOWN
from ..evidence.signing.statements import SIGNER, Statement, Subject
from ..exercises import progress
from ..exercises.chapters.all import ALL
from ..journal import audit, provenance
from ..words.legible import legible
from ..words.text import mark, t

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

SUFFIX = ".completion.dsse.json"
DONE = ("right", "solved")
VERIFIED = mark(
    "verified: {participant}, {right} of {count} exercises right and {solved} with the solution "
    "shown, on {issued}, signed by ed25519 key {key}"
)


class Completion(BaseModel):
    """What a participant has done, and by which version it was checked."""

    participant: str
    project: str
    issued: str
    offered: int
    exercises: list[dict[str, Any]]
    versions: dict[str, Any]


class CompletionStatement(Statement):
    """That a journal tells of these exercises."""

    predicate_type: Literal["urn:pgrepl:completion:v1"] = "urn:pgrepl:completion:v1"
    predicate: Completion


@dataclass(frozen=True)
class Verified:
    """Whether a statement is signed by a known key, and what it says; why: what is wrong."""

    verified: bool
    why: str = ""
    signer: str = ""
    completion: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        if not self.verified or not self.completion:
            return legible(t("not verified: {why}", why=self.why))
        status = [each["status"] for each in self.completion["exercises"]]
        words = {name: self.completion[name] for name in ("participant", "issued")}
        counts = {"right": status.count("right"), "solved": status.count("solved")}
        count, key = self.completion["offered"], self.signer[:KEY_SHOWN]
        return legible(t(VERIFIED, **words, **counts, count=count, key=key))


def certify(folders: Mapping[str, Path], out: Path, signer: CryptoSigner) -> list[Path]:
    """Write a statement for each participant who has begun, and the key that verifies them.

    folders: those of the participants' projects. Raises `StepFailed` for a journal whose chain does
    not hold.
    """
    made = {
        name: statement(name, folder)
        for name, folder in folders.items()
        if audit.Journal.of_project(folder).path.is_file()
    }
    files.make_folder(out)
    files.write_atomic(out / SIGNER, keys.pem(signer.public_key))
    for name, each in made.items():
        files.write_atomic(out / f"{name}{SUFFIX}", statements.signed(each, signer))
    return [out / f"{name}{SUFFIX}" for name in made]


def statement(participant: str, folder: Path) -> CompletionStatement:
    """What the journal of a participant's project tells."""
    journal = audit.Journal.of_project(folder)
    if line := journal.first_broken_line():
        raise StepFailed(
            t("The journal of {participant} was changed.", participant=participant),
            looked_at=[t("{file}, line {line}", file=journal.path, line=line)],
            remedy=t("take it out of the folder, or ask the participant for the original"),
        )
    facts = provenance.facts()
    done = Completion(
        participant=participant,
        project=folder.name,
        issued=datetime.now(UTC).isoformat(timespec="seconds"),
        offered=len(ALL),
        exercises=_exercises(folder),
        versions={"packages": facts["packages"], "repository": facts["repository"]},
    )
    subject = Subject(name=audit.FILE, digest={"sha256": journal.sha256()})
    return CompletionStatement(subject=[subject], predicate=done)


def _exercises(folder: Path) -> list[dict[str, Any]]:
    """Those that were begun; began: when, in UTC; minutes: until the first right check."""
    return [
        {"name": name, "chapter": ALL[name].chapter, "began": each.began, **each.plain()}
        for name, each in progress.attempts(folder).items()
        if name in ALL
    ]


def verify(file: Path, public_key: Path | None = None) -> Verified:
    """Whether a file is a statement of completion, signed by this key or, without one, by ours.

    Raises `ParameterError` where the key's file holds none.
    """
    known = keys.public(public_key) if public_key else keys.own_public()
    try:
        envelope = statements.opened(file.read_bytes())
        said = CompletionStatement.model_validate_json(envelope.payload)
    except (OSError, ValueError, ValidationError):
        return Verified(False, t("{file} is no statement of completion", file=file.name))
    if not known:
        return Verified(False, t("no key is known here: name the signer's by --key"))
    if not statements.holds(envelope, known):
        return Verified(False, t("{file} is not signed by that key", file=file.name))
    return Verified(True, "", known.keyid, said.predicate.model_dump())


def plain(found: Verified) -> dict[str, Any]:
    """For programs."""
    return asdict(found)
