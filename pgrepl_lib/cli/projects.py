"""All projects of a user, only looked at: where each is, who its primary is, what runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from threading import Thread
from typing import Any

from ..cluster import state
from ..cluster.topology import Topology
from ..engine.protocol import Engine
from ..errors import EnvironmentLacking, ParameterError
from ..params import Params, default_workdir
from ..words.commands import addressed
from ..words.text import joined, mark, t

SECONDS = 5  # for all engines together; one that hangs is no reason to wait
NO_ANSWER = mark("unknown: no answer within 5 s")


@dataclass
class Project:
    """A project as it is recorded. state: what of it runs, or why that cannot be known."""

    project: str
    folder: str
    engine: str = ""
    primary: str = ""
    replicas: str = ""
    state: str = ""


def known(workdir: Path) -> list[Project]:
    """The projects in this work folder and the default one, and those that links know elsewhere."""
    looks = [_begin(folder) for folder in _folders(workdir)]
    deadline = time.monotonic() + SECONDS
    for _, thread in looks:
        thread.join(max(0.0, deadline - time.monotonic()))
    for project, _ in looks:
        project.state = project.state or t(NO_ANSWER)
    return [project for project, _ in looks]


def missing(params: Params) -> ParameterError:
    """That there is no such project here; one of that name elsewhere, or a similar name, first."""
    there = _folders(params.workdir)
    same = [folder for folder in there if folder.name == params.project]
    names = [folder.name for folder in there if folder.parent == params.workdir]
    similar = get_close_matches(params.project, names, n=1)
    found = same or [params.workdir / name for name in similar]
    this = t("if this one is meant: `pgrepl status`")
    meant = [addressed(this, _params_of(folder)) for folder in found]
    held = ", ".join(names) or t("no project")
    make = addressed(t("to make it, `pgrepl run`; `pgrepl projects` lists what there is"), params)
    return ParameterError(
        t("There is no project {name} in {folder}.", name=params.project, folder=params.workdir),
        looked_at=[t("{folder} holds: {names}", folder=params.workdir, names=held)],
        remedy=joined("; ", [*meant, make]),
    )


def _params_of(folder: Path) -> Params:
    return Params.parse({"project": folder.name, "workdir": str(folder.parent)})


def _folders(workdir: Path) -> list[Path]:
    places = [workdir, workdir / state.KNOWN, default_workdir(), default_workdir() / state.KNOWN]
    files = [file for place in places for file in place.glob(f"*/{state.FILE}")]
    return sorted({file.parent.resolve() for file in files})


def _begin(folder: Path) -> tuple[Project, Thread]:
    """What is recorded, and a look at what runs that goes on meanwhile."""
    project = Project(folder.name, str(folder))
    thread = Thread(target=_look, args=(project, folder), daemon=True)
    thread.start()
    return project, thread


def _look(project: Project, folder: Path) -> None:
    try:
        made = state.read(folder)
        topology = Topology.of(made, 0)
        project.engine, project.primary = made["engine"], topology.primary
        project.replicas = ", ".join(topology.replicas)
        project.state = _running(_engine(made, folder), topology)
    except ParameterError as error:
        project.state = t("damaged: {cause}", cause=error.cause)
    except EnvironmentLacking as error:
        project.state = t("unknown: {cause}", cause=error.cause)
    except (OSError, LookupError) as error:
        project.state = t("unknown: {cause}", cause=error)


def _engine(made: Mapping[str, Any], folder: Path) -> Engine:
    from ..engine.docker import engine as docker
    from ..engine.local import engine as local

    place = {"project": folder.name, "workdir": str(folder.parent)}
    params = Params.parse({**made["params"], **place})
    kind = docker.DockerEngine if made["engine"] == "docker" else local.LocalEngine
    engine: Engine = kind(params, made["ports"])
    engine.id = made.get("id", "")
    engine.look_only()
    return engine


def _running(engine: Engine, topology: Topology) -> str:
    running = [name for name in topology.names if engine.running(name)]
    if not running:
        return t("stopped")
    if len(running) < len(topology.names):
        return t("running: {names}", names=", ".join(running))
    return t("running")
