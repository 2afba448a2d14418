"""A class of a test's own, and the commands by which its leader works."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from pgrepl_lib.classroom import roster, users
from tests.conftest import PATIENCE
from tests.everyone import python_for_all

from .participant import Participant

Completed = subprocess.CompletedProcess[str]


class Room:
    """A class, and the commands by which its leader works."""

    def __init__(self, python: str, variables: dict[str, str], port: int) -> None:
        self.name, self.port = f"t{uuid4().hex[:6]}", port
        self.program = [python, "-P", "-m", "pgrepl_lib", "--lang", "en", "class"]
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("PGREPL_", "XDG_"))}
        self.variables = {**kept, **variables}

    @property
    def folder(self) -> Path:
        return roster.CLASSES / self.name

    def answers(
        self, verb: str, *more: str, name: str = "", user: int = 0, prefix: Sequence[str] = ()
    ) -> Completed:
        return subprocess.run(
            [*prefix, *self.program, verb, name or self.name, *more],
            env=self.variables,
            cwd="/",
            user=user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240 * PATIENCE,
        )

    def does(self, verb: str, *more: str) -> Any:
        done = self.answers(verb, *more, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def people(self) -> dict[str, dict[str, Any]]:
        return {p["name"]: p for p in self.does("list")["people"]}

    def signed_in(self, name: str) -> Participant:
        person = self.people()[name]
        found = Participant(self.port, person["login"])
        assert found.sign_in(person["password"]) == 200
        found.wait_for_server()
        return found

    def processes(self, name: str) -> list[psutil.Process]:
        return users.of_user(pwd.getpwnam(f"{self.name}-{name}").pw_uid)


@contextmanager
def class_of(names: str, port: int, *more: str) -> Iterator[Room]:
    """A class that is gone afterwards, with all that it had."""
    with python_for_all() as (python, variables):
        made = Room(python, variables, port)
        try:
            made.does("create", "--names", names, "--port", str(port), *more)
            yield made
        finally:
            print((made.folder / "hub/hub.log").read_text()[-6000:])
            numbers = [e.pw_uid for e in pwd.getpwall() if e.pw_name.startswith(f"{made.name}-")]
            made.does("destroy", "--yes")
            assert not made.folder.exists() and not any(map(users.of_user, numbers))
            assert not [e for e in pwd.getpwall() if e.pw_name.startswith(f"{made.name}-")]
