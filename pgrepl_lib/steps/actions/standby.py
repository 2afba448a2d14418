"""What makes a server a replica: its configuration files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from ...cluster import promises
from ...cluster.server import Server
from ...doors import files
from ...doors.command import Command
from ...engine.action import CONFIGURATION, Action, Tell
from ...engine.edit import Edit
from ...postgres import conf
from .handing import handed_action
from .rules import ADMITS

SAME = ("settings", ADMITS)  # the blocks that chapters 01 and 02 give each instance


def configuration_action(instance: Server) -> Action:
    """The primary's files, with the replica's own upstream and slot.

    One that has its files takes over what was changed in the primary's since.
    """
    folder, source = instance.cluster.folder, instance.cluster.topology.primary
    pairs = [(folder / source / file, folder / instance.name / file) for file in CONFIGURATION]
    words = ("cp", *(f"{source}/{file}" for file in CONFIGURATION), f"{instance.name}/")
    follows, copy = standby_action(instance, instance.upstream), partial(_copy, pairs)

    def do(tell: Tell) -> None:
        copy()
        for edit in _changed(instance):
            edit.write()
        follows.do(tell)

    def done() -> bool:
        there = all(files.there(target) for _, target in pairs)
        return there and not _changed(instance) and follows.done()

    anew = (Command(words, leaves=copy), *follows.commands)
    return Action((anew[0], *_changed(instance), *follows.commands), do, done, anew)


def _copy(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Each file where there is none yet."""
    for original, target in pairs:
        if not files.there(target):
            files.write_atomic(target, files.text(original))


def _changed(instance: Server) -> list[Edit]:
    """What stands otherwise in the primary's files."""
    folder, primary = instance.cluster.folder, instance.cluster.topology.primary
    edits = []
    for file in CONFIGURATION:
        its = conf.blocks(files.text(folder / primary / file))
        same = {name: its[name] for name in SAME if name in its}
        edits.append(Edit(folder, f"{instance.name}/{file}", same))
    return [edit for edit in edits if files.there(edit.path) and not edit.done()]


def standby_action(instance: Server, upstream: Server, *, promises_on: bool = False) -> Action:
    """`primary_conninfo` and `primary_slot_name` of a replica, and what it needs to log in there.

    promises_on: it is still the primary, and keeps its synchronous promise.
    """
    handed = handed_action(instance, follows=True)
    edit = standby_edit(instance, upstream, promises_on=promises_on)

    def do(tell: Tell) -> None:
        Action.sequence([handed]).do(tell)
        edit.write()

    return Action((*handed.commands, edit), do, edit.done, leaves=handed.leaves)


def standby_edit(instance: Server, upstream: Server, *, promises_on: bool = False) -> Edit:
    """The same for its file alone, which has nothing else that only a primary has."""
    cluster, file = instance.cluster, CONFIGURATION[0]
    blocks: dict[str, Sequence[str] | None] = {promises.BLOCK: None}
    if promises_on:
        blocks = {}
    blocks["standby"] = standby_lines(instance, upstream)
    original = cluster.folder / cluster.topology.primary / file
    return Edit(cluster.folder, f"{instance.name}/{file}", blocks, begins_as=original)


def standby_lines(instance: Server, upstream: Server) -> list[str]:
    """What makes a server that starts in recovery follow this upstream, over its own slot."""
    settings = {"primary_conninfo": instance.conninfo(upstream), "primary_slot_name": instance.slot}
    return conf.setting_lines(settings)
