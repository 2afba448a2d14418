"""Parameters that an existing cluster cannot take over, refused before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..cluster.state import asks_for_another_port
from ..engine.protocol import Engine
from ..errors import EnvironmentLacking, ParameterError
from ..params import Params
from ..postgres import limits
from ..words.commands import addressed
from ..words.text import mark, t

EARLIER = mark(
    "Project {project} was made by an earlier version, which marked nothing as its own; "
    "nothing was touched."
)
ANEW = mark(
    "operate it with that version; once its `pgrepl down` has removed it, "
    "`pgrepl run` makes it anew"
)
OTHER_PORT = mark("Project {project} runs on port {had}, not {wanted}; nothing was touched.")
STOP_FIRST = mark(
    "leave the parameter port out (-p port, PGREPL_PORT), or stop its servers first, in {folder}: "
    "{commands}"
)
UNUSABLE = mark("PostgreSQL {version} cannot work with these settings; nothing was touched.")


def refuse_engine(params: Params, made: Mapping[str, Any], engine: Engine) -> None:
    """What exists must be told from somebody else's, and servers that run keep their ports."""
    if made and not engine.id and (found := engine.strangers()):
        cause = t(EARLIER, project=params.project)
        raise EnvironmentLacking(cause, looked_at=found, remedy=addressed(t(ANEW), params))
    if asks_for_another_port(params, made) and (running := _running(made, engine)):
        had = next(iter(made["ports"].values()))
        stops = "; ".join(str(c) for name in running for c in engine.stop(name).commands)
        raise ParameterError(
            t(OTHER_PORT, project=params.project, had=had, wanted=params.port),
            looked_at=[t("running: {names}", names=", ".join(running))],
            remedy=t(STOP_FIRST, folder=params.folder, commands=stops),
        )


def refuse_settings(params: Params, made: Mapping[str, Any], engine: Engine, replicas: int) -> None:
    """Settings that the cluster was not made with, and that cannot be used."""
    before = made.get("params", {}).get("settings", {})
    new = {k: v for k, v in params.settings.items() if before.get(k) != v}
    if not new:
        return
    complaints = [*limits.complaints(new, replicas), *engine.refuse_settings(new)]
    if complaints:
        cause = t(UNUSABLE, version=params.pg_version)
        remedy = t("correct the parameter settings")
        raise ParameterError(cause, looked_at=complaints, remedy=remedy)


def _running(made: Mapping[str, Any], engine: Engine) -> list[str]:
    return [name for name in made.get("ports", {}) if not engine.life(name).ended]
