"""The cluster and its instances: the verbs that the notebooks call. Every verb is a step, and steps converge."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from ..checks.checks import CHECKS
from ..checks.outcome import Check
from ..checks.preflight import findings, ownership, require
from ..cluster import identity, promises, state
from ..cluster.owner import require_owner
from ..cluster.topology import Topology
from ..doors import files, show
from ..drift import recorded
from ..engine.action import CONFIGURATION, TEMPORARY_PRIMARY, Action, Tell
from ..engine.choose import choose
from ..engine.ports import free, holder
from ..engine.protocol import Engine
from ..errors import CheckFailed, ParameterError
from ..journal import audit
from ..journal.chapter import SET_UP, cell_id
from ..logins import passwords
from ..params import Params
from ..words.text import t
from . import pictured, replacing, standby
from .instance import Instance
from .refusals import refuse_engine, refuse_settings
from .steps import Steps


class Cluster(Steps[Instance]):
    """A primary and its replicas, made with one set of parameters."""

    instance_kind = Instance

    def __init__(
        self, params: Params, engine: Engine, why: str, topology: Topology, chapter: str = ""
    ) -> None:
        super().__init__(params, engine, topology)
        self.why, self.chapter = why, chapter
        engine.had_data = bool(topology.system_identifier)
        self._ready = self._found_ready = False

    def bring_up_above(self, name: str, tell: Tell) -> None:
        """Before a replica starts, the replica that it follows runs and has its slot."""
        standby.bring_up_above(self.instance(name), tell)

    # --- steps ---------------------------------------------------------------------------------------------

    def change_instances(self) -> None:
        """After an instance was added or removed: its port, its folder, the engine's files, the record."""
        names = self.topology.names
        self.params = self.params.model_copy(update={"replicas": max(1, len(names) - 1)})
        with recorded.following(self):
            with state.reserving(self.params):
                self.engine.ports = state.claimed_ports(self.params, state.read(self.folder), names)
                self.record()
            self.engine.params = self.params
            self._ready = False
            self._prepare_once()

    def fetch(self, title: str = "Get the image or the binaries") -> str:
        """Step: have the official image (docker) or the PostgreSQL programs (local) on this machine."""
        return self.perform(title, self.engine.fetch())

    def make_secrets(self, title: str = "Make the passwords") -> str:
        """Step: random passwords in files that only their reader may read (correction 1)."""
        return self.perform(title, passwords.action(self))

    def start_temporary(self, title: str = "Start a temporary instance") -> str:
        """Step: a server of the wanted version to copy its files from (document: pg_temp; corrections 1 and 2)."""
        action = self.engine.start_temporary()
        return self.perform(
            title, Action(action.commands, action.do, self.primary.has_configuration)
        )

    def remove_temporary(self, title: str = "Remove the temporary instance") -> str:
        """Step: the temporary instance has done its work."""
        return self.perform(title, self.engine.remove_temporary(TEMPORARY_PRIMARY))

    def prepare(self, title: str = "Prepare the cluster's folder") -> str:
        """Step: the cluster's own folder with what the engine needs in it."""
        there = self.folder / state.FILE
        fresh, folder = not there.exists(), shlex.quote(str(self.folder))

        def action() -> Action:
            commands = (f"mkdir -p {folder}", f"cd {folder}", *self.engine.preparation())
            return Action(commands, lambda tell: None, lambda: not fresh)

        self.agree(title, action())
        with self.working():
            self._prepare_once()  # which may choose other ports than those that were free a moment ago
        return self.perform(title, action(), agreed=True)

    def restore(self, title: str = "Take back what others have changed") -> str:
        """Step: configuration files and modes as the last run left them; pgrepl's own changes since then stay."""
        return self.perform(title, recorded.restoring(self))

    def remove(self, confirm: bool = False, title: str = "Remove the cluster") -> str:
        """Step: stop and remove instances, data, configuration and secrets; the runs' evidence stays.

        Raises `ParameterError` without confirm.
        """
        if not confirm:
            remedy = "notebook: confirmar = True; command line: `pgrepl down --yes`"
            raise ParameterError(
                "Nothing was removed: removing the cluster's data needs a confirmation.",
                looked_at=self.existing() or ["nothing exists"],
                remedy=self.addressed(remedy),
            )
        action = self.engine.remove_all()
        texts = self._files()

        def do(tell: Tell) -> None:
            action.do(tell)
            for name in texts:
                files.remove_below(self.folder, name)

        def done() -> bool:
            return action.done() and not any(
                (self.folder / n).exists() for n in texts if n not in ("secrets", state.FILE)
            )

        self.look_again()
        self.topology.operation = {}  # what is removed need not be finished
        self._ready = self.followed = True  # what is about to go needs no preparation, no record
        outcome = self.perform(
            title,
            Action((*action.commands, f"rm -r {' '.join(self.topology.names)} secrets"), do, done),
        )
        files.remove(self.folder / state.FILE)
        files.remove(self.folder / "secrets")
        self._ready = False
        return outcome

    # --- looking -------------------------------------------------------------------------------------------

    def existing(self) -> list[str]:
        """What exists of this cluster now: containers, volumes, networks or data, and its folder's files."""
        kept = [
            f"{n}/{f}"
            for n in self.topology.names
            for f in CONFIGURATION
            if (self.folder / n / f).exists()
        ]
        links = files.links(self.folder, self._files())
        kept += [f"{link}, which is not removed" for link in links]
        return [*self.engine.existing(), *kept]

    def preflight(self) -> None:
        """Show what the machine offers; raises `EnvironmentLacking` that names all that is missing."""
        found = findings(self)
        show.table(("", "", ""), [("✔" if f.ok else "✘", f.said(), f.seen) for f in found])
        require(found)
        self._found_ready = True

    def versions(self) -> None:
        """Show and record what is used: versions, the image's digest or the programs' checksum."""
        facts = self._record_engine()
        show.table(("", ""), [(name, f"`{fact}`") for name, fact in facts.items()])

    def record_versions(self) -> None:
        """Record the same in a run that begins after the chapter that shows it, once the image or the programs are here."""
        later = os.environ.get(audit.RUN_FOLDER) and self.chapter not in ("", SET_UP[0])
        if (
            later
            and not any(e["kind"] == "engine" for e in self.journal.entries())
            and self.engine.fetch().done()
        ):
            self._record_engine()

    def picture(self) -> None:
        """Show the primary, its replicas and the way of the WAL."""
        show.svg(pictured.topology(self))

    def show_existing(self, nothing: str) -> list[str]:
        """Show what exists of this cluster, or the text `nothing`."""
        found = self.existing()
        show.markdown("\n".join(f"- `{line}`" for line in found) or nothing)
        return found

    def check(self, name: str) -> Check:
        """Make one check, show and record it; raises `CheckFailed` where the claim is not true."""
        made = self.examine(name)
        show.check(made.title, made.verdict, made.expected, made.seen, made.hint)
        if made.passed:
            return made
        cause = t("Check failed: {title}", title=made.title)
        fact = t("{seen} (expected: {expected})", seen=made.seen, expected=made.expected)
        raise CheckFailed(cause, looked_at=[fact], remedy=made.hint)

    def examine(self, name: str) -> Check:
        """Make one check and record it, whatever its outcome."""
        if not self.engine.has_data(self.topology.primary):
            self.require_primary()
        started = time.monotonic()
        made = CHECKS[name](self)
        self.record_check(made, time.monotonic() - started)
        return made

    def record_check(self, made: Check, seconds: float) -> None:
        """Record a check's outcome, and how long it took."""
        facts = made.record(seconds)
        self.journal.record("check", chapter=self.chapter, cell=cell_id(self.chapter), **facts)

    def refuse_settings(self, made: Mapping[str, Any]) -> None:
        """Raise `ParameterError` for settings that it was not made with and that cannot work."""
        refuse_settings(self.params, made, self.engine, len(self.topology.names) - 1)

    # --- pieces --------------------------------------------------------------------------------------------

    def _files(self) -> list[str]:
        """The files and folders that go with the cluster."""
        compose = [".env", "docker-compose.yaml", "docker-compose.override.yaml"]
        rest = [recorded.COPIES, recorded.FILE, state.FILE]
        return [*self.topology.names, "secrets", "data", "logs", *compose, *rest]

    def _record_engine(self) -> dict[str, str]:
        facts = self.engine.facts()
        self.journal.record(
            "engine",
            chapter=self.chapter,
            why=self.why,
            facts=facts,
            port=dict(self.engine.ports),
            operated=self.topology.operated,
        )
        return facts

    def _prepare_once(self) -> None:
        if self._ready:
            return
        if not (self._found_ready or (self.folder / state.FILE).exists()):
            require(findings(self))
        require(ownership(self))
        files.make_folder(self.folder)
        with state.reserving(
            self.params
        ):  # two projects that begin at once must not choose the same ports
            self._choose_ports()
        self.engine.prepare()
        for name in self.topology.names:
            files.make_folder(self.folder / name)
            replacing.go_on(self.engine, name, self.mark(name))
        self.learn_identity()
        self._refuse_other_roles()
        self._ready = True

    def learn_identity(self) -> None:
        """Record the cluster's system identifier as soon as there are data."""
        if identity.learn(self.engine, self.topology):
            self.engine.had_data = True
            self.engine.prepare()
            self.record()

    def _choose_ports(self) -> None:
        made = state.read(self.folder)
        self.engine.id = made.get("id") or self.engine.id or state.new_id()
        if not made or not set(self.topology.names) <= set(made["ports"]):
            self.engine.ports = state.claimed_ports(self.params, made, self.topology.names)
        self.record()

    def settle_port(self, name: str) -> None:
        """Choose another port for an instance whose automatic one was taken before it could start.

        One that others know by its port keeps it; its start then says who holds it.
        """
        engine = self.engine
        if self.looks_only or self.params.port or not engine.life(name).ended:
            return
        if not holder(engine.ports[name]):
            return
        known = engine.upstream(name)[1] == engine.ports[name]
        if known and any(map(engine.has_data, self.topology.followers(name))):
            return
        with self.working():
            self.refuse_unfinished()
            self._prepare_once()
            rest = {"ports": {n: port for n, port in engine.ports.items() if n != name}}
            with state.reserving(self.params):
                engine.ports = state.claimed_ports(self.params, rest, self.topology.names)
                self.record()
            engine.prepare()
            self._record_engine()


