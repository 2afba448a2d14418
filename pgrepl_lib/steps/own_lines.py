"""What a replica's `postgresql.conf` has of its own, as a diff that is shown with its step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.action import CONFIGURATION
from ..postgres import conf

if TYPE_CHECKING:
    from .instance import Instance


def difference(instance: Instance) -> str:
    """What makes this replica's `postgresql.conf` another than the primary's."""
    cluster, name = instance.cluster, CONFIGURATION[0]
    source = cluster.text_of(cluster.folder / cluster.primary.name / name)
    if instance.has_file(name):
        return ""
    wanted = conf.with_block(source, "standby", instance.standby_lines(instance.upstream))
    return conf.diff(source, wanted, f"{instance.name}/{name}")


def addition(instance: Instance) -> str:
    """What its file has that the primary's does not; nothing where a failed step has not made it."""
    path = instance.cluster.folder / instance.name / CONFIGURATION[0]
    return (
        conf.addition(path.read_text("utf-8"), "standby", f"{instance.name}/{path.name}")
        if path.exists()
        else ""
    )
