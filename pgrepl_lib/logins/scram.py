"""Whether a password is the one whose verifier a server keeps (RFC 5802; manual, 53.8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")


def fits(password: str, verifier: str | None) -> bool:
    """False also where there is none, or one of another method. password: printable ASCII."""
    found = VERIFIER.fullmatch(verifier or "")
    if not found:
        return False
    salt, stored = base64.b64decode(found[2]), base64.b64decode(found[3])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, int(found[1]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(key).digest(), stored)
