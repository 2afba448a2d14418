"""What seals a run: in-toto Statements about its files and its checks, each in a signed DSSE envelope.

Sources: in-toto Attestation Framework v1 (Statement, ResourceDescriptor), its predicate test-result v0.1, DSSE v1, and
`docs/predicate-run-v1.md` for the predicate about a run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..doors import files
from ..errors import StepFailed
from ..journal import audit, runs
from ..journal.runs import Run
from . import keys

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

STATEMENT, CHECKS, SIGNER = "statement.dsse.json", "checks.dsse.json", "signer.pub"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
CONFIGURATION = "configuration"  # the sub-folder with the settings that the checks were made on


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    def text(self) -> str:
        """As JSON."""
        return json.dumps(self.model_dump(by_alias=True), indent=2, ensure_ascii=False)


class Subject(_Model):
    """A file of the run: its path below the run's folder and its SHA-256."""

    name: str
    digest: dict[str, str]


class Lines(_Model):
    """The journal: how many lines, and the SHA-256 of each, so that the first that differs can be named."""

    lines: int
    hashes: list[str]


class Predecessor(_Model):
    """The run that this one goes on from; `last` is the SHA-256 of its journal's last line."""

    run: str
    status: str
    lines: int
    last: str


class RunFacts(_Model):
    """The predicate about a run; `docs/predicate-run-v1.md` documents each field."""

    project: str
    run: str
    status: str
    started: str
    ended: str
    user: str
    host: str
    platform: str
    repository: dict[str, Any] | None
    chapters: list[str]
    parameters: dict[str, Any]
    versions: dict[str, Any]
    counts: dict[str, dict[str, int]]
    journal: Lines
    predecessor: Predecessor | None


