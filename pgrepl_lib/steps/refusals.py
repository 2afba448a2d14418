"""Settings that cannot work, refused before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.protocol import Engine
from ..errors import ParameterError
from ..params import Params
from ..postgres import limits
from ..words.text import mark, t

UNUSABLE = mark("PostgreSQL {version} cannot work with these settings; nothing was touched.")


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
