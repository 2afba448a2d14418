"""The role that replicas log in with: made once, and given back the rights that are recorded."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from ...cluster.server import Server
from ...doors import ahead, db
from ...doors.command import Command
from ...drift import recorded, snapshot, undo
from ...engine.action import Action, Shown, Tell
from ...errors import EnvironmentLacking, StepFailed
from ...logins import logins, public
from ...postgres import guards
from ...words.text import t

NOT_ASKED = (psycopg.Error, OSError, EnvironmentLacking)


def action(primary: Server) -> Action:
    """Make it; with SCRAM also its password, of which the server gets only the verifier."""
    user = _User(primary)
    leaves = ahead.leaves(primary.name, user_made=True)
    return Action(user.commands(), user.make, user.made, user.anew(), leaves, user.is_recorded)


class _User:
    """The role on one server."""

    def __init__(self, primary: Server) -> None:
        self.primary, self.cluster, self.engine = primary, primary.cluster, primary.cluster.engine
        self.name = self.cluster.params.replication_user
        self.scram = self.cluster.params.auth_method != "trust"

    def make(self, tell: Tell) -> None:
        """The role, its rights and its password, each where it is not so yet."""
        found = self._found()
        if not found:
            for name in self._opened():
                public.close_in(self.primary.address, name)
            self.engine.run(self._create())
        elif statement := undo.rights_back(self.cluster, found):
            db.rows(self.primary.address, statement)
        elif not found["rolreplication"]:
            raise StepFailed(
                t("The role {name} exists without the replication right.", name=self.name),
                remedy=t("use another replication_user, or ALTER ROLE … REPLICATION"),
            )
        if self.scram:
            logins.write_statement(self.engine, self.primary.name)
            self.engine.run(self._password())
            logins.end_expiry(self.primary.address, self.name)

    def made(self) -> bool:
        """Whether nothing of that is left."""
        return ahead.fact("user_made", self.primary.name, self._is_made)

    def _is_made(self) -> bool:
        found = self._found()
        if not found or undo.rights_back(self.cluster, found) or not found["rolreplication"]:
            return False
        secret = self.cluster.folder / "secrets/replication"
        return not self.scram or logins.fits(self.primary.address, self.name, secret)

    def is_recorded(self) -> bool:
        """Whether a stopped primary had it."""
        return bool(recorded.of_instance(self.primary)) and recorded.has_user(self.cluster)

    def anew(self) -> tuple[Shown, ...]:
        """What a person would type for a new cluster."""
        opened = (public.close_command(self.engine, self.primary.name, n) for n in self._opened())
        return (*opened, self._create(), *self._known())

    def commands(self) -> tuple[Shown, ...]:
        """The same for this one: it may have the role already, with other rights."""
        found = self._asked()
        if not found:
            return self.anew()
        if not (back := undo.rights_back(self.cluster, found)):
            return self._known() or self.anew()
        text = f"{back.as_string()};"
        return (self.engine.client(self.primary.name, "psql", "-c", text), *self._known())

    def _found(self) -> dict[str, Any]:
        return db.row(self.primary.address, snapshot.USER, [self.name])

    def _asked(self) -> dict[str, Any]:
        """The same; nothing where no server can be asked."""
        with suppress(*NOT_ASKED):
            return self._found()
        return {}

    def _opened(self) -> list[str]:
        """Where everybody may create objects, of the databases that a new cluster has.

        Those of a cluster that is in use stay as they are: it may live by that.
        """
        if not guards.wanted(self.cluster.params):
            return []
        return public.OPEN_AT_FIRST.get(self.cluster.params.pg_version, [])

    def _known(self) -> tuple[Shown, ...]:
        """How the server comes to know its password."""
        if not self.scram:
            return ()
        return (logins.statement_command(self.name), self._password())

    def _create(self) -> Command:
        return self.engine.tool(self.primary.name, "createuser", "--replication", self.name)

    def _password(self) -> Command:
        words = ("psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1")
        psql = self.engine.tool(self.primary.name, *words)
        return replace(psql, stdin=Path("secrets/replication.sql"))
