"""What seals a run: every change to it is found and named, and what nobody signed is never called verified."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from pgrepl_lib.errors import StepFailed
from pgrepl_lib.evidence import evidence
from pgrepl_lib.evidence.signing import attestation, keys, verification
from pgrepl_lib.evidence.signing.findings import Finding, Proof, Verification
from pgrepl_lib.evidence.signing.look import Look
from pgrepl_lib.evidence.signing.statements import (
    CHECKS,
    PAYLOAD_TYPE,
    SIGNER,
    STATEMENT,
    ChecksStatement,
    RunStatement,
)
from pgrepl_lib.journal import audit
from pgrepl_lib.journal.audit import FILE as JOURNAL
from pgrepl_lib.journal.runs import SUMMARY, Run

CHAPTER = "03-verificacao"
FILES = {
    JOURNAL,
    SUMMARY,
    CHECKS,
    SIGNER,
    f"{CHAPTER}.ipynb",
    "configuration/primary/postgresql.conf",
}


def made_run(
    project: Path, name: str = "r1", *, status: str = "completed", passed: bool = True
) -> Run:
    """The folder of an ended run, as the runner and the chapters leave it, not sealed yet."""
    run = begun_run(project, name)
    journal = audit.Journal(run.folder)
    journal.record(
        "check",
        chapter=CHAPTER,
        cell="recovery",
        name="recovery",
        title="A réplica está em recovery",
        expected="t",
        seen="t",
        passed=passed,
        hint="",
        seconds=0.1,
    )
    journal.record("chapter", chapter=CHAPTER, status=status)
    journal.record("end", status=status)
    (run.folder / f"{CHAPTER}.ipynb").write_text('{"cells": []}')
    (run.folder / "configuration/primary").mkdir(parents=True)
    (run.folder / "configuration/primary/postgresql.conf").write_text("wal_level = replica\n")
    evidence.write_summary(Run(run.folder))
    return Run(run.folder)


def begun_run(project: Path, name: str) -> Run:
    """The folder of a run that has begun and, where nothing follows, was killed."""
    journal = audit.Journal(project / "runs" / name)
    journal.record(
        "run",
        chapters=[CHAPTER],
        params={"project": project.name},
        pid=1,
        user="ana",
        host="h",
        platform="Linux",
        python="3.11",
        packages={"pgrepl": "0.1.0"},
        repository={"commit": "a" * 40, "clean": True},
    )
    journal.record("chapter", chapter=CHAPTER, status="running")
    journal.record(
        "step",
        chapter=CHAPTER,
        cell="c",
        title="Cópia",
        outcome="changed",
        commands=[],
        exit_code=0,
        seconds=1.0,
    )
    return Run(journal.path.parent)


def sealed_run(
    project: Path, name: str = "r1", signer: CryptoSigner | None = None, **how: Any
) -> Path:
    run = made_run(project, name, **how)
    attestation.seal(run, signer or keys.signer())
    return run.folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed run that nobody changes."""
    return sealed_run(tmp_path_factory.mktemp("p") / "projeto")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the sealed run, elsewhere and under another name, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "copy", symlinks=True))


@pytest.fixture
def other_key(tmp_path: Path) -> tuple[CryptoSigner, Path]:
    """Somebody else's key, and its public half as a file."""
    signer = CryptoSigner.generate_ed25519()
    public = tmp_path / "other.pub"
    public.write_text(keys.pem(signer.public_key))
    return signer, public


def look(folder: Path, key: Path | None = None) -> Verification:
    return verification.verify(Run(folder), key)


def first(folder: Path) -> Finding:
    found = look(folder)
    assert not found.ok and found.findings
    return found.findings[0]


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    yield
    path.write_bytes(before)


def flipped(content: bytes, at: int) -> bytes:
    """The content with one bit of one byte changed; which bit depends on the place."""
    return content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]


def variants(content: bytes) -> Iterator[bytes]:
    """At every position: a bit flipped, a byte put in, the byte taken out, and the content cut off."""
    for at in range(len(content)):
        yield flipped(content, at)
        yield content[:at] + b" \n"[at % 2 :][:1] + content[at:]
        yield content[:at] + content[at + 1 :]
        yield content[:at]
    yield from (content + b" ", content + b"\n")


