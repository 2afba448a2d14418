"""An instance as a running server: who it is, whether it answers, follows and has read its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ..doors import answer, db
from ..doors.answer import LOOK_SECONDS, Answer, Kind
from ..doors.wait import wait_until
from ..engine.action import CONFIGURATION, Action, Tell
from ..errors import StepFailed, WaitTimeout
from . import spaces, unanswered
from .changes import left, outdated
from .topology import application_name, slot_of

if TYPE_CHECKING:
    import pandas

    from .project import Project


START_SECONDS = 90  # without progress
HUNG_LOOKS = 10  # one after the other, before a server counts as one that hangs
REFUSED_SECONDS = 20  # a replica may first have to replay a change of the password
NOT_CONNECTED = "not connected"
RECEIVES = "select 1 as n from pg_stat_wal_receiver where status = 'streaming'"
POSITION = """
select pg_last_wal_receive_lsn()::text as received, pg_last_wal_replay_lsn()::text as replayed"""


@dataclass(frozen=True)
class Server:
    """An instance by name. Names and numbers stay; who is the primary changes (`cluster.json`)."""

    cluster: Project
    name: str

    @property
    def is_replica(self) -> bool:
        """Whether it is a replica now."""
        return self.name != self.cluster.topology.primary

    def other(self, name: str) -> Self:
        """Another instance of its cluster."""
        return type(self)(self.cluster, name)

    @property
    def upstream(self) -> Self:
        """Whom this replica follows; one that is to become a replica will follow the primary."""
        topology = self.cluster.topology
        return self.other(topology.upstreams.get(self.name, topology.primary))

    @property
    def application_name(self) -> str:
        """What `pg_stat_replication` shows: replica-1 for the first replica, as in the document."""
        return application_name(self.name)

    @property
    def slot(self) -> str:
        """Its replication slot: replica_1_slot for the first replica, as in the document."""
        return slot_of(self.name)

    def conninfo(self, upstream: Server) -> str:
        """How this replica connects to another instance; of a password only its file's path."""
        engine, params = self.cluster.engine, self.cluster.params
        host, port = engine.upstream(upstream.name)
        words: dict[str, str | int] = {
            "user": params.replication_user,
            "port": port,
            "host": host,
            "application_name": self.application_name,
        }
        if params.auth_method != "trust":
            words["passfile"] = engine.passfile(self.name)
        return make_conninfo(**words)  # type: ignore[arg-type]

    def has_configuration(self) -> bool:
        """Whether both files have been copied into the cluster's folder."""
        return all(map(self.has_file, CONFIGURATION))

    def has_file(self, file: str) -> bool:
        """Whether its folder holds this configuration file."""
        return (self.cluster.folder / self.name / file).exists()

    def mode_of(self, file: str) -> int:
        """The mode of a configuration file in its folder."""
        return (self.cluster.folder / self.name / file).stat().st_mode & 0o777

    def prepared(self) -> bool:
        """Whether the data folder is complete."""
        return not self.cluster.mark(self.name).exists() and self.cluster.engine.has_data(self.name)

    def require_copyable(self) -> None:
        """Raise `StepFailed` where no copy of it would have all of its data."""
        spaces.require_none(self.cluster.engine, self.cluster.topology, self.name)

    def copyable(self) -> Action:
        """The same before a copy is begun, as a part of it."""

        def do(tell: Tell) -> None:
            self.require_copyable()

        return Action((), do)

    def wait_ready(self) -> None:
        """Wait until the server accepts connections, as long as its recovery takes and gets on.

        Raises `WaitTimeout` with the log's end; `StepFailed` for one that hangs: each of our looks
        leaves a process there that waits, too, and is no progress.
        """
        engine = self.cluster.engine
        wait_until(
            f"{self.name} to accept connections",
            self._accepting(),
            seconds=START_SECONDS,
            progress=lambda: engine.activity(self.name),
            alive=lambda: engine.running(self.name),
            log=lambda: engine.log_tail(self.name),
            hint="the log's last lines say why; correct it and run again",
        )

    def _accepting(self) -> Callable[[], tuple[bool, str]]:
        hung, let_in = 0, time.monotonic()

        def probe() -> tuple[bool, str]:
            nonlocal hung, let_in
            found = self.answer()
            hung += 1
            if found.kind is not Kind.HUNG:
                hung = 0
            if hung >= HUNG_LOOKS:
                remedy = "its log and its machine say why; a primary: `pgrepl failover`"
                raise StepFailed(f"{self.name} {found}", remedy=self.cluster.addressed(remedy))
            if found.kind is not Kind.REFUSES:
                let_in = time.monotonic()
            elif time.monotonic() - let_in > REFUSED_SECONDS:
                raise self._refused(found)
            return found.kind is Kind.ANSWERS, str(found)

        return probe

    def _refused(self, found: Answer) -> StepFailed:
        way = unanswered.let_in(self.cluster.folder, self.name)
        remedy = self.cluster.addressed(f"{way}; then `pgrepl run`")
        return StepFailed(f"{self.name} {found}", remedy=remedy)

    def position(self) -> str:
        """How far this replica has received and replayed; empty while it does not answer."""
        try:
            seen = db.row(self.address, POSITION)
            return f"received up to {seen['received']}, replayed up to {seen['replayed']}"
        except psycopg.OperationalError:
            return ""

    def _approach(self) -> str:
        """As `position`; who receives from somebody else comes no nearer to its upstream."""
        elsewhere = self.streams()[1] == NOT_CONNECTED and self.look(RECEIVES)
        if elsewhere and not isinstance(elsewhere, Answer):
            return ""
        return self.position()

    def streams(self) -> tuple[bool, str]:
        """Whether its upstream sees this replica streaming, and the state seen."""
        query = "select state from pg_stat_replication where application_name = %s"
        seen = self.upstream.look(query, [self.application_name])
        if isinstance(seen, Answer):
            return False, f"{self.upstream.name} {seen}"
        state = str(seen.get("state", NOT_CONNECTED))
        return state == "streaming", state

    def wait_streaming(self) -> None:
        """Wait until the replica streams from its upstream; raises `WaitTimeout` with the log's end.

        Raises `StepFailed` at once for one that was promoted: it never will, and what was written there is not ours to lose.
        """
        if not self.in_recovery():
            command = f"`pgrepl replica rebuild {self.name} --discard`"
            remedy = self.cluster.addressed(f"{command} throws away what was written there")
            cause = f"{self.name} accepts writes: somebody promoted it; nothing was changed there."
            raise StepFailed(cause, remedy=self.cluster.underway() or remedy)
        engine = self.cluster.engine
        if why := left.why(engine, self.name, self.cluster.topology.primary):
            cause = f"{self.name} does not follow: it is {why}; nothing was changed there."
            raise StepFailed(cause, remedy=left.remedy(engine, self.name))
        try:
            self._wait_streaming()
        except WaitTimeout as error:
            real = outdated.told(engine, self.cluster.topology)
            error.remedy = real or error.remedy
            raise

    def _wait_streaming(self) -> None:
        engine = self.cluster.engine
        hint = (
            "look for primary_conninfo, the slot and pg_hba.conf in the log's last lines; where a WAL "
            f"segment has already been removed: `pgrepl replica rebuild {self.name}`"
        )
        wait_until(
            f"{self.name} to stream from {self.upstream.name}",
            self.streams,
            seconds=60,
            progress=self._approach,
            alive=lambda: engine.running(self.name) and engine.running(self.upstream.name),
            log=lambda: engine.log_tail(self.name),
            hint=self.cluster.addressed(hint),
        )

    def drop_slot_action(self, slot: str) -> Action:
        """Drop a slot that nobody uses, which would hold WAL for ever."""
        query = sql.SQL("select pg_drop_replication_slot({});").format(slot).as_string()
        command = self.cluster.engine.client(self.name, "psql", "-c", query)

        def do(tell: Tell) -> None:
            self.wait_slot_free(slot)
            db.rows(self.address, query)

        def done() -> bool:
            return not db.row(
                self.address,
                "select slot_name from pg_replication_slots where slot_name = %s",
                [slot],
            )

        return Action((command,), do, done)

    def wait_slot_free(self, slot: str) -> None:
        """Wait until nobody uses a slot, even if it does not exist; raises `WaitTimeout`."""
        query = "select not active as free, active_pid::text as pid from pg_replication_slots where slot_name = %s"

        def probe() -> tuple[bool, str]:
            found = db.row(self.address, query, [slot])
            return not found or bool(found["free"]), f"used by process {found.get('pid')}"

        wait_until(
            f"nobody to use the slot {slot}",
            probe,
            seconds=20,
            hint="a replica still follows this instance",
        )

    def wait_replayed(self, lsn: str, seconds: float) -> None:
        """Wait until this replica has replayed the WAL up to `lsn`.

        seconds: without progress. Raises `WaitTimeout` with how far it is.
        """
        query = "select coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false) as there, pg_last_wal_replay_lsn()::text as at"

        def probe() -> tuple[bool, str]:
            found = db.row(self.address, query, [lsn])
            return bool(found["there"]), f"replayed up to {found['at']}, wanted {lsn}"

        hint = "is replay paused (pg_wal_replay_resume), or is the connection cut? pg_stat_replication knows it"
        self.wait_on_replay(f"{self.name} to replay what was written", probe, seconds, hint)

    def answers(self) -> tuple[bool, str]:
        """Whether the server answers a query, and the state seen."""
        found = self.answer()
        return found.kind is Kind.ANSWERS, str(found)

    def answer(self, seconds: int = LOOK_SECONDS) -> Answer:
        """What the server says to us. seconds: how long it may say nothing."""
        return answer.ask(self.address, seconds)

    def look(
        self,
        query: db.Query,
        values: Sequence[Any] = (),
        seconds: int = LOOK_SECONDS,
    ) -> dict[str, Any] | Answer:
        """The first row of a query, or what the server says instead, within so many seconds."""
        try:
            return answer.look(self.address, query, values, seconds)
        except OSError as error:  # no password to ask with
            return Answer(Kind.UNKNOWN, str(error))

    def query(self, statement: str) -> pandas.DataFrame:
        """The rows of an SQL statement as a table, for looking at."""
        import pandas

        return pandas.DataFrame(db.rows(self.address, statement))

    @property
    def address(self) -> db.Address:
        """How this machine reaches it as superuser."""
        return self.cluster.engine.address(self.name)

    def in_recovery(self) -> bool:
        """Whether it replays WAL and refuses writes; raises if it does not answer (manual, 9.27.4)."""
        return bool(db.row(self.address, "select pg_is_in_recovery() as r")["r"])

    def runs_as_primary(self) -> bool:
        """Whether it runs, answers and accepts writes."""
        try:
            return self.cluster.engine.running(self.name) and not self.in_recovery()
        except (psycopg.Error, OSError):
            return False

    def stale(self) -> bool:
        """Whether an edited file is not read yet, or an edit waits for a restart."""
        query = "select exists (select from pg_settings where pending_restart) as waiting"
        return bool(self.unread() or db.row(self.address, query)["waiting"])

    def unread(self) -> list[str]:
        """Its files that were edited after the server last read them."""
        times = [path.stat().st_mtime for path in self.files()]
        query = """select n as name from unnest(%s::text[], %s::float8[]) as file (n, edited)
                   where pg_conf_load_time() < to_timestamp(edited)"""
        return [r["name"] for r in db.rows(self.address, query, [list(CONFIGURATION), times])]

    def wait_on_replay(
        self,
        what: str,
        probe: Callable[[], tuple[bool, str]],
        seconds: float,
        hint: str = "",
    ) -> None:
        """As `wait_until`, limited by how long replay stands still; ends when the server ends."""
        engine = self.cluster.engine
        wait_until(
            what,
            probe,
            seconds=seconds,
            progress=self.position,
            log=lambda: engine.log_tail(self.name),
            alive=lambda: engine.running(self.name),
            hint=hint,
        )

    def files(self) -> list[Path]:
        """Its configuration files in the cluster's folder."""
        return [self.cluster.folder / self.name / f for f in CONFIGURATION]
