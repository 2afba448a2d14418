"""Participants' passwords: made to be read aloud and typed, kept as digests."""

from __future__ import annotations

import hashlib
import hmac
import secrets

CONSONANTS, VOWELS = "bcdfgjklmnprstvz", "aeiou"
SYLLABLES = 3  # of each of the two words
COST = {"n": 2**14, "r": 8, "p": 1}  # scrypt, some 50 ms for each attempt


def new() -> str:
    """Two words that mean nothing, such as `rulatu-bafezo`: 38 bits, enough for guessing online."""
    return "-".join(map(_word, range(2)))


def _word(_: int) -> str:
    pairs = (secrets.choice(CONSONANTS) + secrets.choice(VOWELS) for _ in range(SYLLABLES))
    return "".join(pairs)


def digest(password: str) -> str:
    """What is kept of a password: salt and digest (scrypt, RFC 7914)."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{_digest(password, salt)}"


def fits(password: str, kept: str) -> bool:
    """Whether this is the password of which that was kept."""
    salt, _, wanted = kept.partition(":")
    return bool(wanted) and hmac.compare_digest(_digest(password, bytes.fromhex(salt)), wanted)


def _digest(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, **COST).hex()
