"""The files of `secrets/`: what stands in one, or what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..doors import files
from ..doors.db import PLAIN, Address
from ..errors import EnvironmentLacking, first_line
from ..params import Params
from ..postgres import tls
from ..words.commands import addressed
from ..words.redact import register
from ..words.text import mark, t
from .action import SUPERUSER

AUTHORITY = "ca.crt"  # of `secrets/`: the certificate by which the instances are known
LINE = re.compile(rf"^\*:\*:\*:{SUPERUSER}:(.+)$", re.MULTILINE)
MISSING, EMPTY = mark("is missing"), mark("is empty")


def files_of(name: str) -> dict[str, str]:
    """What an instance's server needs for TLS: the names in its data, of what in `secrets/`."""
    return {tls.KEY: f"{name}.key", tls.CERTIFICATE: f"{name}.crt", tls.ROOT: AUTHORITY}


def secret_of(name: str) -> Callable[[str], str]:
    """The paths of the same in the cluster's folder, by the names in its data."""

    def path(file: str) -> str:
        return f"secrets/{files_of(name)[file]}"

    return path


@dataclass(frozen=True)
class Found:
    """What was found in a file's place: its text, or what is wrong."""

    text: str = ""
    wrong: str = ""

    @property
    def absent(self) -> bool:
        """Whether there is nothing that anybody could have put there."""
        return self.wrong in (MISSING, EMPTY)


def as_superuser(folder: Path, port: int, sslmode: str = PLAIN) -> Address:
    """How this machine reaches an instance of the cluster in this folder as superuser."""
    return Address("127.0.0.1", port, "postgres", superuser(folder), sslmode)


def password(path: Path) -> str:
    """The password in a file, which from now on no output shows; raises as `content` does."""
    return register(content(path).strip())


def superuser(folder: Path) -> str:
    """The superuser's password; where its file is gone, as the client programs' file has it."""
    path = folder / "secrets/superuser"
    known = ""
    if look(path).absent:
        known = remembered(path.with_name("pgpass"))
    return known or password(path)


def remembered(pgpass: Path) -> str:
    """The password that the client programs use; empty where their file does not say it."""
    found = LINE.findall(look(pgpass).text)
    return register("".join(found[:1]))


def content(path: Path) -> str:
    """The text of a file that must be there; raises `EnvironmentLacking` that says why not."""
    found = look(path)
    if found.wrong:
        remedy = t(
            "put {path} back from a copy; without one, remove what is there: where {pgpass} is "
            "still there, `pgrepl run` makes it again",
            path=path,
            pgpass=path.with_name("pgpass"),
        )
        name = f"{path.parent.name}/{path.name}"
        raise EnvironmentLacking(
            t("{file} {wrong}; nothing was changed.", file=name, wrong=t(found.wrong)),
            remedy=addressed(remedy, Params.of_folder(path.parent.parent)),
        )
    return found.text


def look(path: Path) -> Found:
    """What is in a file's place."""
    try:
        text = files.content(path).decode("utf-8")
    except FileNotFoundError:
        return Found(wrong=MISSING)
    except UnicodeDecodeError:
        return Found(wrong=t("is no text"))
    except OSError as error:
        return Found(wrong=t("cannot be read ({why})", why=first_line(error)))
    if not text.strip():
        return Found(wrong=EMPTY)
    return Found(text)