MAKE: ContextVar[Callable[..., Cluster]] = ContextVar(
    "MAKE", default=Cluster
)  # of which kind the chapters open theirs


def open_cluster(
    chapter: str = "", names: Mapping[str, Any] = MappingProxyType({}), /, **values: Any
) -> Cluster:
    """The cluster that these parameters describe; nothing is changed.

    chapter: the notebook's name, for the journal. names: where the parameters are, among others: a
    notebook's `globals()`. values: parameters; they win. Raises `ParameterError` for those that are
    wrong or do not fit what the project was made with, `EnvironmentLacking` where the chosen engine
    cannot work, or the project is another user's.
    """
    named = {name: names[name] for name in Params.model_fields if name in names}
    params = Params.parse(named | values)
    require_owner(params, params.folder / state.FILE)
    known, made = state.raw(params.folder), state.read(params.folder)
    state.guard(params, made)
    topology = Topology.of(made, params.replicas)
    ports = state.ports(params, made, topology.names)
    engine, why = choose(params, ports, made.get("engine"))
    engine.id = made.get("id") or engine.find_id()
    refuse_engine(params, made, engine)
    taken = not all(map(free, ports.values()))
    if made and params.port == 0 and taken and not any(map(engine.has_data, ports)):
        # Before they were ever used.
        engine, _ = choose(params, state.new_ports(params, topology.names), made.get("engine"))
    cluster = MAKE.get()(params, engine, why, topology, chapter)
    cluster.known = known
    promises.keep(cluster, topology.primary)
    cluster.refuse_settings(made)
    cluster.record_versions()
    show.markdown(
        f"project `{params.project}` · engine `{engine.name}` ({why}) · folder `{params.folder}`"
    )
    return cluster