class CheckResults(_Model):
    """The published predicate about checks."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: list[dict[str, Any]]
    passed_tests: list[str] = Field(alias="passedTests")
    warned_tests: list[str] = Field(alias="warnedTests")
    failed_tests: list[str] = Field(alias="failedTests")


class _Statement(_Model):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(
        default="https://in-toto.io/Statement/v1", alias="_type"
    )
    subject: list[Subject]


class RunStatement(_Statement):
    """That a run was as its predicate says, and left these files."""

    predicate_type: Literal["urn:pgrepl:run:v1"] = Field(
        default="urn:pgrepl:run:v1", alias="predicateType"
    )
    predicate: RunFacts


class ChecksStatement(_Statement):
    """That the checks recorded in these files ended as the predicate says."""

    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = Field(
        default="https://in-toto.io/attestation/test-result/v0.1", alias="predicateType"
    )
    predicate: CheckResults


def seal(run: Run, signer: CryptoSigner) -> Path:
    """Sign what the folder of an ended run holds, its journal with its ending; returns the envelope with the run's statement.

    Nothing but that ending may be written afterwards. Raises `StepFailed` where the folder holds something that is no file.
    """
    files.remove(run.journal.lock)
    files.write_atomic(run.folder / SIGNER, keys.pem(signer.public_key))
    present = _digests(run)
    checks = ChecksStatement(
        subject=_subjects(present, (audit.FILE, ".ipynb")), predicate=_check_results(run, present)
    )
    files.write_atomic(run.folder / CHECKS, _signed(checks, signer))
    present = _digests(run)
    present.pop(STATEMENT, None)
    statement = RunStatement(subject=_subjects(present), predicate=_facts(run))
    files.write_atomic(run.folder / STATEMENT, _signed(statement, signer))
    return run.folder / STATEMENT


def contents(folder: Path) -> Iterator[tuple[str, bool]]:
    """Everything below a folder, with whether it is a plain file: its path; no link is followed.

    A folder is named only where it is empty: else what is in it stands for it.
    """
    pending = [folder]
    while pending:
        here = pending.pop()
        entries = sorted(os.scandir(here), key=_name)
        if not entries and here != folder:
            yield here.relative_to(folder).as_posix(), False
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry.path))
            else:
                yield (
                    Path(entry.path).relative_to(folder).as_posix(),
                    entry.is_file(follow_symlinks=False),
                )


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verdict(run: Run) -> dict[str, Any]:
    """The checks as chapter/cell/name, and their result as a whole.

    FAILED where the run did not complete or one failed; WARNED where one could not be tried on that machine, or none was
    made; PASSED only where some were made and passed.
    """
    named: dict[str, list[str]] = {"passed_tests": [], "warned_tests": [], "failed_tests": []}
    for c in run.of("check"):
        ended = "failed" if not c["passed"] else "passed" if c.get("tried", True) else "warned"
        named[f"{ended}_tests"].append(f"{c['chapter']}/{c['cell']}/{c['name']}")
    result = "PASSED" if named["passed_tests"] and not named["warned_tests"] else "WARNED"
    if run.status != "completed" or named["failed_tests"]:
        result = "FAILED"
    return {"result": result, **named}


def opened(content: bytes) -> Envelope:
    """A stored envelope. Raises `ValueError` for every spelling but ours, so that no byte of it is free to change."""
    from securesystemslib.dsse import Envelope

    try:
        envelope = Envelope.from_dict(json.loads(content))
        ours = _stored(envelope).encode() == content
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no envelope") from error
    if not ours or envelope.payload_type != PAYLOAD_TYPE:
        raise ValueError("not written by pgrepl")
    return envelope


def _stored(envelope: Envelope) -> str:
    """An envelope with one signature, as text."""
    (signature,) = envelope.signatures.values()
    plain = {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [
            {
                "keyid": signature.keyid,
                "sig": base64.b64encode(bytes.fromhex(signature.signature)).decode(),
            }
        ],
    }
    return json.dumps(plain, indent=2) + "\n"


def _signed(statement: _Statement, signer: CryptoSigner) -> str:
    from securesystemslib.dsse import Envelope

    envelope = Envelope(statement.text().encode(), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return _stored(envelope)


def _digests(run: Run) -> dict[str, str]:
    """The SHA-256 of every file below the folder."""
    present = dict(contents(run.folder))
    for name in (n for n, plain in present.items() if not plain):
        raise StepFailed(
            f"A run's folder holds only files; {name} is none.",
            looked_at=[str(run.folder)],
            remedy="remove it",
        )
    digests = {name: sha256(run.folder / name) for name in present}
    return {**digests, audit.FILE: run.journal.sha256()}


def _subjects(present: Mapping[str, str], suffixes: tuple[str, ...] = ("",)) -> list[Subject]:
    return [
        Subject(name=n, digest={"sha256": d})
        for n, d in sorted(present.items())
        if n.endswith(suffixes)
    ]


def _facts(run: Run) -> RunFacts:
    begun, engine = run.first("run"), run.first("engine")
    hashes = list(run.journal.hashes())
    return RunFacts(
        project=begun["params"]["project"],
        run=run.name,
        status=run.status,
        started=run.entries[0]["time"],
        ended=run.entries[-1]["time"],
        user=begun["user"],
        host=begun["host"],
        platform=begun["platform"],
        repository=begun["repository"],
        chapters=begun["chapters"],
        parameters=begun["params"],
        versions={
            "python": begun["python"],
            "packages": begun["packages"],
            "engine": engine.get("facts", {}),
        },
        counts=run.counts(),
        journal=Lines(lines=len(hashes), hashes=hashes),
        predecessor=_predecessor(run),
    )


def _check_results(run: Run, present: Mapping[str, str]) -> CheckResults:
    """configuration: the parameters, the commit of the notebooks, and the files with the servers' settings."""
    found = verdict(run)
    return CheckResults(
        result=found["result"],
        configuration=[_parameters(run), *_repository(run), *_configuration(present)],
        passedTests=found["passed_tests"],
        warnedTests=found["warned_tests"],
        failedTests=found["failed_tests"],
    )


def _predecessor(run: Run) -> Predecessor | None:
    """The last run of the project before this one, where it did not complete: running again goes on from there."""
    before = list(
        takewhile(lambda other: other.name != run.name, runs.of_project(run.folder.parents[1]))
    )
    status = before[-1].first("end").get("status", "killed") if before else "completed"
    if status == "completed":
        return None
    lines, last = audit.Journal(before[-1].folder).tally()
    return Predecessor(run=before[-1].name, status=status, lines=lines, last=last)


def _parameters(run: Run) -> dict[str, Any]:
    content = json.dumps(run.first("run")["params"], ensure_ascii=False).encode()
    return {
        "name": "parameters",
        "mediaType": "application/json",
        "content": base64.b64encode(content).decode(),
    }


def _repository(run: Run) -> Iterator[dict[str, Any]]:
    if found := run.first("run")["repository"]:
        yield {
            "name": "notebooks",
            "digest": {"gitCommit": found["commit"]},
            "annotations": {"clean": found["clean"]},
        }


def _configuration(present: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": n, "digest": {"sha256": d}}
        for n, d in sorted(present.items())
        if n.startswith(f"{CONFIGURATION}/")
    ]
