"""The class as data: who takes part, with which login and ports, and where that is written down."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from ..doors import files
from ..errors import ParameterError, ProjectBusy
from ..params import MAX_REPLICAS
from ..words.text import mark, t

CLASSES = Path("/var/lib/pgrepl-classes")
FILE = "class.json"
PASSWORDS = "passwords.json"  # to print; the Hub knows digests alone
LEADER = "lideranca"  # who signs in as this sees the room, and has no user, server or cluster
PEOPLE, HUB = "people", "hub"  # folders: the homes, and what only root may see
CLASS_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
PERSON_NAME = re.compile(r"[a-z0-9](-?[a-z0-9]){0,14}")
PORTS_EACH = MAX_REPLICAS + 4  # the primary's, the replicas', and a few to try things
FIRST_PORT = 12000  # below those that clusters without a class choose from
NAME_RULE = mark("1 to 16 of a-z and 0-9, the first a letter; given: {name}")
PERSON_RULE = mark("1 to 15 of a-z, 0-9 and single '-' inside; given: {name}")
RESERVED = mark("{name} is the leader's login; take another name")


class Person(BaseModel):
    """A participant, or the leader. password: its digest; since: when it was made.

    port: the first of a participant's; 0 for the leader, who has none. ran: the instances that ran
    when the class was stopped.
    """

    name: str
    port: int = 0
    password: str = ""
    ran: list[str] = []
    since: datetime = Field(default_factory=lambda: datetime.now(UTC))


def _leader() -> Person:
    return Person(name=LEADER)


class Class(BaseModel):
    """A class. id: by which its users are known as ours; port: of the Hub, three more follow it.

    memory: megabytes for all processes of a participant; tasks: how many; idle: minutes after which
    a notebook server without work is ended; token: for our own requests to the Hub;
    own_certificate: whether the class has made it, and nobody else has signed it.
    """

    name: str
    id: str = Field(default_factory=lambda: secrets.token_hex(8))
    port: int = 8000
    memory: int = 2048
    tasks: int = 1024
    idle: int = 60
    token: str = Field(default_factory=lambda: secrets.token_hex(32), repr=False)
    own_certificate: bool = True
    complete: bool = False
    people: dict[str, Person] = {}
    leader: Person = Field(default_factory=_leader)

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return CLASSES / self.name

    @property
    def hub(self) -> Path:
        """What only root may see."""
        return self.folder / HUB

    def home(self, person: Person) -> Path:
        """A participant's own folder."""
        return self.folder / PEOPLE / person.name

    def login(self, person: Person) -> str:
        """By which he signs in; a participant's system user has the same name."""
        if person is self.leader:
            return LEADER
        return f"{self.name}-{person.name}"

    @property
    def projects(self) -> dict[str, Path]:
        """The folders of the participants' projects, by their names."""
        return {p.name: self.home(p) / ".local/share/pgrepl" / p.name for p in self.people.values()}

    @property
    def logins(self) -> list[str]:
        """Those of all participants."""
        return [self.login(person) for person in self.people.values()]

    def who(self, login: str) -> Person | None:
        """Whose login this is; None for nobody's of this class."""
        if login == LEADER:
            return self.leader
        name = login.removeprefix(f"{self.name}-")
        return self.people.get(name) if name != login else None

    def require(self, name: str) -> Person:
        """The participant of this name; raises `ParameterError`."""
        if person := self.people.get(name):
            return person
        raise ParameterError(
            t("Nobody in the class {name} is called {person}.", name=self.name, person=name),
            looked_at=[", ".join(self.people)],
            remedy=t("name one of these, or add somebody: `{command}`", command=self._adds(name)),
        )

    def _adds(self, name: str) -> str:
        return f"pgrepl class add {self.name} {name}"

    def free_port(self) -> int:
        """The first port for one more participant, which no class here has given away."""
        taken = {p.port for c in (*classes(), self) for p in c.people.values()}
        return next(p for p in range(FIRST_PORT, 65536, PORTS_EACH) if p not in taken)

    def write(self) -> None:
        """Write it down, for root alone."""
        text = self.model_dump_json(indent=2) + "\n"
        files.write_atomic(self.folder / FILE, text, 0o600)


def read(name: str) -> Class | None:
    """The class of this name on this machine; None where there is none. Raises `ParameterError`."""
    if not CLASS_NAME.fullmatch(name):
        raise wrong("NAME", t(NAME_RULE, name=name))
    return read_file(CLASSES / name / FILE)


def read_file(file: Path) -> Class | None:
    """The class that a file describes."""
    try:
        return Class.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise ParameterError(
            t("{file} is no description of a class any more.", file=file),
            remedy=t("put it back from a copy"),
        ) from None


def existing(name: str) -> Class:
    """The same for one that has to be there."""
    if found := read(name):
        return found
    there = ", ".join(c.name for c in classes()) or t("no class")
    command = f"pgrepl class create {name} --participants 10"
    raise ParameterError(
        t("There is no class {name} on this machine.", name=name),
        looked_at=[t("{folder} holds: {names}", folder=CLASSES, names=there)],
        remedy=t("to make it: `{command}`", command=command),
    )


def classes() -> list[Class]:
    """All classes on this machine."""
    return [c for file in sorted(CLASSES.glob(f"*/{FILE}")) if (c := read_file(file))]


def names_of(given: str, participants: int) -> list[str]:
    """The names that were given, else p01 to so many; raises `ParameterError`."""
    if not given:
        return [f"p{number:02}" for number in range(1, participants + 1)]
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if not PERSON_NAME.fullmatch(name):
            raise wrong("--names", t(PERSON_RULE, name=name))
    if LEADER in names:
        raise wrong("--names", t(RESERVED, name=LEADER))
    if len(set(names)) < len(names) or participants not in (0, len(names)):
        raise wrong("--names", t("each name once, and as many as --participants says"))
    return names


def wrong(what: str, rule: str) -> ParameterError:
    """That something was given that no class can have."""
    return ParameterError(
        t("The class cannot be made like this; nothing was touched."),
        looked_at=[f"{what}: {rule}"],
        remedy=t("correct it: `{command}` tells the rules", command="pgrepl class create --help"),
    )


def with_people(found: Class, names: Iterable[str]) -> None:
    """Take these in, each with ports of his own."""
    for name in names:
        if name not in found.people:
            found.people[name] = Person(name=name, port=found.free_port())


@contextmanager
def held(name: str) -> Iterator[None]:
    """Nobody else changes the class meanwhile; raises `ProjectBusy`.

    The lock lies where participants may not enter: they could hold it, too.
    """
    for folder, mode in ((CLASSES, 0o755), (CLASSES / name, 0o711), (CLASSES / name / HUB, 0o700)):
        files.make_folder(folder, mode)
    try:
        with FileLock(CLASSES / name / HUB / ".lock", timeout=0):
            yield
    except Timeout:
        raise ProjectBusy(
            t("Another command is at work on the class {name}.", name=name),
            remedy=t("wait until it ends, then do this again"),
        ) from None


def passwords(found: Class) -> dict[str, str]:
    """The passwords that are kept to print, by participants' names."""
    known: dict[str, Any] = json.loads(files.text(found.folder / PASSWORDS) or "{}")
    return {name: str(word) for name, word in known.items()}


def keep_password(found: Class, name: str, password: str | None) -> None:
    """Keep a participant's password to print, or with None no more."""
    known = {n: word for n, word in passwords(found).items() if n != name}
    if password:
        known[name] = password
    files.write_atomic(found.folder / PASSWORDS, json.dumps(known, indent=2) + "\n", 0o600)