def written(contents: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """Each content once the file has it; opened once, which costs most."""
    with path.open("r+b", buffering=0) as stream:
        for content in contents:
            stream.seek(0)
            stream.write(content)
            stream.truncate()
            yield content


def same_beginning(one: bytes, other: bytes) -> int:
    """How many bytes."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def looking_at(folder: Path, known: SSlibKey | None) -> Look:
    """A look of which a single part can be tried: quicker by far than all of it."""
    looking = Look(Run(folder), known, None)
    looking.signer, looking.present = looking.known, {JOURNAL: True, STATEMENT: True, CHECKS: True}
    return looking


def payload(path: Path) -> dict[str, Any]:
    return dict(json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"])))


def signed_again(
    path: Path, change: Callable[[dict[str, Any]], object], signer: CryptoSigner | None = None
) -> None:
    """Change the statement of an envelope and sign it, as only somebody with the private key can."""
    statement = payload(path)
    change(statement)
    store(
        path, json.dumps(statement, indent=2, ensure_ascii=False).encode(), signer or keys.signer()
    )


def store(
    path: Path, content: bytes, signer: CryptoSigner, payload_type: str = PAYLOAD_TYPE
) -> None:
    envelope = Envelope(content, payload_type, {})
    envelope.sign(signer)
    path.write_text(json.dumps(envelope.to_dict(), indent=2) + "\n")


def name_again(folder: Path, name: str) -> None:
    """Sign the run's statement with the digest that a file has now."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()

    def rename(statement: dict[str, Any]) -> None:
        for subject in statement["subject"]:
            if subject["name"] == name:
                subject["digest"] = {"sha256": digest}

    signed_again(folder / STATEMENT, rename)


# What a seal is


def test_a_sealed_run_is_verified_also_as_a_copy(original: Path, folder: Path) -> None:
    for place in (original, folder):
        found = look(place)
        assert found.findings == [] and found.ok
        assert (found.status, found.lines, found.files) == ("completed", 6, len(FILES))
        assert found.signer == keys.signer().public_key.keyid


def test_the_statement_names_every_file_and_what_the_run_was(original: Path) -> None:
    statement = payload(original / STATEMENT)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    there = {p.relative_to(original).as_posix(): p for p in original.rglob("*") if p.is_file()}
    assert set(subjects) == set(there) - {STATEMENT} == FILES
    assert all(
        hashlib.sha256(there[name].read_bytes()).hexdigest() == digest
        for name, digest in subjects.items()
    )
    said = statement["predicate"]
    lines = (original / JOURNAL).read_bytes().splitlines()
    assert said["journal"] == {
        "lines": 6,
        "hashes": [hashlib.sha256(line).hexdigest() for line in lines],
    }
    assert (said["project"], said["run"], said["user"], said["predecessor"]) == (
        "projeto",
        "r1",
        "ana",
        None,
    )


def test_the_checks_use_the_published_predicate(original: Path) -> None:
    statement = payload(original / CHECKS)
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert {s["name"] for s in statement["subject"]} == {JOURNAL, f"{CHAPTER}.ipynb"}
    said = statement["predicate"]
    assert (said["result"], said["passedTests"], said["failedTests"]) == (
        "PASSED",
        [f"{CHAPTER}/recovery/recovery"],
        [],
    )
    parameters, commit, settings = said["configuration"]
    assert json.loads(base64.b64decode(parameters["content"])) == {"project": "projeto"}
    assert (
        commit["digest"] == {"gitCommit": "a" * 40}
        and settings["name"] == "configuration/primary/postgresql.conf"
    )


@pytest.mark.parametrize(
    ("status", "passed"), [("failed", False), ("interrupted", True), ("completed", False)]
)
def test_a_run_that_did_not_complete_is_sealed_too_and_did_not_pass(
    tmp_path: Path, status: str, passed: bool
) -> None:
    folder = sealed_run(tmp_path / "p", status=status, passed=passed)
    assert look(folder).ok and look(folder).status == status
    said = payload(folder / CHECKS)["predicate"]
    assert said["result"] == "FAILED" and len(said["passedTests" if passed else "failedTests"]) == 1


def test_a_run_names_the_unfinished_run_that_it_goes_on_from(tmp_path: Path) -> None:
    killed, project = begun_run(tmp_path / "p", "r1"), audit.Journal(tmp_path / "p")
    project.record("run", run="r1")
    project.record("run", run="r2")
    said = payload(sealed_run(tmp_path / "p", "r2") / STATEMENT)["predicate"]["predecessor"]
    last = hashlib.sha256(killed.folder.joinpath(JOURNAL).read_bytes().splitlines()[-1]).hexdigest()
    assert said == {"run": "r1", "status": "killed", "lines": 3, "last": last}
    project.record("run", run="r3")
    assert payload(sealed_run(tmp_path / "p", "r3") / STATEMENT)["predicate"]["predecessor"] is None


def test_a_folder_with_a_link_is_not_sealed(tmp_path: Path) -> None:
    run = made_run(tmp_path / "p")
    (run.folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(StepFailed, match="link"):
        attestation.seal(run, keys.signer())
    assert not (run.folder / STATEMENT).exists()


# Others can check it


def test_securesystemslib_accepts_both_envelopes_and_no_other_key(
    original: Path, other_key: tuple[CryptoSigner, Path]
) -> None:
    for name in (STATEMENT, CHECKS):
        envelope = Envelope.from_dict(json.loads((original / name).read_bytes()))
        key = SSlibKey.from_crypto(load_pem_public_key((original / SIGNER).read_bytes()))
        assert (
            set(envelope.verify([key], 1)) == {key.keyid}
            and envelope.payload_type == "application/vnd.in-toto+json"
        )
        with pytest.raises(VerificationError):
            envelope.verify([other_key[0].public_key], 1)


def test_a_plain_ed25519_library_accepts_it(original: Path) -> None:
    """DSSE's pre-authentication encoding by hand: "DSSEv1", then type and payload, each after its length in bytes."""
    stored = json.loads((original / STATEMENT).read_bytes())
    body, kind = base64.b64decode(stored["payload"]), stored["payloadType"].encode()
    encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(body)).encode(), body])
    signature = base64.b64decode(stored["signatures"][0]["sig"])
    public = load_pem_public_key((original / SIGNER).read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    public.verify(signature, encoded)
    with pytest.raises(InvalidSignature):
        public.verify(signature, encoded + b" ")


# Changes to the journal


def test_any_byte_of_the_journal_flipped_put_in_taken_out_or_cut_off_is_named_by_its_line(
    folder: Path,
) -> None:
    path = folder / JOURNAL
    content, missed, known = path.read_bytes(), [], keys.own_public()
    signed = RunStatement.model_validate(payload(folder / STATEMENT)).predicate.journal
    for number, other in enumerate(written(variants(content), path)):
        looking = looking_at(folder, known)
        looking._lines(signed)
        found = (
            looking.result.findings if number % 50 else look(folder).findings
        )  # which looks at all the rest, too
        line = content.count(b"\n", 0, same_beginning(content, other)) + 1
        if not found or (found[0].where, found[0].line) != (JOURNAL, line):
            missed.append((other, found))
    assert missed == []


def test_a_run_that_was_killed_while_it_was_signed_is_told_as_such(folder: Path) -> None:
    path = folder / JOURNAL
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    said = "is missing: 6 lines were signed; the run was killed while it was signed, or its end was removed"
    assert first(folder) == Finding(JOURNAL, said, 6)


def test_lines_dropped_doubled_or_in_another_order_are_named(folder: Path) -> None:
    path = folder / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    count = len(lines)
    variants = [
        list(order)
        for order in [*permutations(range(count))][::5]
        if list(order) != list(range(count))
    ]
    variants += [[i for i in range(count) if i != dropped] for dropped in range(count)]
    variants += [sorted([*range(count), doubled]) for doubled in range(count)]
    for order in variants:
        expected = next(
            (n for n, line in enumerate(order) if line != n), len(order)
        )  # the first place with another line
        with changed(path, b"".join(lines[i] for i in order)):
            found = first(folder)
        assert (found.where, found.line) == (JOURNAL, expected + 1), order


@pytest.mark.parametrize(
    "inserted",
    [b"\n", b"{}\n", b'{"kind": "step", "previous": ""}\n', b"x", b"\xff\n", b"[" * 9999 + b"\n"],
)
def test_a_line_put_in_anywhere_is_named(folder: Path, inserted: bytes) -> None:
    path = folder / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    for place in range(len(lines) + 1):
        with changed(path, b"".join([*lines[:place], inserted, *lines[place:]])):
            found = first(folder)
        assert (found.where, found.line) == (JOURNAL, place + 1)


@pytest.mark.parametrize("number", range(6))
def test_a_line_changed_with_the_chain_made_anew_behind_it_is_named(
    folder: Path, number: int
) -> None:
    """Whoever knows the format can do this; only the signature, made elsewhere, knows better."""
    path = folder / JOURNAL
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    entries[number]["time"] = "2020-01-01T00:00:00.000+00:00"
    stored, before = [], audit.ORIGIN
    for entry in entries:
        stored.append(json.dumps({**entry, "previous": before}, ensure_ascii=False).encode())
        before = hashlib.sha256(stored[-1]).hexdigest()
    with changed(path, b"\n".join(stored) + b"\n"):
        assert audit.Journal(folder).first_broken_line() is None
        assert (first(folder).where, first(folder).line) == (JOURNAL, number + 1)


def test_a_journal_that_was_broken_before_it_was_signed_is_named(tmp_path: Path) -> None:
    run = made_run(tmp_path / "p")
    path = run.folder / JOURNAL
    path.write_bytes(path.read_bytes().replace("Cópia".encode(), b"Copia"))
    attestation.seal(Run(run.folder), keys.signer())
    assert (first(run.folder).where, first(run.folder).line) == (JOURNAL, 4)


# Changes to other files


@pytest.mark.parametrize("name", sorted(FILES - {JOURNAL}))
def test_a_changed_removed_renamed_or_replaced_file_is_named(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    for other in [
        *(flipped(content, at) for at in range(0, len(content), 7)),
        content[:-1],
        b"",
        content + b" ",
    ]:
        with changed(path, other):
            assert name in {f.where for f in look(folder).findings} and first(folder).where in (
                name,
                JOURNAL,
            )
    moved = path.rename(path.with_name("moved"))
    assert first(folder) == Finding(name, "is missing")
    assert moved.relative_to(folder).as_posix() in {f.where for f in look(folder).findings}
    path.symlink_to(moved)
    assert first(folder).where == name, "the same content behind a link"
    path.unlink()
    path.mkdir()
    assert name in {f.where for f in look(folder).findings}
    path.rmdir()
    os.mkfifo(path)
    assert first(folder).where == name, "reading a pipe would never end"


@pytest.mark.parametrize(
    "name",
    ["new.txt", ".hidden", "configuration/new.conf", "a/b/c", "journal.lock", "olá\x1b[2J\n.txt"],
)
def test_a_file_put_in_is_named(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert first(folder).where == name
    assert str(first(folder)).isprintable()


def test_a_name_that_is_no_text_is_shown(folder: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/\xff\xfe")).touch()
    assert str(first(folder)).startswith("⟨U+DCFF⟩⟨U+DCFE⟩: is in the folder")


def test_a_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "configuration").rename(tmp_path / "moved")
    (folder / "configuration").symlink_to(tmp_path / "moved", target_is_directory=True)
    assert first(folder).where == "configuration"


def test_a_folder_too_deep_to_be_read_is_named(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)
    for _ in range(2200):  # two characters each: more than a path may have
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(before)
    found = look(folder).findings
    subprocess.run(
        ["rm", "-rf", str(folder / "d")], check=True
    )  # Python's own removal is as limited
    assert "cannot be read" in found[-1].what and look(folder).ok


def test_a_removed_journal_or_statement_is_named(folder: Path) -> None:
    (folder / JOURNAL).rename(folder.parent / "journal")
    assert first(folder) == Finding(JOURNAL, "is missing")
    (folder / STATEMENT).unlink()
    assert first(folder).where == STATEMENT
    (folder.parent / "journal").rename(folder / JOURNAL)
    assert first(folder).where == STATEMENT and "holds up to line 6" in first(folder).what


# Changes to the envelopes


@pytest.mark.parametrize(
    ("name", "kind"),
    [(STATEMENT, RunStatement), (CHECKS, ChecksStatement)],
)
def test_any_byte_of_an_envelope_flipped_put_in_taken_out_or_cut_off_is_found(
    folder: Path, name: str, kind: Any
) -> None:
    path = folder / name
    content, missed, known = path.read_bytes(), [], keys.own_public()
    untouched = looking_at(folder, known)
    assert untouched._statement(name, kind) and not untouched.result.findings
    for number, other in enumerate(written(variants(content), path)):
        looking = looking_at(folder, known)
        said = looking._statement(name, kind)
        found = looking.result.findings if number % 50 else look(folder).findings
        if said or name not in {f.where for f in found}:
            missed.append(other)
    assert missed == []


@pytest.mark.parametrize(
    "change",
    [
        lambda e: {**e, "extra": 1},
        lambda e: {**e, "signatures": []},
        lambda e: {**e, "signatures": e["signatures"] * 2},
        lambda e: {**e, "signatures": [{**e["signatures"][0], "note": "seen"}]},
        lambda e: {**e, "signatures": {}},
        lambda e: {**e, "signatures": [{"sig": e["signatures"][0]["sig"]}]},
        lambda e: {**e, "payload": 7},
        lambda e: [e],
        lambda e: {**e, "payloadType": "text/plain"},
        lambda e: {**e, "payloadType": None},
        lambda e: dict(reversed(e.items())),
        lambda e: {**e, "signatures": [{"keyid": ["x"], "sig": ""}]},
        lambda e: {**e, "signatures": [None]},
        lambda e: {**e, "payload": e["payload"] + "\n"},
        lambda e: {**e, "payload": "é"},
        lambda e: {},
        lambda e: None,
    ],
)
def test_another_spelling_of_the_envelope_is_refused(
    folder: Path, change: Callable[[Any], Any]
) -> None:
    envelope = json.loads((folder / STATEMENT).read_bytes())
    (folder / STATEMENT).write_text(json.dumps(change(envelope), indent=2) + "\n")
    assert first(folder).where == STATEMENT


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"\xff", b"\x00" * 99, b"1" * 9999, b'{"payload": NaN}']
)
def test_what_is_no_envelope_is_named(folder: Path, content: bytes) -> None:
    for name in (STATEMENT, CHECKS):
        with changed(folder / name, content):
            assert name in {f.where for f in look(folder).findings}


def test_the_envelope_of_another_run_is_refused(folder: Path, tmp_path: Path) -> None:
    """By the same signer, so that its signature holds."""
    other = sealed_run(tmp_path / "outro")
    for name in (STATEMENT, CHECKS):
        with changed(folder / name, (other / name).read_bytes()):
            assert not look(folder).ok
    with changed(folder / STATEMENT, (other / STATEMENT).read_bytes()):
        assert (first(folder).where, first(folder).line) == (JOURNAL, 1)
    with changed(folder / STATEMENT, (folder / CHECKS).read_bytes()):
        assert first(folder).where == STATEMENT


def test_another_payload_type_is_refused(folder: Path) -> None:
    content = base64.b64decode(json.loads((folder / STATEMENT).read_bytes())["payload"])
    store(folder / STATEMENT, content, keys.signer())
    assert look(folder).ok
    store(folder / STATEMENT, content, keys.signer(), "application/json")
    assert first(folder).where == STATEMENT


def test_a_statement_about_checks_that_the_journal_does_not_hold_is_named(folder: Path) -> None:
    signed_again(folder / CHECKS, lambda s: s["predicate"]["passedTests"].append("invented"))
    name_again(folder, CHECKS)
    assert first(folder).where == CHECKS and "passedTests" in first(folder).what
    signed_again(folder / CHECKS, lambda s: s["subject"][0]["digest"].update(sha256="0" * 64))
    name_again(folder, CHECKS)
    assert first(folder).where == CHECKS


def test_checks_signed_by_somebody_else_are_named(
    folder: Path, other_key: tuple[CryptoSigner, Path]
) -> None:
    signed_again(folder / CHECKS, lambda s: None, other_key[0])
    name_again(folder, CHECKS)
    assert first(folder).where == CHECKS and "not signed by" in first(folder).what


@pytest.mark.parametrize("content", [b'{"status": "completed"}', b"[]", b"{", b"[" * 100_000])
def test_a_summary_that_says_something_else_is_named(folder: Path, content: bytes) -> None:
    (folder / SUMMARY).write_bytes(content)
    name_again(folder, SUMMARY)
    assert first(folder).where == SUMMARY


@pytest.mark.parametrize("field", ["status", "started", "ended", "project", "counts"])
def test_a_statement_that_contradicts_the_journal_is_named(folder: Path, field: str) -> None:
    other: Any = {"steps": {}, "checks": {}} if field == "counts" else "other"
    signed_again(folder / STATEMENT, lambda s: s["predicate"].update({field: other}))
    assert first(folder).where == STATEMENT


# Whose key


def test_a_signer_that_is_not_known_is_never_verified(
    folder: Path, other_key: tuple[CryptoSigner, Path]
) -> None:
    """Whoever changes the folder can sign it anew, and put their own public key into it."""
    signer, public = other_key
    run = Run(folder)
    (folder / "configuration/primary/postgresql.conf").write_text("fsync = off\n")
    (folder / STATEMENT).unlink()
    attestation.seal(run, signer)
    (finding,) = look(folder).findings
    assert (
        finding.where == STATEMENT
        and signer.public_key.keyid in finding.what
        and "not known here" in finding.what
    )
    assert look(folder, public).ok and look(folder, folder / SIGNER).ok
    (folder / SIGNER).unlink()
    assert "not signed by a key that is known here" in first(folder).what
    assert look(folder, public).findings == [Finding(SIGNER, "is missing")]


def test_only_the_named_key_counts(folder: Path, other_key: tuple[CryptoSigner, Path]) -> None:
    found = look(folder, other_key[1])
    assert (
        not found.ok
        and found.findings[0].where == STATEMENT
        and "not known here" in found.findings[0].what
    )


def test_without_a_key_of_ones_own_nobody_is_known(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "new"))
    assert "not known here" in first(folder).what
    assert not (tmp_path / "new").exists(), "looking makes no key"
    (folder / SIGNER).write_text("no key\n")
    assert first(folder).where == STATEMENT


