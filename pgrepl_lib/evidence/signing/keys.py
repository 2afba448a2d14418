"""Signing keys (Ed25519, RFC 8032, as PEM): one that is named, or the user's own, made once."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from ...doors.files import content as bounded
from ...doors.files import make_folder, write_atomic
from ...errors import EnvironmentLacking, ParameterError, first_line
from ...words.text import joined, mark, t

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

VARIABLE = "PGREPL_SIGNING_KEY"
FILE = "signing-key.pem"
CLOSE = mark("chmod 600 {path}; if others may have read it, make a new one")
MAKE_ONE = mark("make one: openssl genpkey -algorithm ed25519 -out FILE; chmod 600 FILE")
NOT_ED25519 = mark("{path} is not an Ed25519 key.")


def folder() -> Path:
    """Where the user's own key is kept."""
    from platformdirs import user_config_path

    return user_config_path("pgrepl")


def signer(named: Path | None = None) -> CryptoSigner:
    """What signs runs: the key named here or by PGREPL_SIGNING_KEY, else the user's own.

    The user's own is made where there is none. Raises `ParameterError` where the file is not an
    unencrypted Ed25519 key (PKCS #8, PEM) that only its owner may read; `EnvironmentLacking` where
    the user's own cannot be made.
    """
    path = named or _named_by_environment()
    return _read(path) if path else _own()


def public(path: Path) -> SSlibKey:
    """The public key in a PEM file; raises `ParameterError` where it holds none of Ed25519."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    remedy = t("name the signer's public key, such as signing-key.pub beside their signing key")
    content = _content(path, t("Cannot read the public key {path}.", path=path), remedy)
    try:
        key = load_pem_public_key(content)
    except Exception as error:  # the library's own kinds differ between its versions
        private = b"PRIVATE KEY-----" in content
        raise ParameterError(
            t("{path} is not a public key.", path=path),
            looked_at=[t("it holds a private key") if private else first_line(error)],
            remedy=remedy,
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise _another_kind(path, key, remedy)
    return SSlibKey.from_crypto(key)


def _another_kind(path: Path, key: object, remedy: str) -> ParameterError:
    cause = t(NOT_ED25519, path=path)
    return ParameterError(cause, looked_at=[type(key).__name__], remedy=remedy)


def own_public() -> SSlibKey | None:
    """The public half of what this user signs with; None where there is none yet."""
    if path := _named_by_environment():
        return _read(path).public_key
    published = _published(folder() / FILE)
    return public(published) if published.exists() else None


def pem(key: SSlibKey) -> str:
    """A public key as PEM text, as `openssl` reads it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"]))
    return raw.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _named_by_environment() -> Path | None:
    return Path(value) if (value := os.environ.get(VARIABLE)) else None


def _published(path: Path) -> Path:
    return path.with_suffix(".pub")


def _own() -> CryptoSigner:
    """The user's own key; two runs that start at once make one key."""
    from securesystemslib.signer import CryptoSigner

    path = folder() / FILE
    try:
        if not path.exists():
            make_folder(path.parent, 0o700)
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    write_atomic(path, CryptoSigner.generate_ed25519().private_bytes, 0o600)
        found = _read(path)
        write_atomic(_published(path), pem(found.public_key))
    except (EnvironmentLacking, OSError) as error:
        cause = t(
            "Runs are signed, and no signing key can be kept in {folder}.", folder=path.parent
        )
        name = t("name a key with --key FILE or {variable}", variable=VARIABLE)
        remedy = joined("; ", [name, t(MAKE_ONE)])
        raise EnvironmentLacking(cause, looked_at=[first_line(error)], remedy=remedy) from error
    return found


def _read(path: Path) -> CryptoSigner:
    """The signer of a private key's file; nobody but its owner may read it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner

    cause = t("Cannot read the signing key {path}.", path=path)
    content = _content(path, cause, t(MAKE_ONE))
    if (mode := path.stat().st_mode & 0o777) & 0o077:
        raise ParameterError(
            t("The signing key {path} can be used by others than its owner.", path=path),
            looked_at=[t("mode {mode:04o}", mode=mode)],
            remedy=t(CLOSE, path=shlex.quote(str(path))),
        )
    key = _private(path, content)
    if not isinstance(key, Ed25519PrivateKey):
        raise _another_kind(path, key, t(MAKE_ONE))
    return CryptoSigner(key)


def _private(path: Path, content: bytes) -> object:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(content, password=None)
    except TypeError:
        raise ParameterError(
            t("The signing key {path} is encrypted; nobody is asked for a password.", path=path),
            remedy=f"openssl pkey -in {shlex.quote(str(path))} -out FILE; chmod 600 FILE",
        ) from None
    except Exception as error:  # the library's own kinds differ between its versions
        raise ParameterError(
            t("{path} is not a private key as PEM (PKCS #8).", path=path),
            looked_at=[first_line(error)],
            remedy=t(MAKE_ONE),
        ) from None


def _content(path: Path, cause: str, remedy: str) -> bytes:
    """What the file holds. Anything but a file is refused unread: a pipe would never end."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(t("not a file"))
        return bounded(path)
    except OSError as error:
        raise ParameterError(cause, looked_at=[first_line(error)], remedy=remedy) from None
