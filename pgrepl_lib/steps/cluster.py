"""The cluster: the verbs that the notebooks call. Every verb is a step, and steps converge."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from ..checks import pictured
from ..checks.outcome import Check
from ..cluster import promises, state
from ..cluster.project import find, meant_without_options
from ..doors import ahead, files, show
from ..drift import recorded
from ..engine.action import CONFIGURATION, TEMPORARY_PRIMARY, Action, Tell
from ..errors import ParameterError
from ..journal import audit
from ..journal.chapter import OURS, SET_UP
from ..logins import passwords
from ..logins.tls import certificates
from ..params import Params
from ..postgres import tls
from ..words.text import joined, mark, t
from . import checking
from .actions import by_certificate, by_password, needs
from .doing import Doing
from .instance import Instance
from .refusals import refuse_certificates, refuse_settings
from .steps import Hands, Outcome, Steps

HANDS: ContextVar[Callable[[], Hands]] = ContextVar("HANDS", default=Doing)  # for each cluster

TEMPORARY = mark("Start the temporary instance, and wait until it accepts connections")
CONFIRM = mark("notebook: confirmar = True; command line: `pgrepl down --yes`")
NO_PARAMETERS = mark("The parameters are not known here; nothing was opened.")
PARAMETERS_FIRST = mark("first execute the cell of parameters (`project = …`), then this one again")
ENDED_BY = mark("`pgrepl run --auth-method scram-sha-256` ends that; with --plan it says how.")
ANOTHER = mark(
    "This is another cluster than that of `pgrepl` without options. To go on with that one, write "
    "`{lines}` in the cell of parameters; to stay, change all chapters alike. In a terminal, this "
    "one is `pgrepl status`."
)
TRUST = mark(
    "With trust, as in the document, every user of this machine gets in as the replication user, "
    "without a password: to copy all data, to fill the disk by a slot, or to confirm commits as a "
    "synchronous replica."
)
OPENED = mark("project `{project}` · engine `{engine}` ({why}) · folder `{folder}`")


class Cluster(Steps[Instance]):
    """A primary and its replicas, made with one set of parameters."""

    instance_kind = Instance

    # --- steps ------------------------------------------------------------------------------------

    def change_instances(self) -> None:
        """After one was added or removed: its port, its folder, the engine's files, the record."""
        names = self.topology.names
        self.params = self.params.model_copy(update={"replicas": max(1, len(names) - 1)})
        with recorded.following(self):
            with state.reserving(self.params):
                self.engine.ports = state.claimed_ports(self.params, state.read(self.folder), names)
                self.record()
            self.engine.params = self.params
            self.hands.ready = False
            self.hands.make_ready(self)

    def fetch(self) -> str:
        """Step: have the image (docker) or the PostgreSQL programs (local) on this machine."""
        return self.perform(t("Get the image or the binaries"), self.engine.fetch())

    def make_secrets(self) -> str:
        """Step: random passwords in files that only their reader may read (correction 1)."""
        return self.perform(t(by_password.SECRETS), passwords.action(self))

    def make_certificates(self) -> str:
        """Step: with the parameter `tls`, an authority and certificates; else nothing is shown."""
        if self.params.tls == tls.OFF:
            return Outcome("unchanged")
        action = certificates.action(self, self.topology.names)
        return self.perform(t("Make the certificate authority and the certificates"), action)

    def start_temporary(self) -> str:
        """Step: a server to copy its files from (document: pg_temp; corrections 1 and 2)."""
        action = self.engine.start_temporary()
        leaves = ahead.leaves(TEMPORARY_PRIMARY, temporary=True)
        has_files = self.primary.has_configuration
        made = Action(action.commands, action.do, has_files, leaves=leaves)
        ready = [needs.passwords(self.primary)]
        return self.perform(t(TEMPORARY), needs.after(made, self.primary, ready))

    def remove_temporary(self) -> str:
        """Step: the temporary instance has done its work."""
        action = self.engine.remove_temporary(TEMPORARY_PRIMARY)

        def there() -> bool:
            return not action.done()

        def done() -> bool:
            return not ahead.fact("temporary", TEMPORARY_PRIMARY, there)

        return self.perform(t("Remove the temporary instance"), replace(action, done=done))

    def prepare(self) -> str:
        """Step: the cluster's own folder with what the engine needs in it.

        Of a cluster that was made with `trust` and is to ask for passwords also those.
        """
        self.end_trust()
        if by_certificate.needed(self.primary):
            self.perform(t(by_certificate.GO_ON), by_certificate.action(self.primary))
        title = t("Prepare the cluster's folder")
        fresh = not (self.folder / state.FILE).exists()
        self.hands.agree(self, title, self._preparation(fresh))
        with self.working():
            self.hands.make_ready(self)  # which may choose other ports than a moment ago
            return self.hands.do(self, title, self._preparation(fresh))

    def end_trust(self) -> None:
        """Step: where a password is asked for, nobody is let in or stays without one.

        The passwords come before anything is recorded: what needs them finds them.
        """
        if not by_password.needed(self.primary):
            return
        with self.working():
            self.refuse_unfinished()
            for title, action in by_password.steps(self.primary):
                self.hands.agree(self, title, action)
                self.hands.do(self, title, action)
                self.hands.make_ready(self)

    def _preparation(self, fresh: bool) -> Action:
        folder = shlex.quote(str(self.folder))
        commands = (f"mkdir -p {folder}", f"cd {folder}", *self.engine.preparation())

        def done() -> bool:
            return not fresh

        return Action(commands, _made_ready, done)

    def restore(self) -> str:
        """Step: configuration files and modes as the last run, and pgrepl since then, left them."""
        return self.perform(t("Take back what others have changed"), recorded.restoring(self))

    def remove(self, confirm: bool = False) -> str:
        """Step: remove instances, data, configuration and secrets; the runs' evidence stays.

        Raises `ParameterError` without confirm.
        """
        if not confirm:
            raise ParameterError(
                t("Nothing was removed: removing the cluster's data needs a confirmation."),
                looked_at=self.existing() or [t("nothing exists")],
                remedy=self.addressed(t(CONFIRM)),
            )
        title = t("Remove the instances, the data, the configuration and the passwords")
        self.look_again()
        self.topology.operation = {}  # what is removed need not be finished
        action = self._removal()
        with self.holding():
            self.hands.agree(self, title, action)
            outcome = self.hands.do(self, title, action)
            files.remove(self.folder / state.FILE)
            files.remove(self.folder / "secrets")
        self.hands.ready = False
        return outcome

    def _removal(self) -> Action:
        action, names = self.engine.remove_all(), self._files()
        kept = ("secrets", state.FILE)  # until all else is gone

        def do(tell: Tell) -> None:
            action.do(tell)
            for name in names:
                files.remove_below(self.folder, name)

        def done() -> bool:
            left = (name for name in names if name not in kept and (self.folder / name).exists())
            return action.done() and not any(left)

        removed = f"rm -r {' '.join(self.topology.names)} secrets"
        return Action((*action.commands, removed), do, done)

    # --- looking ----------------------------------------------------------------------------------

    def existing(self) -> list[str]:
        """What exists of it now: containers, volumes, networks or data, and its folder's files."""
        names = [f"{name}/{file}" for name in self.topology.names for file in CONFIGURATION]
        kept = [name for name in names if (self.folder / name).exists()]
        links = files.links(self.folder, self._files())
        return [
            *self.engine.existing(),
            *kept,
            *(t("{path}, which is not removed", path=link) for link in links),
        ]

    def preflight(self) -> None:
        """Show what the machine offers; raises `EnvironmentLacking` for all that is missing."""
        self.hands.preflight(self)

    def versions(self) -> None:
        """Show and record what is used: versions, image digest or checksum."""
        self.hands.versions(self)

    def record_versions(self) -> None:
        """Record the same in a run that begins after the chapter that shows it."""
        later = os.environ.get(audit.RUN_FOLDER) and self.chapter not in ("", SET_UP[0])
        if not later or any(e["kind"] == "engine" for e in self.journal.entries()):
            return
        if self.engine.fetch().done():  # else the image or the programs are not here yet
            self.record_engine()

    def picture(self) -> None:
        """Show the primary, its replicas and the way of the WAL."""
        show.svg(pictured.topology(self))

    def show_existing(self) -> None:
        """Show what exists of this cluster."""
        lines = [f"- `{line}`" for line in self.existing()]
        show.markdown("\n".join(lines) or t("Nothing of this cluster exists."))

    def check(self, name: str) -> Check:
        """Make one check, show and record it; raises `CheckFailed` where the claim is not true."""
        return self.hands.check(self, name)

    def examine(self, name: str) -> Check:
        """Make one check and record it, whatever its outcome."""
        return checking.examine(self, name)

    def refuse_settings(self, made: Mapping[str, Any]) -> None:
        """Raise `ParameterError` for settings that it was not made with and that cannot work."""
        new = [name for name in self.topology.names if name not in made.get("ports", {})]
        refuse_certificates(self, new, made.get("params", {}))
        count = len(self.topology.names) - 1
        refuse = partial(refuse_settings, self.params, made, self.engine, count)
        self.hands.refuse(self, refuse)

    # --- pieces -----------------------------------------------------------------------------------

    def _files(self) -> list[str]:
        """The files and folders that go with the cluster."""
        compose = [".env", "docker-compose.yaml", "docker-compose.override.yaml"]
        rest = [recorded.COPIES, recorded.FILE, state.FILE]
        return [*self.topology.names, "secrets", "data", "logs", *compose, *rest]