# Runs that nobody signed


def test_a_killed_run_is_not_verified_and_its_chain_is_told(tmp_path: Path) -> None:
    run = begun_run(tmp_path / "p", "r1")
    assert first(run.folder) == Finding(
        JOURNAL, "the chain holds up to line 3, but the run never ended and is not signed"
    )
    path = run.folder / JOURNAL
    path.write_bytes(path.read_bytes().replace(b'"running"', b'"rubbing"'))
    broken, unsigned = look(run.folder).findings
    assert broken.line == 3 and "never ended" in unsigned.what and "holds" not in unsigned.what


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"kind": []}\n',
        b'{"kind": "end"}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\n",
    ],
)
def test_what_is_no_journal_is_not_verified(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(content)
    assert first(tmp_path).where in (JOURNAL, STATEMENT)


def test_a_folder_without_anything_is_not_verified(tmp_path: Path) -> None:
    assert first(tmp_path).where == STATEMENT


def test_an_empty_folder_in_a_run_is_named_as_not_covered(folder: Path) -> None:
    (folder / "added/deeper").mkdir(parents=True)
    (folder / "configuration/replica").mkdir()
    what = "is an empty folder, which no signature covers"
    assert look(folder).findings == [
        Finding(n, what) for n in ("configuration/replica", "added/deeper")
    ]


@pytest.mark.parametrize("name", [SUMMARY, SIGNER, CHECKS, JOURNAL])
def test_a_statement_that_does_not_name_what_every_run_leaves_is_not_verified(
    folder: Path, name: str
) -> None:
    """Signed by a key that is known: it may be a statement from elsewhere."""
    (folder / name).unlink()
    signed_again(
        folder / STATEMENT,
        lambda s: s.update(subject=[x for x in s["subject"] if x["name"] != name]),
    )
    found = look(folder)
    assert not found.ok and Finding(STATEMENT, f"does not name {name}") in found.findings


@pytest.mark.parametrize(
    "name", [STATEMENT, CHECKS, SUMMARY, SIGNER, JOURNAL, f"{CHAPTER}.ipynb", "added"]
)
def test_a_file_of_any_size_is_read_in_pieces(folder: Path, name: str) -> None:
    """A hole of 300 MB, which takes no room on the disk."""
    with (folder / name).open("ab") as stream:
        stream.truncate(300 * 1024**2)
    tracemalloc.start()
    found = look(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not found.ok and found.findings and peak < 250 * 1024**2


# Statements made to do harm, signed by a key that is known


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "configuration/../../secret", "", ".", "..", "a\x00b", "\x1b[2J"],
)
def test_a_statement_leads_to_no_file_outside_the_folder(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_text("s")
    digest = hashlib.sha256(b"s").hexdigest()
    signed_again(
        folder / STATEMENT,
        lambda s: s["subject"].append({"name": name, "digest": {"sha256": digest}}),
    )
    signed_again(
        folder / CHECKS, lambda s: s["subject"].append({"name": name, "digest": {"sha256": digest}})
    )
    name_again(folder, CHECKS)
    found = look(folder).findings
    assert [f.where for f in found] == [name, CHECKS] and found[0].what == "is missing"
    assert all(str(f).isprintable() for f in found)


HOSTILE: list[Callable[[dict[str, Any]], object]] = [
    lambda s: s.clear(),
    lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    lambda s: s.update(subject=[]),
    lambda s: s.update(subject=None),
    lambda s: s.update(subject=[7]),
    lambda s: s.update(subject=[{"name": 7, "digest": {}}]),
    lambda s: s["subject"][0].update(digest={}),
    lambda s: s["subject"][0].update(digest={"md5": "0"}),
    lambda s: s["subject"][0].update(digest={"sha256": None}),
    lambda s: s.update(predicate=[]),
    lambda s: s.pop("predicate"),
    lambda s: s["predicate"].update(journal={}),
    lambda s: s["predicate"].update(journal={"lines": "6", "hashes": []}),
    lambda s: s["predicate"].update(journal={"lines": 6, "hashes": []}),
    lambda s: s["predicate"].update(counts=[]),
    lambda s: s["predicate"]["journal"].update(lines=7),
    lambda s: s["predicate"]["journal"]["hashes"].append("x"),
    lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
]


NAMED = {
    2: f"{CHAPTER}.ipynb: is in the folder, but not in the signed statement",
    6: f"{CHAPTER}.ipynb: is not the file that was signed",
    7: f"{CHAPTER}.ipynb: is not the file that was signed",
    13: f"{JOURNAL}, line 1: was added: 0 lines were signed",
    15: f"{STATEMENT}: does not say what the journal says of: lines",
    16: f"{JOURNAL}, line 7: is missing: 7 lines were signed; the run was killed while it was signed, or its end was removed",
}


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_malformed_statement_is_named(folder: Path, number: int) -> None:
    signed_again(folder / STATEMENT, HOSTILE[number])
    assert str(first(folder)) == NAMED.get(
        number, f"{STATEMENT}: is signed, but is no statement of this kind"
    )


@pytest.mark.parametrize(
    "content", [b"", b"null", b"{", b"[" * 100_000, b"\xff\xfe", b'{"_type": "' + b"x" * 99 + b'"}']
)
def test_a_payload_that_is_no_statement_is_named(folder: Path, content: bytes) -> None:
    for name in (CHECKS, STATEMENT):
        store(folder / name, content, keys.signer())
        assert name in {f.where for f in look(folder).findings}


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [{"kind": "end", "status": "completed"}],
        [{"kind": "run"}, {"kind": "check"}, {"kind": "end", "status": []}],
        [{"kind": "run", "params": 7}, {"kind": "end", "status": "completed"}],
        [{"kind": "check", "passed": {}}],
        [{"kind": {}}],
    ],
)
def test_a_signed_journal_that_tells_of_no_run_is_named(
    folder: Path, entries: list[dict[str, Any]]
) -> None:
    (folder / JOURNAL).unlink()
    for entry in entries:
        audit.Journal(folder).record(
            entry["kind"], **{k: v for k, v in entry.items() if k != "kind"}
        )
    (folder / JOURNAL).touch()
    (folder / "journal.lock").unlink(missing_ok=True)
    hashes = list(audit.Journal(folder).hashes())
    signed_again(
        folder / STATEMENT,
        lambda s: s["predicate"].update(journal={"lines": len(hashes), "hashes": hashes}),
    )
    for name in (STATEMENT, CHECKS):
        signed_again(
            folder / name,
            lambda s: [
                x["digest"].update(sha256=attestation.sha256(folder / JOURNAL))
                for x in s["subject"]
                if x["name"] == JOURNAL
            ],
        )
    name_again(folder, CHECKS)
    (folder / SUMMARY).unlink()
    signed_again(
        folder / STATEMENT,
        lambda s: s.update(subject=[x for x in s["subject"] if x["name"] != SUMMARY]),
    )
    assert Finding(JOURNAL, "is not the journal of a run") in look(folder).findings


