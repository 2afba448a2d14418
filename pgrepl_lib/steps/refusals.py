"""Settings that cannot work, refused before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from ..cluster.project import Project
from ..doors import db
from ..engine.action import PRIMARY
from ..engine.protocol import Engine
from ..errors import EnvironmentLacking, ParameterError, first_line
from ..logins.tls import own
from ..params import Params
from ..postgres import conf, limits, tls
from ..words.text import mark, t

UNUSABLE = mark("PostgreSQL {version} cannot work with these settings; nothing was touched.")

WITHOUT_OPENSSL = mark(
    "PostgreSQL {version} here is a server without OpenSSL; nothing was touched."
)
UNUSED = mark("With tls off, nobody needs the parameter certificates; nothing was touched.")
TLS_ON = mark("a new cluster: `pgrepl run -p tls on`; one that exists: `pgrepl secure`")
OTHER_PROGRAMS = mark("leave the parameter tls off, or use programs or an image built with OpenSSL")


def refuse_settings(params: Params, made: Mapping[str, Any], engine: Engine, replicas: int) -> None:
    """Settings that the cluster was not made with, and that cannot be used."""
    had = made.get("params", {})
    if params.tls != had.get("tls", tls.OFF):
        refuse_without_openssl(params, engine)
    before = had.get("settings", {})
    new = {k: v for k, v in params.settings.items() if before.get(k) != v}
    if not new:
        return
    complaints = [*limits.complaints(new, replicas), *engine.refuse_settings(new)]
    complaints += _missing_libraries(new, engine, made.get("topology", {}).get("primary", PRIMARY))
    if complaints:
        cause = t(UNUSABLE, version=params.pg_version)
        remedy = t("correct the parameter settings")
        raise ParameterError(cause, looked_at=complaints, remedy=remedy)


def refuse_certificates(cluster: Project, names: Sequence[str], had: Mapping[str, Any]) -> None:
    """The user's own certificates, of new instances. had: the parameters before."""
    if cluster.params.tls == tls.ON:
        own.require(cluster, names)
    elif cluster.params.certificates not in ("", had.get("certificates")):
        raise ParameterError(t(UNUSED), remedy=cluster.addressed(t(TLS_ON)))


def refuse_without_openssl(params: Params, engine: Engine) -> None:
    """Raise `ParameterError` where the server's programs can do no TLS."""
    complaints = engine.refuse_settings({"ssl": tls.ON})
    if complaints:
        cause = t(WITHOUT_OPENSSL, version=params.pg_version)
        raise ParameterError(cause, looked_at=complaints, remedy=t(OTHER_PROGRAMS))


def _missing_libraries(settings: Mapping[str, str], engine: Engine, primary: str) -> list[str]:
    """What a primary that runs would not find at its next start, which would then fail."""
    if not engine.running(primary):
        return []
    values = (value for name, value in settings.items() if name.endswith("preload_libraries"))
    names = (name for value in values for name in conf.listed(value))
    return [why for name in names if (why := _why_not_loaded(engine, primary, name))]


def _why_not_loaded(engine: Engine, primary: str, library: str) -> str:
    """What the server says of a library that is not there (manual, LOAD)."""
    try:
        db.rows(engine.address(primary), sql.SQL("load {}").format(library))
    except psycopg.errors.UndefinedFile as error:
        return first_line(error)
    except (psycopg.Error, OSError, EnvironmentLacking):  # it is there, or nobody says
        return ""
    return ""
