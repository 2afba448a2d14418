"""Whose a project is. Its owner alone works on it: root, too, would take its files away."""

from __future__ import annotations

import os
from pathlib import Path

from ..engine.processes import user_name
from ..errors import EnvironmentLacking
from ..params import Params
from ..words.commands import addressed
from ..words.text import t


def require_owner(params: Params, record: Path) -> None:
    """Raise `EnvironmentLacking` where a project's folder or its record is another user's.

    Root may have made the folder for somebody, who then has the record; and where root has replaced
    a user's record, the folder still says whose it is.
    """
    folder = params.folder
    uids = [p.stat().st_uid for p in (folder, record) if p.exists()]
    me, others = os.geteuid(), [uid for uid in uids if uid != os.geteuid()]
    if not others or (me != 0 and (me in uids or uids == [0])):
        return
    name = user_name(others[0])
    raise EnvironmentLacking(
        t(
            "Project {project} belongs to the user {name}; nothing was touched.",
            project=folder.name,
            name=name,
        ),
        looked_at=[t("folder {path}", path=folder), t("this user is {name}", name=user_name(me))],
        remedy=_remedy(name, params),
    )


def _remedy(name: str, params: Params) -> str:
    if os.geteuid() != 0:
        return t("use another project name, or work on it as that user")
    become = t(
        "become that user (`runuser -l {name}`), then for example `pgrepl status`", name=name
    )
    return addressed(become, params, anywhere=True)