def test_a_signed_journal_with_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    run = made_run(tmp_path / "p")
    audit.Journal(run.folder).record("step", outcome=[])
    attestation.seal(Run(run.folder), keys.signer())
    assert (
        Finding(JOURNAL, "1 of its lines is no record, or of a shape that no run writes")
        in look(run.folder).findings
    )


def test_the_private_key_is_in_nothing_that_a_run_leaves(original: Path) -> None:
    private = (keys.folder() / keys.FILE).read_bytes().splitlines()[1]
    assert stat.S_IMODE((keys.folder() / keys.FILE).stat().st_mode) == 0o600
    assert not [p for p in original.rglob("*") if p.is_file() and private in p.read_bytes()]


# --- the folder's shape ----------------------------------------------------------------------------------------


def as_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def as_folder_with_the_file(path: Path) -> None:
    content = path.read_bytes()
    as_folder(path)
    (path / path.name).write_bytes(content)


def as_link(path: Path) -> None:
    there = path.rename(path.with_name(f"{path.name}.real"))
    path.symlink_to(there.name)


def as_link_elsewhere(path: Path) -> None:
    target = path.parents[1] / f"elsewhere-{path.name}"
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def doubled(path: Path) -> None:
    path.with_name(f"{path.name} (1)").write_bytes(path.read_bytes())


