"""People come, go and begin anew, and the class stops for the night."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ..doors import files
from ..errors import ParameterError
from ..words.text import t
from . import limits, making, reviving, roster, serving, users
from .roster import Class, Person

BEFORE = "before"  # in the class's folder: what those had done who began anew


def add(made: Class, names: Iterable[str]) -> list[Person]:
    """Take more people in; who is there already is refused."""
    wanted = list(names)
    if again := [name for name in wanted if name in made.people]:
        raise ParameterError(
            t("In the class already: {names}; nothing was touched.", names=", ".join(again)),
            remedy=t("take another name"),
        )
    with roster.held(made.name):
        roster.with_people(made, wanted)
        people = [made.people[name] for name in wanted]
        making.require(made, people)
        made.write()
        for person in people:
            making.admit(made, person)
    return people


def remove(made: Class, person: Person) -> None:
    """A participant goes, with his work."""
    with roster.held(made.name):
        users.require_ours(made, person)
        person.password = ""  # from now on nobody comes in
        made.write()
        _forget(made, person)
        making.dismiss(made, person)
        del made.people[person.name]
        roster.keep_password(made, person.name, None)
        made.write()


def reset(made: Class, person: Person) -> Path:
    """A participant begins anew; where all that he had done is kept."""
    with roster.held(made.name):
        users.require_ours(made, person)
        _ask(made, "DELETE", f"users/{made.login(person)}/server")
        users.end(made.login(person))
        kept = made.folder / BEFORE / f"{person.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        files.make_folder(kept.parent, 0o700)
        files.move(made.home(person), kept)
        users.make(made, person)
    return kept


def new_password(made: Class, person: Person) -> str:
    """Another password; whoever signed in with the old one has to do it again."""
    with roster.held(made.name):
        word = making.renew_password(made, person)
        _forget(made, person)
    return word


def start(made: Class, tell: Callable[[str], None]) -> None:
    """Start the Hub, and the servers that ran when it, or the machine, was stopped."""
    serving.start(made)
    with roster.held(made.name):
        reviving.revive(made, tell)


def stop(made: Class) -> None:
    """End the Hub and all that participants run; their clusters stay as they are."""
    with roster.held(made.name):
        for person in made.people.values():
            person.ran = reviving.running(made, person) or person.ran
        made.write()
        serving.stop(made)
        for person in made.people.values():
            if users.ours(made, made.login(person)):
                users.end(made.login(person))
                limits.forget(made.login(person))


def _forget(made: Class, person: Person) -> None:
    """Whoever is signed in as he is signed out, and his notebook server ends."""
    _ask(made, "DELETE", f"users/{made.login(person)}")


def _ask(made: Class, method: str, path: str) -> None:
    """A Hub that does not run, or never saw him, has nothing to forget."""
    with suppress(urllib.error.URLError):
        serving.ask(made, method, path)
