"""TLS of one instance: its key and certificate, its settings, and the rule that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...cluster import restarts
from ...cluster.server import Server
from ...doors import ahead
from ...engine.action import CONFIGURATION, Action, Tell, edit_action
from ...engine.edit import Edit
from ...errors import StepFailed
from ...logins.tls import certificates, revoking, verifying
from ...postgres import conf, tls
from ...words.quoted import LOG, quoted
from ...words.text import t
from .connecting import answers
from .handing import handed_action
from .rules import refusing_edit


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
        if not (handed.done() and _shows(instance)):
            handed.do(tell)
            restarts.reload(instance)  # a server reads its key and certificate with its settings
        first.do(tell)
        require_shown(instance)
        last.do(tell)

    def done() -> bool:
        return handed.done() and _shows(instance) and first.done() and last.done()

    commands = (*handed.commands, *first.commands, *last.commands)
    anew = (speaks, refuses) if instance.is_replica else None  # encrypted before it starts
    return Action(commands, do, done, anew, _leaving(instance, handed))


def presenting_action(instance: Server) -> Action:
    """Its server has its key and certificate, and shows it; one that stands does once started."""
    handed, edit = handed_action(instance, follows=instance.is_replica), settings_edit(instance)
    runs, settings = answers(instance), edit_action(edit)
    if runs:
        settings = restarts.edited(instance, edit)

    def do(tell: Tell) -> None:
        handed.do(tell)
        if runs:
            restarts.reload(instance)
        settings.do(tell)
        if runs:
            require_shown(instance)

    def done() -> bool:
        return handed.done() and settings.done() and (not runs or _shows(instance))

    commands = (*handed.commands, *settings.commands)
    return Action(commands, do, done, leaves=_leaving(instance, handed))


def settings_edit(instance: Server, *, on: bool = True) -> Edit:
    """The block of its `postgresql.conf`. on: whether it is to be there."""
    lines: Sequence[str] | None = None
    if on:
        revokes = revoking.any_ever(instance.cluster)
        lines = conf.setting_lines(tls.settings(revokes=revokes))
    name = f"{instance.name}/{CONFIGURATION[0]}"
    return Edit(instance.cluster.folder, name, {tls.SETTINGS_BLOCK: lines})


def require_shown(instance: Server) -> None:
    """Raise `StepFailed` where its server shows another certificate: it could not use this one."""
    if _shows(instance):
        return
    log = instance.cluster.engine.log_tail(instance.name)
    raise StepFailed(
        t("{name} could not use its key or certificate.", name=instance.name),
        looked_at=[quoted(LOG, "\n".join(log.splitlines()[-5:]))],
        remedy=instance.cluster.addressed(t("correct what its log says, then `pgrepl run`")),
    )


def _shows(instance: Server) -> bool:
    def ask() -> bool:
        wanted = certificates.present(instance.cluster, instance.name).certificate
        return verifying.shows(instance.address, wanted)

    return ahead.fact("shows", instance.name, ask)


def _leaving(instance: Server, handed: Action) -> Callable[[], None]:
    """For whoever only plans: it has them, and shows them."""

    def leaves() -> None:
        handed.leaves()
        ahead.leaves(instance.name, shows=True)()

    return leaves
