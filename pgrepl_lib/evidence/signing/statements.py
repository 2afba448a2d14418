"""What is signed: in-toto Statements about a run's files and its checks, each in a DSSE envelope.

Sources: in-toto Attestation Framework v1 (Statement, ResourceDescriptor), its predicate test-result
v0.1, DSSE v1, and `docs/predicate-run-v1.md` for the predicate about a run.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

STATEMENT, CHECKS, SIGNER = "statement.dsse.json", "checks.dsse.json", "signer.pub"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
CONFIGURATION = "configuration"  # the sub-folder with the settings that the checks were made on


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)

    def text(self) -> str:
        """As JSON."""
        return json.dumps(self.model_dump(by_alias=True), indent=2, ensure_ascii=False)


class Subject(_Model):
    """A file of the run: its path below the run's folder, and its SHA-256 by "sha256"."""

    name: str
    digest: dict[str, str]


class Lines(_Model):
    """The journal: how many lines, and the SHA-256 of each, to name the first that differs."""

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
    passed_tests: list[str]
    warned_tests: list[str]
    failed_tests: list[str]


class Statement(_Model):
    """What every in-toto Statement has: whom it is about."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(
        default="https://in-toto.io/Statement/v1", alias="_type"
    )
    subject: list[Subject]


class RunStatement(Statement):
    """That a run was as its predicate says, and left these files."""

    predicate_type: Literal["urn:pgrepl:run:v1"] = "urn:pgrepl:run:v1"
    predicate: RunFacts


class ChecksStatement(Statement):
    """That the checks recorded in these files ended as the predicate says."""

    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = (
        "https://in-toto.io/attestation/test-result/v0.1"
    )
    predicate: CheckResults


def opened(content: bytes) -> Envelope:
    """A stored envelope; `ValueError` for every spelling but ours: no byte is free to change."""
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
    sig = base64.b64encode(bytes.fromhex(signature.signature)).decode()
    plain = {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [{"keyid": signature.keyid, "sig": sig}],
    }
    return json.dumps(plain, indent=2) + "\n"


def holds(envelope: Envelope, key: SSlibKey) -> bool:
    """Whether the signature in an envelope is of this key."""
    from securesystemslib.exceptions import VerificationError

    try:
        envelope.verify([key], 1)
    except VerificationError:
        return False
    return True


def signed(statement: Statement, signer: CryptoSigner) -> str:
    """A statement in its envelope, with the signature."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(statement.text().encode(), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return _stored(envelope)
