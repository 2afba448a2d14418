"""One PostgreSQL server of a cluster, and the document's steps on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..checks import slots
from ..cluster.server import Server
from ..cluster.topology import owner_of
from ..doors import ahead, db, files
from ..doors.wait import wait_until
from ..drift import recorded, undo
from ..engine.action import (
    CONFIGURATION,
    NOTHING,
    TEMPORARY_PRIMARY,
    Action,
    Tell,
    edit_action,
    leaving,
    temporary_of,
)
from ..engine.edit import Edit
from ..postgres import conf, guards, tls
from ..postgres.limits import limits
from ..words.text import mark, t
from .actions import copying, needs, replication_user
from .actions.encrypting import encrypting_action
from .actions.rules import rule_edit
from .actions.standby import configuration_action, standby_lines
from .actions.starting import start_action
from .steps import Outcome, Steps

if TYPE_CHECKING:
    import pandas

SETTINGS = (  # of the primary, of a replica
    mark("Configure the replication in {file}"),
    mark("Take the primary's settings over into {file}"),
)
RULES = (
    mark("Allow the replication in {file}"),
    mark("Take the primary's rule over into {file}"),
)
ACCESS = mark("Configure the access to the primary in {file}")
REPLAY = "select pg_get_wal_replay_pause_state() as state"


class Instance(Server):
    """An instance with the steps that make, start and stop it."""

    cluster: Steps[Instance]

    # --- configuration files ----------------------------------------------------------------------

    def copy_configuration(self, file: str) -> str:
        """Step: copy `postgresql.conf` or `pg_hba.conf` out of the temporary instance.

        A replica whose temporary instance has gone without them takes the primary's files.
        """
        target = self.cluster.folder / self.name / file
        temporary, ready = TEMPORARY_PRIMARY, [needs.temporary(self)]
        if self.is_replica:
            temporary = temporary_of(self.name)
            ready.append(needs.backup(self))
        action = self.cluster.engine.copy_out(temporary, file, target)
        anew = action.commands
        if self.is_replica and self.prepared() and not self.has_file(file):
            action, ready = configuration_action(self), []

        def done() -> bool:
            return self.has_file(file)

        leaves = partial(files.write_atomic, target, "", 0o600)
        once = Action(action.commands, action.do, done, leaves=leaves, anew=anew)
        title = t("Copy the file {file}", file=file)
        return self.cluster.perform(title, needs.after(once, self, ready))

    def make_readable(self, file: str) -> str:
        """Step: mode 644, so that the server's user may read the file (correction 3)."""
        path = self.cluster.folder / self.name / file

        def do(tell: Tell) -> None:
            path.chmod(0o644)

        def done() -> bool:
            return self.mode_of(file) == 0o644

        action = Action((f"chmod 644 {self.name}/{file}",), do, done)
        title = t("Let {file} be read", file=f"{self.name}/{file}")
        ready = [needs.file(self, file)]
        return self.cluster.perform(title, needs.after(action, self, ready))

    def configure(self, settings: Mapping[str, Any]) -> str:
        """Step: these settings, and the parameter `settings`, as a block of `postgresql.conf`.

        Limits that the number of replicas needs are raised, and so shown with the rest, as is what
        guards the cluster (correction 14).
        """
        params, needed = self.cluster.params, limits(len(self.cluster.topology.names) - 1)
        raised = {n: max(v, int(settings.get(n, 0))) for n, v in needed.items()}
        all_of_them = guards.settings({**settings, **raised, **params.settings}, params)
        edit = self._block("settings", conf.setting_lines(all_of_them))
        return self._edit(edit, SETTINGS[self.is_replica])

    def allow_replication(self) -> str:
        """Step: the `pg_hba.conf` rule for the replication user; first, for the first decides.

        And those that refuse it, and the superuser, all else (correction 14).
        """
        return self._edit(rule_edit(self), RULES[self.is_replica])

    def follow(self, upstream: Server) -> str:
        """Step: what makes it follow, in its `postgresql.conf` (document, last section)."""
        return self._edit(self._block("standby", standby_lines(self, upstream)), ACCESS)

    def encrypt(self) -> str:
        """Step: with the parameter `tls`, its key, settings and rule; else nothing is shown."""
        if self.cluster.params.tls == tls.OFF:
            return Outcome("unchanged")
        ready = [needs.file(self, file) for file in CONFIGURATION]
        action = needs.after(encrypting_action(self), self, ready)
        return self.cluster.perform(t("Encrypt the connections to {name}", name=self.name), action)

    # --- primary ----------------------------------------------------------------------------------

    def create_replication_user(self) -> str:
        """Step: `createuser --replication`; with SCRAM the server gets its verifier only.

        Before it, nobody else may create objects in the schema `public` of 14 (correction 14).
        """
        action = needs.after(replication_user.action(self), self, [needs.running(self)])
        return self.cluster.perform(t("Create the replication user"), action)

    def create_slot(self, slot: str) -> str:
        """Step: the physical slot of a replica, which reserves WAL at once (correction 6)."""
        follows = self.cluster.topology.upstreams.get(owner_of(slot), self.name)  # maybe another

        def is_recorded() -> bool:
            return slot in (recorded.of_instance(self).get("slots") or {})

        action = replace(copying.slot_action(self, slot), recorded=is_recorded)
        if follows != self.name:
            action = NOTHING
        action = needs.after(action, self, [needs.running(self)])
        return self.cluster.perform(t("Create the slot {slot}", slot=slot), action)

    # --- replica ----------------------------------------------------------------------------------

    def start_temporary(self) -> str:
        """Step: a place with the replica's empty data folder (document: repl_temp)."""
        self.cluster.require_primary()
        action = copying.temporary_action(self)
        return self.cluster.perform(t("Start a temporary {name}", name=self.name), action)

    def base_backup(self) -> str:
        """Step: `pg_basebackup` with the document's options, and with the slot."""
        slot = needs.slot(self, copying.slot_action(self.upstream, self.slot).done)
        ready = [needs.temporary(self), needs.running(self.upstream), slot]
        action = needs.after(copying.backup_action(self), self, ready)
        return self.cluster.perform(t("Make the base backup"), action)

    def forget_recovery_settings(self) -> str:
        """Step: the copy of `primary_conninfo` that `pg_basebackup` wrote goes."""
        action = copying.one_owner_action(self)
        return self.cluster.perform(t("Give primary_conninfo one owner"), action)

    def remove_temporary(self) -> str:
        """Step: the temporary replica ends; from now on the data folder counts as complete."""
        action = copying.end_temporary_action(self)
        return self.cluster.perform(t("Remove the temporary {name}", name=self.name), action)

    # --- running ----------------------------------------------------------------------------------

    def start(self) -> str:
        """Step: start the server, wait until it answers, and let it take over edited files."""
        self.cluster.settle_port(self.name)
        begun = undo.renewed(self, undo.with_settings(self, start_action(self)))
        action = slots.tidied(self.cluster, self, begun)
        action = needs.after(action, self, needs.to_start(self))
        return self.cluster.perform(t("Start {name}", name=self.name), action)

    def stop(self) -> str:
        """Step: stop the server; a primary first flushes and sends what it has committed."""
        action = self.cluster.engine.stop(self.name)
        return self.cluster.perform(t("Stop {name}", name=self.name), action)

    def kill(self) -> str:
        """Step: SIGKILL, for drills."""
        action = self.cluster.engine.kill(self.name)
        return self.cluster.perform(t("Kill {name} (SIGKILL)", name=self.name), action)

    def pause_replay(self) -> str:
        """Step: the replica goes on receiving WAL and stops applying it."""
        action = self._replay_action("pause", mark("paused"))
        return self.cluster.perform(t("Pause the replay of {name}", name=self.name), action)

    def resume_replay(self) -> str:
        """Step: the replica applies WAL again, what has piled up first."""
        action = self._replay_action("resume", mark("not paused"))
        return self.cluster.perform(t("Resume the replay of {name}", name=self.name), action)

    @ahead.measured
    def query(self, statement: str) -> pandas.DataFrame:
        """The rows of an SQL statement as a table, for looking at."""
        import pandas

        needs.require(self, [needs.running(self)])
        return pandas.DataFrame(db.rows(self.address, statement))

    # --- pieces -----------------------------------------------------------------------------------

    def _replay_action(self, verb: str, wanted: str) -> Action:
        statement = f"select pg_wal_replay_{verb}();"
        client, then = self.cluster.engine.client, ahead.leaves(self.name, replay=wanted)

        def probe() -> tuple[bool, str]:
            state = str(db.row(self.address, REPLAY)["state"])
            return state == wanted, t(state)

        def do(tell: Tell) -> None:
            db.rows(self.address, statement)
            wait_until(
                t("replay on {name} to be {wanted}", name=self.name, wanted=t(wanted)),
                probe,
                seconds=30,
            )

        def state() -> str:
            return probe()[1]

        def done() -> bool:
            return ahead.fact("replay", self.name, state) == wanted

        return Action((leaving(client(self.name, "psql", "-c", statement), then),), do, done)

    def _block(self, block: str, lines: Sequence[str]) -> Edit:
        """Of its `postgresql.conf`."""
        return Edit(self.cluster.folder, f"{self.name}/{CONFIGURATION[0]}", {block: lines})

    def _edit(self, edit: Edit, title: str) -> str:
        """A step that is one edit of a file that is there."""
        action = needs.after(edit_action(edit), self, [needs.file(self, edit.path.name)])
        return self.cluster.perform(t(title, file=edit.name), action)
