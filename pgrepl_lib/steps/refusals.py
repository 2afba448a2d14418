"""Parameters that an existing cluster cannot take over, refused before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.action import PRIMARY
from ..engine.protocol import Engine
from ..errors import EnvironmentLacking, ParameterError
from ..params import Params
from ..postgres import impossible
from ..words.commands import addressed


def refuse_engine(params: Params, made: Mapping[str, Any], engine: Engine) -> None:
    """What exists must be told from somebody else's, and servers that run keep their ports."""
    if made and not engine.id and (found := engine.strangers()):
        cause = f"Project {params.project} was made by an earlier version, which marked nothing"
        remedy = "operate it with that version; once its `pgrepl down` has removed it, "
        raise EnvironmentLacking(
            f"{cause} as its own; nothing was touched.",
            looked_at=found,
            remedy=addressed(f"{remedy}`pgrepl run` makes it anew", params),
        )
    had = made.get("ports", {}).get(PRIMARY, params.port)
    if params.port not in (0, had) and (running := _running(made, engine)):
        stops = "; ".join(str(c) for name in running for c in engine.stop(name).commands)
        remedy = "leave the parameter port out (-p port, PGREPL_PORT), or stop its servers first"
        raise ParameterError(
            f"Project {params.project} runs on port {had}, not {params.port}; nothing was touched.",
            looked_at=[f"running: {', '.join(running)}"],
            remedy=f"{remedy}, in {params.folder}: {stops}",
        )


def refuse_settings(params: Params, made: Mapping[str, Any], engine: Engine, replicas: int) -> None:
    """Settings that the cluster was not made with, and that cannot be used."""
    before = made.get("params", {}).get("settings", {})
    new = {k: v for k, v in params.settings.items() if before.get(k) != v}
    if not new:
        return
    complaints = [*impossible.complaints(new, replicas), *engine.refuse_settings(new)]
    if complaints:
        cause = f"PostgreSQL {params.pg_version} cannot work with these settings"
        remedy = "correct the parameter settings"
        raise ParameterError(f"{cause}; nothing was touched.", looked_at=complaints, remedy=remedy)


def _running(made: Mapping[str, Any], engine: Engine) -> list[str]:
    return [name for name in made.get("ports", {}) if not engine.life(name).ended]
