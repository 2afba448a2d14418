"""An instance as a running server: whether it answers, follows and has read its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.conninfo import make_conninfo

from ..doors import ahead, answer, db, files
from ..doors.answer import LOOK_SECONDS, Answer, Kind
from ..doors.wait import wait_until
from ..engine.action import CONFIGURATION, PASSFILE
from ..errors import StepFailed, WaitTimeout, first_line
from ..postgres import conf, tls
from ..postgres.recovery import POSITION, RECEIVES, REPLAYED
from ..words.text import joined, mark, t
from . import spaces
from .changes import left, outdated
from .changes.unanswered import Patience, awaited
from .topology import application_name, slot_of

if TYPE_CHECKING:
    from .project import Project

START_SECONDS = 90  # without progress
REPLAYING = mark("{name} to replay what was written")
STANDS_STILL = mark("`pgrepl lag` says whether replay stands still, and whether it is connected")
PENDING = "select exists (select from pg_settings where pending_restart) as waiting"
NOT_CONNECTED = mark("not connected")
# A stranger may have its name; its own connection uses a slot.
SENDER = """
select state from pg_stat_replication r left join pg_replication_slots s on s.active_pid = r.pid
where application_name = %s order by s.slot_name is null"""
UNREAD = """
select n as name from unnest(%s::text[], %s::float8[]) as file (n, edited)
where pg_conf_load_time() < to_timestamp(edited)"""


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
        words: dict[str, str | int] = {"user": params.replication_user, "port": port, "host": host}
        words["application_name"] = self.application_name
        if database := params.databases[1:]:
            words["dbname"] = database[0]
        if params.auth_method != "trust":
            words["passfile"] = engine.protected(self.name, PASSFILE)
        words |= tls.conninfo_words(params, partial(engine.protected, self.name))
        return make_conninfo(**words)  # type: ignore[arg-type]

    def has_configuration(self) -> bool:
        """Whether both files have been copied into the cluster's folder."""
        return all(map(self.has_file, CONFIGURATION))

    def has_file(self, file: str) -> bool:
        """Whether its folder holds this configuration file, and not our part of it alone."""
        path = self.cluster.folder / self.name / file
        return files.there(path) and (path in ahead.seen().texts or conf.is_whole(files.text(path)))

    def told_path(self, file: str) -> str:
        """A configuration file's path as its server tells it: in UTF-8, whatever this locale is."""
        path = self.cluster.engine.configuration_path(self.name, file)
        return os.fsencode(path).decode("utf-8", errors="replace")

    def mode_of(self, file: str) -> int:
        """The mode of a configuration file in its folder."""
        return files.mode(self.cluster.folder / self.name / file)

    def prepared(self) -> bool:
        """Whether the data folder is complete."""
        return not self.cluster.mark(self.name).exists() and self.cluster.engine.has_data(self.name)

    def require_copyable(self) -> None:
        """Raise `StepFailed` where no copy of it would have all of its data."""
        spaces.require_none(self.cluster.engine, self.cluster.topology, self.name)

    def wait_ready(self) -> None:
        """Wait until the server accepts connections, as long as its recovery takes and gets on.

        Raises `WaitTimeout` with the log's end; `StepFailed` for one that hangs: each of our looks
        leaves a process there that waits, too, and is no progress.
        """
        patience = Patience(self.name, self.cluster.params)

        def probe() -> tuple[bool, str]:
            found = self.answer()
            patience.require_hope(found)
            return found.kind is Kind.ANSWERS, found.told

        engine = self.cluster.engine
        wait_until(
            t("{name} to accept connections", name=self.name),
            probe,
            seconds=START_SECONDS,
            progress=partial(engine.activity, self.name),
            alive=partial(engine.running, self.name),
            log=partial(engine.log_tail, self.name),
            hint=t("the log's last lines say why; correct it and run again"),
        )

    def position(self) -> str:
        """How far this replica has received and replayed; empty while it does not answer."""
        try:
            seen = db.row(self.address, POSITION)
        except psycopg.OperationalError:
            return ""
        return t("received up to {received}, replayed up to {replayed}", **seen)

    def _approach(self) -> str:
        """As `position`; who receives from somebody else comes no nearer to its upstream."""
        elsewhere = self.streams()[1] == NOT_CONNECTED and self.look(RECEIVES)
        if elsewhere and not isinstance(elsewhere, Answer):
            return ""
        return self.position()

    def streams(self) -> tuple[bool, str]:
        """Whether its upstream sees this replica streaming, and the state seen."""
        seen = self.upstream.look(SENDER, [self.application_name])
        if isinstance(seen, Answer):
            return False, joined(" ", [self.upstream.name, seen.told])
        state = str(seen.get("state", NOT_CONNECTED))
        return state == "streaming", state

    @ahead.measured
    def wait_streaming(self) -> None:
        """Wait until it streams from its upstream; raises `WaitTimeout` with the log's end.

        Raises `StepFailed` at once for one that was promoted: it never will, and what was written
        there is not ours to lose.
        """
        engine, name = self.cluster.engine, self.name
        self.require_recovery()
        if why := left.why(engine, name, self.cluster.topology.primary):
            says = mark("{name} does not follow: it is {why}; nothing was changed there.")
            raise StepFailed(t(says, name=name, why=why), remedy=left.remedy(engine, name))
        try:
            self._wait_streaming()
        except WaitTimeout as error:
            real = outdated.told(engine, topology := self.cluster.topology)
            error.remedy = real or error.remedy
            if silent := awaited(engine, topology, name, self.upstream.name):
                raise silent from None
            raise

    def require_recovery(self) -> None:
        """Raise `StepFailed` for a replica that somebody promoted."""
        if self.in_recovery():
            return
        throw = mark("`pgrepl replica rebuild {name} --discard` throws away what was written there")
        says = mark("{name} accepts writes: somebody promoted it; nothing was changed there.")
        remedy = self.cluster.addressed(t(throw, name=self.name))
        raise StepFailed(t(says, name=self.name), remedy=self.cluster.underway() or remedy)

    def _wait_streaming(self) -> None:
        engine, upstream = self.cluster.engine, self.upstream

        def probe() -> tuple[bool, str]:
            streams, state = self.streams()
            return streams, t(state)

        def alive() -> bool:
            return engine.running(self.name) and engine.running(upstream.name)

        hint = t(
            "look for primary_conninfo, the slot and pg_hba.conf in the log's last lines; where a "
            "WAL segment has already been removed: `pgrepl replica rebuild {name}`",
            name=self.name,
        )
        wait_until(
            t("{name} to stream from {upstream}", name=self.name, upstream=upstream.name),
            probe,
            seconds=60,
            progress=self._approach,
            alive=alive,
            log=partial(engine.log_tail, self.name),
            hint=self.cluster.addressed(hint),
        )

    def wait_replayed(self, lsn: str, seconds: float) -> None:
        """Wait until this replica has replayed the WAL up to `lsn`.

        seconds: without progress. Raises `WaitTimeout` with how far it is.
        """

        def probe() -> tuple[bool, str]:
            found = db.row(self.address, REPLAYED, [lsn])
            state = t("replayed up to {at}, wanted {lsn}", at=found["at"], lsn=lsn)
            return bool(found["there"]), state

        hint = self.cluster.addressed(t(STANDS_STILL))
        self.wait_on_replay(t(REPLAYING, name=self.name), probe, seconds, hint)

    def answers(self) -> tuple[bool, str]:
        """Whether the server answers a query, and the state seen."""
        found = self.answer()
        return found.kind is Kind.ANSWERS, found.told

    def answer(self, seconds: int = LOOK_SECONDS) -> Answer:
        """What the server says to us. seconds: how long it may say nothing."""
        if ("life", self.name) in ahead.seen().facts and self.cluster.engine.running(self.name):
            return Answer(Kind.ANSWERS)
        return answer.ask(self.address, seconds)

    def look(
        self, query: db.Query, values: Sequence[Any] = (), seconds: int = LOOK_SECONDS
    ) -> dict[str, Any] | Answer:
        """The first row of a query, or what the server says instead, within so many seconds."""
        try:
            return answer.look(self.address, query, values, seconds)
        except OSError as error:  # no password to ask with
            return Answer(Kind.UNKNOWN, first_line(error))

    @property
    def address(self) -> db.Address:
        """How this machine reaches it as superuser."""
        return self.cluster.engine.address(self.name)

    def in_recovery(self) -> bool:
        """Whether it replays WAL and refuses writes (manual, 9.27.4); it has to answer."""

        def ask() -> bool:
            return bool(db.row(self.address, "select pg_is_in_recovery() as r")["r"])

        return ahead.fact("recovers", self.name, ask)

    def runs_as_primary(self) -> bool:
        """Whether it runs, answers and accepts writes."""
        try:
            return self.cluster.engine.running(self.name) and not self.in_recovery()
        except (psycopg.Error, OSError):
            return False

    def stale(self) -> bool:
        """Whether an edited file is not read yet, or an edit waits for a restart."""
        return bool(self.unread() or db.row(self.address, PENDING)["waiting"])

    def unread(self) -> list[str]:
        """Its files that were edited after the server last read them."""
        if foreseen := [path.name for path in ahead.unread(self.name, self.files())]:
            return foreseen
        times = [path.stat().st_mtime for path in self.files()]
        return [r["name"] for r in db.rows(self.address, UNREAD, [list(CONFIGURATION), times])]

    def wait_on_replay(
        self, what: str, probe: Callable[[], tuple[bool, str]], seconds: float, hint: str = ""
    ) -> None:
        """As `wait_until`, limited by how long replay stands still; ends when the server ends."""
        wait_until(
            what,
            probe,
            seconds=seconds,
            progress=self.position,
            log=partial(self.cluster.engine.log_tail, self.name),
            alive=partial(self.cluster.engine.running, self.name),
            hint=hint,
        )

    def files(self) -> list[Path]:
        """Its configuration files in the cluster's folder."""
        return [self.cluster.folder / self.name / f for f in CONFIGURATION]
