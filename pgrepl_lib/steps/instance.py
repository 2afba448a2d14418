"""One PostgreSQL server of a cluster, and the document's steps on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from ..checks import slots
from ..cluster import identity, restarts
from ..cluster.dropping import wait_slot_free
from ..cluster.server import Server
from ..cluster.topology import owner_of
from ..doors import db, files
from ..doors.command import Command
from ..doors.wait import wait_until
from ..drift import snapshot, undo
from ..engine.action import (
    CONFIGURATION,
    NOTHING,
    PRIMARY,
    TEMPORARY_PRIMARY,
    Action,
    Shown,
    Tell,
    temporary_of,
)
from ..engine.edit import Edit
from ..errors import StepFailed
from ..logins import logins
from ..postgres import conf, progress
from ..postgres.limits import limits
from . import replacing
from .steps import Steps


class Instance(Server):
    """An instance with the steps that make, start and stop it."""

    cluster: Steps[Instance]

    # --- configuration files -------------------------------------------------------------------------------

    def copy_configuration(self, file: str, title: str = "") -> str:
        """Step: copy `postgresql.conf` or `pg_hba.conf` out of the temporary instance."""
        target = self.cluster.folder / self.name / file
        temporary = temporary_of(self.name) if self.is_replica else TEMPORARY_PRIMARY
        action = self.cluster.engine.copy_out(temporary, file, target)
        once = Action(action.commands, action.do, lambda: self.has_file(file))
        return self.cluster.perform(title or f"Copy {self.name}'s {file}", once)

    def make_readable(self, file: str, title: str = "") -> str:
        """Step: mode 644, so that the server's user may read the file (correction 3)."""
        path = self.cluster.folder / self.name / file
        shown = f"chmod 644 {self.name}/{file}"
        action = Action(
            (shown,), lambda tell: path.chmod(0o644), lambda: self.mode_of(file) == 0o644
        )
        return self.cluster.perform(title or f"Make {self.name}/{file} readable", action)

    def configure(self, settings: Mapping[str, Any], title: str = "") -> str:
        """Step: write these settings, and the parameter `settings`, as the managed block of `postgresql.conf`.

        Limits that the number of replicas needs are raised, and so shown with the rest.
        """
        needed = limits(len(self.cluster.topology.names) - 1)
        raised = {n: max(v, int(settings.get(n, 0))) for n, v in needed.items()}
        lines = conf.setting_lines({**settings, **raised, **self.cluster.params.settings})
        return self._edit(CONFIGURATION[0], "settings", lines, title)

    def allow_replication(self, title: str = "") -> str:
        """Step: the `pg_hba.conf` rule for the replication user; first, because the first match decides."""
        params, network = self.cluster.params, self.cluster.engine.rule_network()
        lines = conf.hba_lines(params.replication_user, network, params.auth_method)
        return self._edit(CONFIGURATION[1], "replication", lines, title)

    def follow(self, upstream: Server, title: str = "") -> str:
        """Step: `primary_conninfo` and `primary_slot_name` in the replica's `postgresql.conf` (document, last section)."""
        return self._edit(CONFIGURATION[0], "standby", self.standby_lines(upstream), title)

    def standby_lines(self, upstream: Server) -> list[str]:
        """What makes a server that starts in recovery follow this upstream, over its own slot."""
        return conf.setting_lines(
            {"primary_conninfo": self.conninfo(upstream), "primary_slot_name": self.slot}
        )

    # --- primary -------------------------------------------------------------------------------------------

    def create_replication_user(self, title: str = "") -> str:
        """Step: `createuser --replication`; with SCRAM also its password, of which the server gets only the verifier."""
        engine, params = self.cluster.engine, self.cluster.params
        scram, secret = params.auth_method != "trust", self.cluster.folder / "secrets/replication"
        create = engine.tool(self.name, "createuser", "--replication", params.replication_user)
        psql = engine.tool(self.name, "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1")
        password = Command(psql.argv, psql.user, psql.env, "secrets/replication.sql", psql.shown)  # type: ignore[arg-type]

        def role() -> dict[str, Any]:
            return db.row(self.address, snapshot.USER, [params.replication_user])

        def do(tell: Tell) -> None:
            if not (found := role()):
                engine.run(create)
            elif statement := undo.rights_back(self.cluster, found):
                db.rows(self.address, statement)
            elif not found["rolreplication"]:
                raise StepFailed(
                    f"The role {params.replication_user} exists without the replication right.",
                    remedy="use another replication_user, or ALTER ROLE … REPLICATION",
                )
            if scram:
                logins.write_statement(engine, self.name)
                engine.run(password)
                logins.end_expiry(self.address, params.replication_user)

        def done() -> bool:
            if not (found := role()) or undo.rights_back(self.cluster, found):
                return False
            fits = not scram or logins.fits(self.address, params.replication_user, secret)
            return bool(found["rolreplication"] and fits)

        statement = logins.statement_command(params.replication_user)
        commands = anew = (create, statement, password) if scram else (create,)
        if (
            self.answers()[0]
            and (found := role())
            and (back := undo.rights_back(self.cluster, found))
        ):
            commands = (
                engine.client(self.name, "psql", "-c", f"{back.as_string()};"),
                *commands[1:],
            )
        return self.cluster.perform(
            title or "Create the replication user", Action(commands, do, done, anew)
        )

    def create_slot(self, slot: str, title: str = "") -> str:
        """Step: the physical slot of a replica, which reserves WAL at once (correction 6)."""
        follows = self.cluster.topology.upstreams.get(owner_of(slot), self.name)  # maybe another
        action = self.slot_action(slot) if follows == self.name else NOTHING
        return self.cluster.perform(title or f"Create the slot {slot}", action)

    def slot_action(self, slot: str) -> Action:
        """The same as an action, for steps that do more."""
        query = (
            sql.SQL("select * from pg_create_physical_replication_slot({}, true);")
            .format(slot)
            .as_string()
        )
        command = self.cluster.engine.client(self.name, "psql", "-c", query)

        def done() -> bool:
            found = db.row(
                self.address,
                "select slot_type from pg_replication_slots where slot_name = %s",
                [slot],
            )
            return bool(found)

        return Action((command,), lambda tell: db.rows(self.address, query), done)

    # --- replica -------------------------------------------------------------------------------------------

    def start_temporary(self, title: str = "") -> str:
        """Step: a place with the replica's empty data folder (document: repl_temp)."""
        self.cluster.require_primary()
        return self.cluster.perform(
            title or f"Start a temporary {self.name}", self._temporary_action()
        )

    def _temporary_action(self) -> Action:
        action = self.cluster.engine.start_temporary_replica(self.name)

        def do(tell: Tell) -> None:
            self.upstream.require_copyable()
            files.write_atomic(self.cluster.mark(self.name), "")
            action.do(tell)

        done = lambda: self.prepared() or (self.cluster.mark(self.name).exists() and action.done())  # noqa: E731
        return Action(action.commands, do, done)

    def base_backup(self, title: str = "") -> str:
        """Step: `pg_basebackup` with the document's options, and with the slot, so that no WAL it needs can go."""
        return self.cluster.perform(title or "Make the base backup", self._backup_action())

    def backup_arguments(self) -> tuple[str, ...]:
        """The document's options of `pg_basebackup`, and the slot."""
        user = f"--username={self.cluster.params.replication_user}"
        how = ("--format=p", "--write-recovery-conf", "--checkpoint=fast")
        whose = (f"--label={self.application_name}", "--progress", user, "--no-password")
        return (*how, *whose, f"--slot={self.slot}")

    def replacing_action(self) -> Action:
        """Its data replaced by a new copy of its upstream; they stay until that is complete."""
        engine, mark, source = self.cluster.engine, self.cluster.mark(self.name), self.upstream
        copy = replacing.copy_action(engine, self.name, source.name, self.backup_arguments(), mark)
        return Action.sequence([source.copyable(), copy])

    def _backup_action(self) -> Action:
        engine = self.cluster.engine
        commands = engine.base_backup(self.name, self.upstream.name, self.backup_arguments())

        def do(tell: Tell) -> None:
            self.upstream.require_copyable()
            engine.discard_backup(self.name)
            wait_slot_free(self.upstream, self.slot)
            for command in commands:
                engine.run(command, lambda line: tell(progress.percent(line)))

        return Action(commands, do, lambda: self.prepared() or engine.backup_complete(self.name))

    def forget_recovery_settings(self, title: str = "") -> str:
        """Step: one owner for `primary_conninfo`: the copy in `postgresql.auto.conf` goes (corrections 4 and 5)."""
        return self.cluster.perform(
            title or "Give primary_conninfo one owner", self._one_owner_action()
        )

    def _one_owner_action(self) -> Action:
        command = self.cluster.engine.forget_recovery_settings(self.name)
        return Action((command,), lambda tell: self._run(command), self.prepared)

    def remove_temporary(self, title: str = "") -> str:
        """Step: the temporary replica ends; from now on the data folder counts as complete."""
        return self.cluster.perform(
            title or f"Remove the temporary {self.name}", self._end_temporary_action()
        )

    def _end_temporary_action(self) -> Action:
        action = self.cluster.engine.remove_temporary(temporary_of(self.name), keep_for=self.name)

        def do(tell: Tell) -> None:
            action.do(tell)
            files.remove(self.cluster.mark(self.name))

        done = lambda: action.done() and not self.cluster.mark(self.name).exists()  # noqa: E731
        return Action(action.commands, do, done)

    def copy_actions(self) -> list[Action]:
        """The document's way to a complete data folder, from the slot on, for steps that do it as a whole."""
        slot = self.upstream.slot_action(self.slot)
        return [
            slot,
            self._temporary_action(),
            self._backup_action(),
            self._one_owner_action(),
            self._end_temporary_action(),
        ]

    # --- running -------------------------------------------------------------------------------------------

    def start(self, title: str = "") -> str:
        """Step: start the server, wait until it answers, and let it take over edited files (a restart only if needed)."""
        self.cluster.settle_port(self.name)
        action = undo.renewed(self, undo.with_settings(self, self.start_action()))
        return self.cluster.perform(
            title or f"Start {self.name}", slots.tidied(self.cluster, self, action)
        )

    def start_action(self) -> Action:
        """The same as an action; raises `StepFailed` for a replica that has no data: it must not make its own."""
        self._require_complete()
        cluster, password = self.cluster, self.password_action()
        action = cluster.engine.start(self.name, initialise=self._is_first())

        def do(tell: Tell) -> None:
            cluster.bring_up_above(self.name, tell)
            if not action.done():
                identity.require_own_data(cluster.engine, cluster.topology, self.name)
                replacing.forget_copy(cluster.engine, self.name, cluster.mark(self.name))
            password.do(tell)
            restarts.start(self, action, tell)
            cluster.learn_identity()
            restarts.take_over(self)
            if self.name in cluster.topology.upstreams:
                self.wait_streaming()
            restarts.release(self)

        def done() -> bool:
            ready = action.done() and self.answers()[0] and not self.stale() and password.done()
            return ready and restarts.follows(self)

        return Action(self.start_commands(), do, done, anew=self.start_commands(anew=True))

    def _require_complete(self) -> None:
        if self.is_replica and not (self.has_configuration() and self.prepared()):
            cause = f"{self.name} has no complete data folder yet."
            remedy = self.cluster.addressed("`pgrepl run` prepares it (chapter 02)")
            raise StepFailed(cause, remedy=remedy)

    def _is_first(self) -> bool:
        """Whether no data have ever been: only then may the primary be made from nothing."""
        topology = self.cluster.topology
        return self.name == topology.primary == PRIMARY and not topology.system_identifier

    def start_commands(self, *, anew: bool = False) -> tuple[Shown, ...]:
        """What a person would type to start it and to wait until it answers or streams.

        anew: for a cluster that is built from nothing.
        """
        engine = self.cluster.engine
        first = self.name == PRIMARY and (anew or self._is_first())
        start = engine.start(self.name, initialise=first)
        commands = (*self.password_action().commands, *start.commands)
        if not self.is_replica:
            return commands
        query = f"select state from pg_stat_replication where application_name = '{self.application_name}'"
        streams = engine.client(self.upstream.name, "psql", "-Atc", query)
        return *commands, f"until {streams} | grep -qx streaming; do sleep 1; done"

    def password_action(self) -> Action:
        """What its server needs to log in to an upstream; a primary needs it only to become a replica."""
        if not self.is_replica:
            return NOTHING
        return Action.sequence([self.cluster.engine.give_password(self.name)])

    def stop(self, title: str = "") -> str:
        """Step: stop the server; what it has committed is flushed and, from a primary, sent first."""
        return self.cluster.perform(
            title or f"Stop {self.name}", self.cluster.engine.stop(self.name)
        )

    def kill(self, title: str = "") -> str:
        """Step: SIGKILL, for drills."""
        return self.cluster.perform(
            title or f"Kill {self.name}", self.cluster.engine.kill(self.name)
        )

    def pause_replay(self, title: str = "") -> str:
        """Step: the replica goes on receiving WAL and stops applying it."""
        return self.cluster.perform(
            title or f"Pause replay on {self.name}", self._replay_action("pause", "paused")
        )

    def resume_replay(self, title: str = "") -> str:
        """Step: the replica applies WAL again, what has piled up first."""
        return self.cluster.perform(
            title or f"Resume replay on {self.name}", self._replay_action("resume", "not paused")
        )

    # --- pieces --------------------------------------------------------------------------------------------

    def _replay_action(self, verb: str, wanted: str) -> Action:
        statement = f"select pg_wal_replay_{verb}();"
        command = self.cluster.engine.client(self.name, "psql", "-c", statement)

        def probe() -> tuple[bool, str]:
            state = str(
                db.row(self.address, "select pg_get_wal_replay_pause_state() as state")["state"]
            )
            return state == wanted, state

        def do(tell: Tell) -> None:
            db.rows(self.address, statement)
            wait_until(f"replay on {self.name} to be {wanted}", probe, seconds=30)

        return Action((command,), do, lambda: probe()[0])

    def _edit(self, file: str, block: str, lines: Sequence[str], title: str) -> str:
        edit = Edit(self.cluster.folder, f"{self.name}/{file}", {block: lines})
        action = Action((edit,), lambda tell: edit.write(), edit.done)
        return self.cluster.perform(title or f"Edit {self.name}/{file}", action)

    def _run(self, *commands: Command) -> None:
        for command in commands:
            self.cluster.engine.run(command)
