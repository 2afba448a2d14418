"""One PostgreSQL server of a cluster, and the document's steps on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import OperationalError, sql
from psycopg.conninfo import make_conninfo

from . import conf, db, files
from .command import Command
from .engine import CONFIGURATION, TEMPORARY_PRIMARY, TEMPORARY_REPLICA, Action, Tell
from .errors import StepFailed
from .wait import wait_until

if TYPE_CHECKING:
    import pandas

    from .cluster import Cluster

START_SECONDS = 90


@dataclass(frozen=True)
class Instance:
    """An instance by name; number 0 is the primary that the document sets up, 1 its first replica."""

    cluster: Cluster
    name: str
    number: int

    @property
    def application_name(self) -> str:
        """What `pg_stat_replication` shows: replica-1 for the first replica, as in the document."""
        return f"replica-{self.number}"

    @property
    def slot(self) -> str:
        """The replication slot on the primary: replica_1_slot for the first replica, as in the document."""
        return f"replica_{self.number}_slot"

    # --- configuration files -------------------------------------------------------------------------------

    def has_configuration(self) -> bool:
        """Whether both files have been copied into the cluster's folder."""
        return all((self.cluster.folder / self.name / f).exists() for f in CONFIGURATION)

    def copy_configuration(self, file: str, title: str = "") -> str:
        """Step: copy `postgresql.conf` or `pg_hba.conf` out of the temporary instance."""
        target = self.cluster.folder / self.name / file
        temporary = TEMPORARY_REPLICA if self.number else TEMPORARY_PRIMARY
        action = self.cluster.engine.copy_out(temporary, file, target)
        return self.cluster.perform(title or f"Copy {self.name}'s {file}", Action(action.commands, action.do, target.exists))

    def make_readable(self, file: str, title: str = "") -> str:
        """Step: mode 644, so that the server's user may read the file (correction 3)."""
        path = self.cluster.folder / self.name / file
        shown = f"chmod 644 {self.name}/{file}"
        action = Action((shown,), lambda tell: path.chmod(0o644), lambda: path.stat().st_mode & 0o777 == 0o644)
        return self.cluster.perform(title or f"Make {self.name}/{file} readable", action)

    def configure(self, settings: Mapping[str, Any], title: str = "") -> str:
        """Step: write these settings, and the parameter `settings`, as the managed block of `postgresql.conf`."""
        lines = conf.setting_lines({**settings, **self.cluster.params.settings})
        return self._edit("postgresql.conf", title, lambda text: conf.with_block(text, "settings", lines))

    def allow_replication(self, title: str = "") -> str:
        """Step: the `pg_hba.conf` rule for the replication user; first, because the first match decides."""
        params, network = self.cluster.params, self.cluster.engine.rule_network()
        lines = conf.hba_lines(params.replication_user, network, params.auth_method)
        return self._edit("pg_hba.conf", title, lambda text: conf.with_block(text, "replication", lines, first=True))

    def follow(self, primary: Instance, title: str = "") -> str:
        """Step: `primary_conninfo` and `primary_slot_name` in the replica's `postgresql.conf` (document, last section)."""
        lines = conf.setting_lines({"primary_conninfo": self.conninfo(), "primary_slot_name": self.slot})
        return self._edit("postgresql.conf", title, lambda text: conf.with_block(text, "standby", lines))

    def conninfo(self) -> str:
        """How this replica connects to its primary; a password is never in it, only the path of its file."""
        engine, params = self.cluster.engine, self.cluster.params
        host, port = engine.upstream()
        words: dict[str, str | int] = {
            "user": params.replication_user,
            "port": port,
            "host": host,
            "application_name": self.application_name,
        }
        if params.auth_method != "trust":
            words["passfile"] = engine.passfile(self.name)
        return make_conninfo(**words)  # type: ignore[arg-type]

    # --- primary -------------------------------------------------------------------------------------------

    def create_replication_user(self, title: str = "") -> str:
        """Step: `createuser --replication`; with SCRAM also its password, of which the server gets only the verifier."""
        engine, params = self.cluster.engine, self.cluster.params
        scram = params.auth_method != "trust"
        create = engine.client(self.name, "createuser", "--replication", params.replication_user)
        psql = engine.client(self.name, "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1")
        password = Command(psql.argv, psql.user, psql.env, "secrets/replication.sql", psql.shown)  # type: ignore[arg-type]

        def role() -> dict[str, Any]:
            query = "select rolreplication, rolpassword is not null as password from pg_authid where rolname = %s"
            return db.row(self.address, query, [params.replication_user])

        def do(tell: Tell) -> None:
            if not (found := role()):
                engine.run(create)
            elif not found["rolreplication"]:
                raise StepFailed(f"The role {params.replication_user} exists without the replication right.",
                                 remedy="use another replication_user, or ALTER ROLE … REPLICATION")  # fmt: skip
            if scram:
                self._write_password_file()
                engine.run(password)

        def done() -> bool:
            found = role()
            return bool(found and found["rolreplication"] and (found["password"] or not scram))

        commands = (create, password) if scram else (create,)
        return self.cluster.perform(title or "Create the replication user", Action(commands, do, done))

    def create_slot(self, slot: str, title: str = "") -> str:
        """Step: the physical slot of a replica, which reserves WAL at once (correction 6)."""
        query = sql.SQL("select * from pg_create_physical_replication_slot({}, true);").format(slot).as_string()
        command = self.cluster.engine.client(self.name, "psql", "-c", query)

        def done() -> bool:
            found = db.row(self.address, "select slot_type from pg_replication_slots where slot_name = %s", [slot])
            return bool(found)

        action = Action((command,), lambda tell: self._run(command), done)
        return self.cluster.perform(title or f"Create the slot {slot}", action)

    # --- replica -------------------------------------------------------------------------------------------

    def start_temporary(self, title: str = "") -> str:
        """Step: a place with the replica's empty data folder (document: repl_temp)."""
        self.cluster.require_primary()
        action = self.cluster.engine.start_temporary_replica(self.name)

        def do(tell: Tell) -> None:
            files.write_atomic(self.cluster.mark(self.name), "")
            action.do(tell)

        done = lambda: self.prepared() or (self.cluster.mark(self.name).exists() and action.done())  # noqa: E731
        return self.cluster.perform(title or f"Start a temporary {self.name}", Action(action.commands, do, done))

    def base_backup(self, title: str = "") -> str:
        """Step: `pg_basebackup` with the document's options, and with the slot, so that no WAL it needs can go."""
        engine, params = self.cluster.engine, self.cluster.params
        arguments = ("--format=p", "--write-recovery-conf", "--checkpoint=fast", f"--label={self.application_name}",
                     "--progress", f"--username={params.replication_user}", "--no-password", f"--slot={self.slot}")  # fmt: skip
        commands = engine.base_backup(self.name, arguments)

        def do(tell: Tell) -> None:
            engine.discard_backup(self.name)
            for command in commands:
                engine.run(command, lambda line: tell(_percent(line)))

        done = lambda: self.prepared() or engine.backup_complete(self.name)  # noqa: E731
        return self.cluster.perform(title or "Make the base backup", Action(commands, do, done))

    def forget_recovery_settings(self, title: str = "") -> str:
        """Step: one owner for `primary_conninfo`: the copy in `postgresql.auto.conf` goes (corrections 4 and 5)."""
        command = self.cluster.engine.forget_recovery_settings(self.name)
        action = Action((command,), lambda tell: self._run(command), self.prepared)
        return self.cluster.perform(title or "Give primary_conninfo one owner", action)

    def remove_temporary(self, title: str = "") -> str:
        """Step: the temporary replica ends; from now on the data folder counts as complete."""
        action = self.cluster.engine.remove_temporary(TEMPORARY_REPLICA)

        def do(tell: Tell) -> None:
            action.do(tell)
            files.remove(self.cluster.mark(self.name))

        done = lambda: action.done() and not self.cluster.mark(self.name).exists()  # noqa: E731
        return self.cluster.perform(title or f"Remove the temporary {self.name}", Action(action.commands, do, done))

    def prepared(self) -> bool:
        """Whether the data folder is complete."""
        return not self.cluster.mark(self.name).exists() and self.cluster.engine.has_data(self.name)

    # --- running -------------------------------------------------------------------------------------------

    def start(self, title: str = "") -> str:
        """Step: start the server, wait until it answers, and let it take over edited files (a restart only if needed)."""
        engine = self.cluster.engine
        action = engine.start(self.name)
        if self.number and (self.cluster.mark(self.name).exists() or not self.has_configuration()):
            raise StepFailed(f"{self.name} has no complete data folder yet.", remedy="run chapter 02 from its beginning")

        def do(tell: Tell) -> None:
            if not action.done():
                tell("…")
                action.do(tell)
            self.wait_ready()
            self._take_over_configuration()
            if self.number:
                self.wait_streaming()

        def done() -> bool:
            ready = action.done() and self.answers()[0] and not self.stale()
            return ready and (not self.number or self.streams()[0])

        return self.cluster.perform(title or f"Start {self.name}", Action(action.commands, do, done))

    def wait_ready(self) -> None:
        """Wait until the server accepts connections; raises `WaitTimeout` with the log's end."""
        engine = self.cluster.engine
        wait_until(f"{self.name} to accept connections", self.answers, seconds=START_SECONDS,
                   alive=lambda: engine.running(self.name), log=lambda: engine.log_tail(self.name),
                   hint="the log's last lines say why; correct it and run again")  # fmt: skip

    def streams(self) -> tuple[bool, str]:
        """Whether the primary sees this replica streaming, and the state seen."""
        query = "select state from pg_stat_replication where application_name = %s"
        try:
            found = db.row(self.cluster.primary.address, query, [self.application_name]).get("state", "not connected")
        except OperationalError as error:
            found = f"the primary does not answer: {str(error).strip().splitlines()[0][:160]}"
        return found == "streaming", str(found)

    def wait_streaming(self) -> None:
        """Wait until the replica streams from the primary; raises `WaitTimeout` with the log's end."""
        engine = self.cluster.engine
        wait_until(f"{self.name} to stream from the primary", self.streams, seconds=60,
                   alive=lambda: engine.running(self.name) and engine.running(self.cluster.primary.name),
                   log=lambda: engine.log_tail(self.name),
                   hint="look for primary_conninfo, the slot and pg_hba.conf in the log's last lines")  # fmt: skip

    def wait_replayed(self, lsn: str, seconds: float) -> None:
        """Wait until this replica has replayed the WAL up to `lsn`; raises `WaitTimeout` with how far it is."""
        query = "select coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false) as there, pg_last_wal_replay_lsn()::text as at"

        def probe() -> tuple[bool, str]:
            found = db.row(self.address, query, [lsn])
            return bool(found["there"]), f"replayed up to {found['at']}, wanted {lsn}"

        engine = self.cluster.engine
        wait_until(f"{self.name} to replay what was written", probe, seconds=seconds,
                   log=lambda: engine.log_tail(self.name), alive=lambda: engine.running(self.name),
                   hint="is replay paused (pg_wal_replay_resume), or the connection cut? See pg_stat_replication")  # fmt: skip

    def answers(self) -> tuple[bool, str]:
        """Whether the server answers a query, and the state seen."""
        try:
            db.row(self.address, "select 1")
            return True, "answers"
        except OperationalError as error:
            return False, str(error).strip().splitlines()[0][:160]

    def query(self, statement: str) -> pandas.DataFrame:
        """The rows of an SQL statement as a table, for looking at."""
        import pandas

        return pandas.DataFrame(db.rows(self.address, statement))

    @property
    def address(self) -> db.Address:
        """How this machine reaches it as superuser."""
        return self.cluster.engine.address(self.name)

    # --- pieces --------------------------------------------------------------------------------------------

    def _edit(self, file: str, title: str, change: Any) -> str:
        return self.cluster.edit(title or f"Edit {self.name}/{file}", self.cluster.folder / self.name / file, change)

    def _run(self, *commands: Command) -> None:
        for command in commands:
            self.cluster.engine.run(command)

    def _write_password_file(self) -> None:
        user = self.cluster.params.replication_user
        password = (self.cluster.folder / "secrets/replication").read_text().strip()
        verifier = db.scram_verifier(self.address, password, user)
        text = sql.SQL("alter role {} password {};\n").format(sql.Identifier(user), verifier).as_string()
        files.write_atomic(self.cluster.folder / "secrets/replication.sql", text, 0o600)
        self.cluster.engine.prepare()

    def stale(self) -> bool:
        """Whether a file was edited after the server last read it, or an edit waits for a restart."""
        newest = max((self.cluster.folder / self.name / f).stat().st_mtime for f in CONFIGURATION)
        query = ("select pg_conf_load_time() < to_timestamp(%s) as old, "
                 "exists (select from pg_settings where pending_restart) as waiting")  # fmt: skip
        found = db.row(self.address, query, [newest])
        return bool(found["old"] or found["waiting"])

    def _take_over_configuration(self) -> None:
        if not self.stale():
            return
        db.row(self.address, "select pg_reload_conf()")
        wait_until(f"{self.name} to read its files", lambda: (not self._old(), "old configuration"), seconds=10)
        if db.rows(self.address, "select name from pg_settings where pending_restart"):
            if self.number:
                self._learn_limits()
            self.cluster.engine.stop(self.name).do(lambda line: None)
            self.cluster.engine.start(self.name).do(lambda line: None)
            self.wait_ready()

    def _learn_limits(self) -> None:
        """Replay the primary's change of limits such as max_connections before restarting with the same ones.

        With lower ones than it knows the primary to have, a replica does not start; where the primary's are now higher,
        it pauses replay instead, which shows that it knows (manual, Hot Standby, Administrator's Overview).
        """
        lsn = db.row(self.cluster.primary.address, "select pg_current_wal_flush_lsn()::text as lsn")["lsn"]
        query = "select pg_last_wal_replay_lsn() >= %s::pg_lsn or pg_get_wal_replay_pause_state() = 'paused' as knows"

        def probe() -> tuple[bool, str]:
            return bool(db.row(self.address, query, [lsn])["knows"]), f"has not replayed up to {lsn}"

        engine = self.cluster.engine
        wait_until(f"{self.name} to see the primary's limits", probe, seconds=START_SECONDS,
                   log=lambda: engine.log_tail(self.name), alive=lambda: engine.running(self.name))  # fmt: skip

    def _old(self) -> bool:
        newest = max((self.cluster.folder / self.name / f).stat().st_mtime for f in CONFIGURATION)
        return bool(db.row(self.address, "select pg_conf_load_time() < to_timestamp(%s) as old", [newest])["old"])


def _percent(line: str) -> str:
    found = re.search(r"(\d+)%", line)
    return f"{found[1]} %" if found else line.strip()[:60]
