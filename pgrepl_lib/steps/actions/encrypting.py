"""TLS of one instance: its key and certificate, its settings, and the rule that asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from ...cluster import restarts
from ...cluster.server import Server
from ...doors import db
from ...doors.program import silently
from ...engine.action import CONFIGURATION, Action, Tell, edit_action
from ...engine.edit import Edit
from ...errors import StepFailed
from ...postgres import conf, tls
from ...words.quoted import LOG, quoted
from ...words.text import t
from .handing import handed_action
from .rules import refusing_edit

ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


def encrypting_action(instance: Server) -> Action:
    """Its server speaks TLS, then refuses whoever does not; one that stands does so once started.

    In this order, for a server without a usable key would refuse everybody.
    """
    speaks, refuses = settings_edit(instance), refusing_edit(instance)
    if not instance.cluster.engine.running(instance.name):
        return Action.sequence([edit_action(speaks), edit_action(refuses)])
    handed = handed_action(instance, follows=instance.is_replica)
    first, last = restarts.edited(instance, speaks), restarts.edited(instance, refuses)

    def do(tell: Tell) -> None:
        _hand(instance, handed)
        first.do(tell)
        _require_encrypted(instance)
        last.do(tell)

    def done() -> bool:
        return handed.done() and first.done() and last.done()

    commands = (*handed.commands, *first.commands, *last.commands)
    anew = None
    if instance.is_replica:  # which is encrypted before it starts
        anew = (speaks, refuses)
    return Action(commands, do, done, anew, handed.leaves)


def settings_edit(instance: Server, *, on: bool = True) -> Edit:
    """The block of its `postgresql.conf`. on: whether it is to be there."""
    lines: Sequence[str] | None = None
    if on:
        lines = conf.setting_lines(tls.SETTINGS)
    name = f"{instance.name}/{CONFIGURATION[0]}"
    return Edit(instance.cluster.folder, name, {tls.SETTINGS_BLOCK: lines})


def _hand(instance: Server, handed: Action) -> None:
    """A server reads its key and certificate with its settings."""
    if not handed.done():
        handed.do(silently)
        restarts.reload(instance)


def _require_encrypted(instance: Server) -> None:
    """Raise `StepFailed` where its server still speaks no TLS: a key or certificate is no good."""
    if db.row(instance.address, ENCRYPTED)["ssl"]:
        return
    log = instance.cluster.engine.log_tail(instance.name)
    raise StepFailed(
        t("{name} could not use its key or certificate.", name=instance.name),
        looked_at=[quoted(LOG, "\n".join(log.splitlines()[-5:]))],
        remedy=instance.cluster.addressed(t("correct what its log says, then `pgrepl run`")),
    )
