"""What the machine has to offer before anything is changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cluster import identity, spaces
from ..cluster.project import Project
from ..cluster.state import FILE
from ..engine import ports
from ..errors import EnvironmentLacking
from ..logins import passwords
from ..words.text import Text, joined, mark, t

# Two empty data folders, the first segments of wal_keep_size, and the image.
SPACE_NEEDED = 1_000_000_000
SPACE_PER_REPLICA = 150_000_000  # for each further one
SPACE_FOR_FILES = 50_000_000  # configuration and evidence
ELSEWHERE = mark("free at least {needed:.3g} GB, or choose another workdir")
OF_DOCKER = mark("free at least {needed:.3g} GB there, where Docker keeps its images and volumes")
TITLES = {
    "folder": mark("work folder"),
    "disk": mark("disk space"),
    "passwords": mark("passwords"),
    "project": mark("project"),
    "leftovers": mark("leftovers"),
    "data": mark("data"),
    "tablespaces": mark("tablespaces"),
    "ports": mark("ports on 127.0.0.1"),
    "network": mark("network"),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is as needed, what was seen, what to do where it is not."""

    name: str
    ok: bool
    seen: str
    remedy: str = ""

    def said(self) -> Text:
        """What was looked at, for people."""
        return t(TITLES[self.name])


def findings(cluster: Project) -> list[Finding]:
    """Everything that can be known before a change."""
    data = (_leftovers, _lost_data, _tablespaces)
    looks = (_folder, _disk, _passwords, ownership, *data, _ports, _network)
    return [finding for look in looks for finding in look(cluster)]


def require(found: Sequence[Finding]) -> None:
    """Raise `EnvironmentLacking` that names every finding that is not as needed."""
    if bad := [f for f in found if not f.ok]:
        raise EnvironmentLacking(
            t("The machine is not ready; nothing was changed."),
            looked_at=[joined(": ", [f.said(), f.seen]) for f in bad],
            remedy=joined("; ", dict.fromkeys(f.remedy for f in bad)),
        )


def _folder(cluster: Project) -> Iterator[Finding]:
    there = _existing(cluster.folder)
    wrong: str = t("{folder} cannot be written", folder=there)
    if _writable(there):
        wrong = cluster.engine.shut_out()
    remedy = t(
        "choose a folder that this user, and PostgreSQL's, may use with the parameter workdir"
    )
    yield Finding("folder", not wrong, wrong or str(cluster.folder), remedy)


def _writable(folder: Path) -> bool:
    """Whether this user may make something there."""
    allowed = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return allowed and not os.statvfs(folder).f_flag & os.ST_RDONLY


def _disk(cluster: Project) -> Iterator[Finding]:
    """Room where the data go: on docker the engine's own folder, where that is known."""
    there, needed = _existing(cluster.folder), _space_needed(cluster)
    looked = [_room(there, needed, ELSEWHERE)]
    if cluster.engine.name == "docker":
        from ..engine.docker.host import data_root

        looked = [_room(there, min(needed, SPACE_FOR_FILES), ELSEWHERE)]
        if root := data_root():
            looked.append(_room(root, needed, OF_DOCKER))
    yield next((finding for finding in looked if not finding.ok), looked[-1])


def _room(folder: Path, needed: int, remedy: str) -> Finding:
    space = shutil.disk_usage(folder).free
    seen = t("{space:.1f} GB free in {folder}", space=space / 1e9, folder=folder)
    return Finding("disk", space >= needed, seen, t(remedy, needed=needed / 1e9))


def _space_needed(cluster: Project) -> int:
    """Bytes for what is still to be made: what has its data needs no more."""
    engine, names = cluster.engine, cluster.topology.names
    missing = [name for name in names if engine.life(name).ended and not engine.has_data(name)]
    if len(missing) < len(names):
        return SPACE_PER_REPLICA * len(missing)
    return SPACE_NEEDED + SPACE_PER_REPLICA * (len(names) - 2)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(p for p in [folder, *folder.parents] if p.exists())


def _passwords(cluster: Project) -> Iterator[Finding]:
    """Of one's own, put there before there is a cluster."""
    if not (cluster.folder / FILE).exists() and (bad := passwords.unusable(cluster)):
        seen = t("the password in {files} cannot be used", files=", ".join(bad))
        remedy = t("{rule}; remove the file, and one is made", rule=t(passwords.RULE))
        yield Finding("passwords", False, seen, remedy)


def ownership(cluster: Project) -> list[Finding]:
    """What somebody else has made under a name of ours: it is neither used nor removed."""
    begun = (cluster.folder / FILE).exists()
    found = cluster.engine.strangers(temporaries=not begun)
    remedy = t("use another project name (--project); what is named here stays as it is")
    return [Finding("project", False, line, remedy) for line in found]


def _leftovers(cluster: Project) -> Iterator[Finding]:
    """Data of this very folder without the record of what it was made with: kept, and named."""
    if not (cluster.folder / FILE).exists() and any(
        map(cluster.engine.has_data, cluster.engine.ports)
    ):
        remedy = t("put {file} back, use another project, or remove it: `pgrepl down`", file=FILE)
        seen = "; ".join(cluster.engine.existing())
        yield Finding("leftovers", False, seen, cluster.addressed(remedy))


def _lost_data(cluster: Project) -> Iterator[Finding]:
    """A primary whose data are gone, or another cluster's, is not made anew as an empty one."""
    engine, topology = cluster.engine, cluster.topology
    if not engine.life(topology.primary).ended:
        return
    if wrong := identity.astray(engine, topology, topology.primary):
        yield Finding("data", False, joined("; ", [wrong.cause, *wrong.seen]), wrong.remedy)


def _tablespaces(cluster: Project) -> Iterator[Finding]:
    """What a replica would have to share with its primary, or would not have at all."""
    engine, topology = cluster.engine, cluster.topology
    if found := spaces.seen_now(engine, topology.primary):
        remedy = cluster.addressed(spaces.remedy(engine, topology, found))
        yield Finding("tablespaces", False, spaces.told(found), remedy)


def _ports(cluster: Project) -> Iterator[Finding]:
    begun = (cluster.folder / FILE).exists()
    remedy = t("stop what holds the port, or choose another with the parameter port")
    for name, port in cluster.engine.ports.items():
        if begun and not cluster.engine.life(name).ended:
            yield Finding("ports", True, t("{port}: {name} of this cluster", port=port, name=name))
        elif who := ports.holder(port):
            seen = t("{port} is held by {who} ({name})", port=port, who=who, name=name)
            yield Finding("ports", False, seen, remedy)
        else:
            yield Finding("ports", True, t("{port} is free ({name})", port=port, name=name))


def _network(cluster: Project) -> Iterator[Finding]:
    network = cluster.engine.rule_network()
    who, remedy, seen = "", "", t("{network} is free or this cluster's own", network=network)
    if cluster.engine.name != "docker":
        seen = t(
            "{network} (this machine itself; the parameter network is for docker)", network=network
        )
    elif who := _network_holder(cluster):
        seen = t("{network} is held by {who}", network=network, who=who)
        remedy = t(
            "choose another one, for example -p network 192.168.56.0/24, or remove what holds it"
        )
    yield Finding("network", not who, seen, remedy)


def _network_holder(cluster: Project) -> str:
    """Who else has it; empty where nobody has."""
    from ..engine.docker.host import network_holder
    from ..engine.docker.owner import ID

    who = network_holder(cluster.params.network, {ID: cluster.engine.id})
    if who or cluster.engine.existing():
        return who
    return ports.overlapping_interface(cluster.params.network)