SHAPES = (
    Path.unlink,
    as_folder,
    as_folder_with_the_file,
    as_link,
    as_link_elsewhere,
    as_pipe,
    emptied,
    doubled,
)
SHAPED = sorted({STATEMENT, *FILES})


@pytest.mark.parametrize("shape", SHAPES, ids=[s.__name__ for s in SHAPES])
@pytest.mark.parametrize("name", SHAPED)
def test_a_file_of_another_shape_is_not_verified(
    folder: Path, name: str, shape: Callable[[Path], object]
) -> None:
    shape(folder / name)
    found = look(folder)
    assert not found.ok and found.findings and "verified: " not in str(found).splitlines()[0][:9]


@pytest.mark.parametrize("seed", range(40))
def test_several_files_of_another_shape_and_a_forged_rest_are_not_verified(
    folder: Path, seed: int
) -> None:
    chosen = random.Random(seed)
    for name in chosen.sample(SHAPED, chosen.randint(1, len(SHAPED))):
        shape = chosen.choice(SHAPES)
        if os.path.lexists(folder / name):
            shape(folder / name)
    if (folder / JOURNAL).is_file():  # what anybody can do: a chain of one's own, without a key
        (folder / JOURNAL).unlink()
        audit.Journal(folder).record("run", name="r1", chapters=[CHAPTER])
    assert not look(folder).ok


def test_statements_taken_away_and_a_folder_in_their_place_prove_nothing(folder: Path) -> None:
    (folder / CHECKS).unlink()
    as_folder(folder / STATEMENT)
    (folder / JOURNAL).unlink()
    audit.Journal(folder).record("run", name="r1", chapters=[CHAPTER])
    found = look(folder)
    assert not found.ok and (found.lines, found.files) == (0, 0)
    assert f"{STATEMENT}: is a folder, not the file that was signed" in str(found)


def test_a_verdict_without_a_proof_is_none() -> None:
    assert not Verification().ok
    assert not Verification(proof=Proof(True, frozenset(), frozenset())).ok


def test_checks_that_nobody_made_did_not_pass(tmp_path: Path) -> None:
    journal = audit.Journal(begun_run(tmp_path / "p", "r1").folder)
    journal.record("end", status="completed")
    assert attestation.results(Run(journal.path.parent))["result"] == "WARNED"