def _made_ready(tell: Tell) -> None:
    """All of it has been done before the step: its commands say what."""


def open_cluster(
    chapter: str = "", names: Mapping[str, Any] = MappingProxyType({}), /, **values: Any
) -> Cluster:
    """The cluster that these parameters describe; nothing is changed.

    chapter: the notebook's name, for the journal. names: where the parameters are, among others: a
    notebook's `globals()`. values: parameters; they win. Raises `ParameterError` for those that are
    wrong or do not fit what the project was made with, `EnvironmentLacking` where the chosen engine
    cannot work, or the project is another user's.
    """
    files.write_alone()
    named = {name: names[name] for name in Params.model_fields if name in names}
    if names and chapter in OURS and "project" not in named | values:  # it would be another one
        raise ParameterError(t(NO_PARAMETERS), remedy=t(PARAMETERS_FIRST))
    params = Params.parse(named | values)
    first = chapter in ("", SET_UP[0])
    found = find(params, hardens=first or ahead.fact("by_password", params.project, bool))
    cluster = Cluster(found.params, found.engine, found.topology, HANDS.get()())
    cluster.known, cluster.why, cluster.chapter = found.known, found.why, chapter
    promises.keep(cluster, cluster.topology.primary)
    cluster.refuse_settings(found.made)
    cluster.record_versions()
    _tell(cluster, made=bool(found.made))
    return cluster


def _tell(cluster: Cluster, *, made: bool) -> None:
    """What it is; where it is to be made or made better, also who gets in without a password."""
    params, engine = cluster.params, cluster.engine.name
    names_of = {"project": params.project, "engine": engine, "folder": params.folder}
    show.markdown(t(OPENED, why=cluster.why, **names_of))
    by_hand = cluster.chapter in OURS and audit.RUN_FOLDER not in os.environ
    if by_hand and (lines := meant_without_options(params)):  # a cell was changed
        show.markdown(cluster.addressed(t(ANOTHER, lines="; ".join(lines))))
    if params.auth_method == "trust" and cluster.chapter in ("", SET_UP[1]):
        said: list[str] = [t(TRUST)]
        if made:
            said.append(cluster.addressed(t(ENDED_BY)))
        show.note(joined(" ", said))
