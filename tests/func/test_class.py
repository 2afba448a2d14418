"""A class on one host: a real Hub, system users, and participants who sign in, work, and stay out of each other's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from pgrepl_lib.classroom import roster
from tests.conftest import PATIENCE
from tests.everyone import python_for_all

from .participant import Participant

pytest.importorskip("jupyterhub")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a class has system users: only root")
NAMES = ("ana", "bia")


class Room:
    """A class that has been made, and the commands by which its leader works."""

    def __init__(self, python: str, variables: dict[str, str], port: int) -> None:
        self.name, self.port = f"t{uuid4().hex[:6]}", port
        self.program = [python, "-P", "-m", "pgrepl_lib", "--lang", "en", "class"]
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("PGREPL_", "XDG_"))}
        self.variables = {**kept, **variables}

    def answers(self, verb: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.program, verb, self.name, *more],
            env=self.variables,
            cwd="/",
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


@pytest.fixture(scope="module")
def room(free_port: Any) -> Iterator[Room]:
    with python_for_all() as (python, variables):
        made = Room(python, variables, free_port())
        try:
            made.does("create", "--names", ",".join(NAMES), "--port", str(made.port))
            yield made
        finally:
            print((roster.CLASSES / made.name / "hub/hub.log").read_text()[-6000:])
            made.does("destroy", "--yes")


@pytest.fixture(scope="module")
def ana(room: Room) -> Participant:
    return room.signed_in("ana")


@pytest.fixture(scope="module")
def bia(room: Room) -> Participant:
    return room.signed_in("bia")


def test_a_participant_signs_in_and_makes_a_verified_replica(ana: Participant) -> None:
    code = "import os, pgrepl_lib; print(os.environ['PGREPL_PROJECT'], os.getuid() != 0)"
    assert "ana True" in ana.executed(code, "ana True")
    told = ana.typed("pgrepl run && pgrepl status")
    assert "concluído" in told.encode().decode("unicode_escape"), told
