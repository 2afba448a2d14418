"""What can be seen of a class from outside: what each participant runs, and the page to print."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from ..doors import files
from ..evidence.template import filled
from . import limits, roster, serving, users
from .roster import PORTS_EACH, Class, Person

MEGABYTE = 1024**2
CARDS = Path(__file__).parent / "templates/cards.html.j2"
PAIR = 2  # of a fingerprint's digits, as browsers group them
NOTEBOOKS = "jupyterhub.singleuser"  # in the command of a participant's notebook server


def look(made: Class) -> dict[str, Any]:
    """The class and its people, fit for JSON."""
    known = roster.passwords(made)
    return {
        "class": made.name,
        "address": serving.address(made),
        "fingerprint": fingerprint(made),
        "own_certificate": made.own_certificate,
        "memory": made.memory,
        "limited together": limits.for_all(),
        "running": serving.process(made) is not None,
        "answers": serving.answers(made),
        "complete": made.complete,
        "leader": {
            "address": serving.address(made) + serving.ROOM,
            "login": roster.LEADER,
            "password": known.get(roster.LEADER),
        },
        "people": [_person(made, p, known.get(p.name)) for p in made.people.values()],
    }


def fingerprint(made: Class) -> str:
    """The certificate's, as browsers show it (SHA-256); empty before there is one."""
    with suppress(OSError, ValueError):
        text = (made.hub / "hub.crt").read_text("ascii").partition("-----END CERTIFICATE-----")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert("".join(text[:2]))).hexdigest().upper()
    return ""


def _person(made: Class, person: Person, password: str | None) -> dict[str, Any]:
    entry = users.ours(made, made.login(person))
    there = users.of_user(entry.pw_uid) if entry else []
    return {
        "name": person.name,
        "login": made.login(person),
        "password": password,
        "port range": f"{person.port}-{person.port + PORTS_EACH - 1}",
        "notebooks": any(map(_is_notebooks, there)),
        "instances": sum(map(users.is_postmaster, there)),
        "memory (MB)": round(sum(map(_memory, there)) / MEGABYTE),
        "processes": len(there),
    }


def _is_notebooks(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return NOTEBOOKS in process.cmdline()
    return False


def _memory(process: psutil.Process) -> int:
    """Bytes; what several share counts for each as its part."""
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def write_cards(file: Path, seen: Mapping[str, Any]) -> None:
    """A page to print and cut, with a card for each; its owner's alone: it shows the passwords."""
    digits = seen["fingerprint"]
    pairs = [digits[i : i + PAIR] for i in range(0, len(digits), PAIR)]
    words = {"this": seen, **seen, "fingerprint": ":".join(pairs)}
    files.write_atomic(file, filled(CARDS, **words), 0o600)
