"""Sealing a run: what its folder holds and what its journal tells, signed as two statements."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...doors import files
from ...errors import StepFailed
from ...journal import audit, runs
from ...journal.records import check_verdict
from ...journal.runs import Run
from ...words.text import t
from . import keys
from .statements import (
    CHECKS,
    CONFIGURATION,
    SIGNER,
    STATEMENT,
    CheckResults,
    ChecksStatement,
    Lines,
    Predecessor,
    RunFacts,
    RunStatement,
    Subject,
    signed,
)

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner


def seal(run: Run, signer: CryptoSigner) -> Path:
    """Sign what the folder of an ended run holds, its journal with its ending.

    Returns the envelope with the run's statement. Nothing but that ending may be written
    afterwards. Raises `StepFailed` where the folder holds something that is no file.
    """
    files.remove(run.journal.lock)
    files.write_atomic(run.folder / SIGNER, keys.pem(signer.public_key))
    present = _digests(run)
    checks = ChecksStatement(
        subject=_subjects(present, (audit.FILE, ".ipynb")), predicate=_check_results(run, present)
    )
    files.write_atomic(run.folder / CHECKS, signed(checks, signer))
    present = _digests(run)
    present.pop(STATEMENT, None)
    statement = RunStatement(subject=_subjects(present), predicate=_facts(run))
    files.write_atomic(run.folder / STATEMENT, signed(statement, signer))
    return run.folder / STATEMENT


def contents(folder: Path) -> Iterator[tuple[str, bool]]:
    """Everything below a folder: its path, and whether it is a plain file; no link is followed.

    A folder is named only where it is empty: else what is in it stands for it.
    """
    pending = [folder]
    while pending:
        here = pending.pop()
        entries = sorted(os.scandir(here), key=attrgetter("name"))
        if not entries and here != folder:
            yield here.relative_to(folder).as_posix(), False
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield path.relative_to(folder).as_posix(), entry.is_file(follow_symlinks=False)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def results(run: Run) -> dict[str, Any]:
    """The checks as chapter/cell/name, and their result as a whole.

    FAILED where the run did not complete or one failed; WARNED where one could not be tried on
    that machine, or none was made; PASSED only where some were made and passed.
    """
    named: dict[str, list[str]] = {"passed": [], "not tried": [], "failed": []}
    for check in run.of("check"):
        place = f"{check['chapter']}/{check['cell']}/{check['name']}"
        named[check_verdict(check)].append(place)
    result = "PASSED" if named["passed"] and not named["not tried"] else "WARNED"
    if run.status != "completed" or named["failed"]:
        result = "FAILED"
    return {
        "result": result,
        "passedTests": named["passed"],
        "warnedTests": named["not tried"],
        "failedTests": named["failed"],
    }


def told(run: Run) -> dict[str, Any]:
    """What the statement and the summary repeat of the journal."""
    facts = {**ending(run), "lines": len(run.entries), **run.counts()}
    if "name" in run.first("run"):
        facts["run"] = run.first("run")["name"]
    return facts


def ending(run: Run) -> dict[str, Any]:
    """Its project, and how and when it ended; raises `LookupError` for the journal of no run."""
    return {
        "project": run.first("run")["params"]["project"],
        "status": run.status,
        "started": run.entries[0]["time"],
        "ended": run.entries[-1]["time"],
    }


def _digests(run: Run) -> dict[str, str]:
    """The SHA-256 of every file below the folder."""
    present = dict(contents(run.folder))
    for name in (n for n, plain in present.items() if not plain):
        raise StepFailed(
            t("A run's folder holds only files; {name} is none.", name=name),
            looked_at=[str(run.folder)],
            remedy=t("remove it"),
        )
    digests = {name: sha256(run.folder / name) for name in present}
    return {**digests, audit.FILE: run.journal.sha256()}


def _subjects(present: Mapping[str, str], suffixes: tuple[str, ...] = ("",)) -> list[Subject]:
    return [
        Subject(name=name, digest={"sha256": digest})
        for name, digest in sorted(present.items())
        if name.endswith(suffixes)
    ]


def _facts(run: Run) -> RunFacts:
    begun, engine = run.first("run"), run.first("engine")
    versions = {name: begun[name] for name in ("python", "packages")}
    same = ("user", "host", "platform", "repository", "chapters")
    hashes = list(run.journal.hashes())
    return RunFacts(
        run=run.name,
        parameters=begun["params"],
        versions={**versions, "engine": engine.get("facts", {})},
        counts=run.counts(),
        journal=Lines(lines=len(hashes), hashes=hashes),
        predecessor=_predecessor(run),
        **{name: begun[name] for name in same},
        **ending(run),
    )


def _check_results(run: Run, present: Mapping[str, str]) -> CheckResults:
    """As signed; configuration: parameters, the notebooks' commit, the servers' settings."""
    settings = [
        {"name": name, "digest": {"sha256": digest}}
        for name, digest in sorted(present.items())
        if name.startswith(f"{CONFIGURATION}/")
    ]
    return CheckResults(
        configuration=[_parameters(run), *_repository(run), *settings], **results(run)
    )


def standing(run: Run) -> Predecessor:
    """What another run that goes on from this one is signed with.

    One that had not ended when the next one began was killed.
    """
    count, digest = run.journal.tally()
    status = str(run.first("end").get("status", "killed"))
    return Predecessor(run=run.name, status=status, lines=count, last=digest)


def _predecessor(run: Run) -> Predecessor | None:
    """The project's last run before this one, which goes on from it where it did not complete."""
    others = takewhile(lambda other: other.name != run.name, runs.of_project(run.folder.parents[1]))
    last = next(reversed(list(others)), None)
    found = standing(last) if last else None
    return None if found and found.status == "completed" else found


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
