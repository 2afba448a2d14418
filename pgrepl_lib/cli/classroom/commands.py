"""`pgrepl class`: a class on one host, from its first participant to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...doors import terminal
from ...errors import ParameterError
from ...words.text import mark, t
from ..group import EPILOG, main, option
from ..options import FILE, JSON, YES
from ..output import give, print_table
from ..question import agreed

STARTED = mark("the class {name} is at {address}")
LEADER = mark("the leader's page: {address} (login {login}, password {password})")
LOOSE = mark(
    "here the limit of {memory} MB holds for each process, not for all that a participant runs: "
    "this system lets nobody limit more (cgroup v2)"
)
NOT_AGREED = mark("Nothing was removed: no confirmation.")
RUNS = {True: "✔", False: ""}  # in a table
NAME = click.argument("name")
PERSON = click.argument("person")


@main.group(name="class")
def classroom() -> None:
    """A workshop on this machine: a login, a notebook server and a cluster for each participant."""


@classroom.command(epilog=EPILOG)
@NAME
@option("--participants", default=0, type=click.IntRange(0, 500), help="How many: p01, p02, ….")
@option("--names", default="", help="Their names instead, with commas: ana,bia,caio.")
@option(
    "--port", default=8000, show_default=True, help="The class's; the next three are taken, too."
)
@option("--memory", default=2048, show_default=True, help="Megabytes for each participant.")
@option("--idle", default=60, show_default=True, help="Minutes until an idle notebook server ends.")
@option("--certificate", type=FILE, help="For TLS, in PEM, with --key. [default: a new one]")
@option("--key", type=FILE, help="The certificate's key, in PEM.")
@JSON
def create(name: str, participants: int, names: str, as_json: bool, **how: Any) -> None:
    """Make a class and start it. An interrupted one is finished by running this again."""
    from ...classroom import making, roster, serving

    making.require_root()
    files = how.pop("certificate"), how.pop("key")
    roster.read(name)  # refuses a name that no class can have
    wanted = roster.Class(name=name, **how)
    roster.with_people(wanted, roster.names_of(names, participants))
    made = making.create(wanted, terminal.tell, *files)
    serving.start(made)
    _give_list(made, as_json)


@classroom.command(name="list", epilog=EPILOG)
@NAME
@option("--page", type=FILE, help="To print: one HTML page, with a card for each participant.")
@JSON
def listed(name: str, page: Path | None, as_json: bool) -> None:
    """Who takes part: login, password, and what each runs."""
    from ...classroom import looking

    made = _existing(name)
    if page:
        looking.write_cards(page, looking.look(made))
        terminal.tell(t("written: {file}", file=page))
        return
    _give_list(made, as_json)


@classroom.command(epilog=EPILOG)
@NAME
@PERSON
@JSON
def add(name: str, person: str, as_json: bool) -> None:
    """Take PERSON in, or several: ana,bia."""
    from ...classroom import changing, roster

    made = _existing(name)
    changing.add(made, roster.names_of(person, 0))
    _give_list(made, as_json)


@classroom.command(epilog=EPILOG)
@NAME
@PERSON
@YES
@JSON
def remove(name: str, person: str, yes: bool, as_json: bool) -> None:
    """Remove PERSON with the system user, the work and the cluster."""
    from ...classroom import changing

    made = _existing(name)
    who = made.require(person)
    if not agreed(
        [t("{login} goes, with all work and the cluster", login=made.login(who))], yes=yes
    ):
        remedy = f"`pgrepl class remove {name} {person} --yes`"
        raise ParameterError(t(NOT_AGREED), remedy=remedy)
    changing.remove(made, who)
    _give_state(made, as_json)


@classroom.command(epilog=EPILOG)
@NAME
@PERSON
@option("--password", is_flag=True, help="Only a new password; the work stays.")
@JSON
def reset(name: str, person: str, password: bool, as_json: bool) -> None:
    """Let PERSON begin anew. What was done is kept aside, in the class's folder."""
    from ...classroom import changing, roster

    made = _existing(name)
    who = made.leader
    if person != roster.LEADER or not password:
        who = made.require(person)
    if password:
        word = changing.new_password(made, who)
        text = t("the new password of {login}: {password}", login=made.login(who), password=word)
        give(as_json, {"login": made.login(who), "password": word}, text)
        return
    kept = changing.reset(made, who)
    text = t(
        "{login} begins anew; what was done is in {folder}", login=made.login(who), folder=kept
    )
    give(as_json, {"login": made.login(who), "kept": kept}, text)


@classroom.command(epilog=EPILOG)
@NAME
@JSON
def start(name: str, as_json: bool) -> None:
    """Start the Hub of a class that was stopped, or whose machine was, and what ran then."""
    from ...classroom import changing, making

    made = _existing(name)
    making.require_complete(made)
    changing.start(made, terminal.tell)
    _give_state(made, as_json)


@classroom.command(epilog=EPILOG)
@NAME
@JSON
def stop(name: str, as_json: bool) -> None:
    """End the Hub and all that participants run. Clusters, work and logins stay."""
    from ...classroom import changing

    changing.stop(_existing(name))
    give(as_json, {"class": name, "running": False}, t("the class {name} is stopped", name=name))


@classroom.command(epilog=EPILOG)
@NAME
@YES
@JSON
def destroy(name: str, yes: bool, as_json: bool) -> None:
    """Remove all that was made for a class: users, work, clusters, the Hub."""
    from ...classroom import making

    made = _existing(name)
    told = t("these go, with all work and clusters: {names}", names=", ".join(made.logins))
    if not agreed([told], yes=yes):
        raise ParameterError(t(NOT_AGREED), remedy=f"`pgrepl class destroy {name} --yes`")
    left = making.destroy(made, terminal.tell)
    for login in left:
        terminal.tell(t("not this class's, and left as it is: {login}", login=login))
    give(as_json, {"class": name, "left": left}, t("the class {name} is removed", name=name))


def _existing(name: str) -> Any:
    """The class, for root alone: it holds the passwords."""
    from ...classroom import making, roster

    making.require_root()
    return roster.existing(name)


def _give_list(made: Any, as_json: bool) -> None:
    from ...classroom import looking

    _give(looking.look(made), as_json)


def _give_state(made: Any, as_json: bool) -> None:
    """The same without passwords: a leader's screen may be on the wall."""
    from ...classroom import looking

    seen = looking.look(made)
    for person in (seen["leader"], *seen["people"]):
        del person["password"]
    _give(seen, as_json)


def _give(seen: dict[str, Any], as_json: bool) -> None:
    if as_json:
        give(True, seen, "")
        return
    terminal.give(t(STARTED, name=seen["class"], address=seen["address"]))
    if seen["leader"].get("password"):
        terminal.give(t(LEADER, **seen["leader"]))
    if not seen["limited together"]:
        terminal.give(t(LOOSE, memory=seen["memory"]))
    if not seen["answers"]:
        command = f"pgrepl class start {seen['class']}"
        terminal.give(t("the Hub does not answer; to start it: `{command}`", command=command))
    if seen["people"]:
        print_table([{**p, "notebooks": RUNS[p["notebooks"]]} for p in seen["people"]])
