"""An extension of a participant's notebook server: work that goes on counts as activity.

Else the Hub, which ends servers that nobody uses, would end one in the middle of a long step.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..journal.lock import run_holder
from ..params import default_workdir

NOTED = "pgrepl_last_activity"  # Jupyter Server looks at all that end like this
EVERY = 30  # seconds between two looks
BUSY = "busy"  # a kernel that executes a cell


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Look again and again, as long as the server runs."""
    from tornado.ioloop import PeriodicCallback

    def look() -> None:
        if working(server.kernel_manager):
            server.web_app.settings[NOTED] = datetime.now(UTC)

    PeriodicCallback(look, EVERY * 1000).start()


def working(kernels: Any) -> bool:
    """Whether a cell is executed, or anything else holds one of the user's projects."""
    states = [kernels.get_kernel(k).execution_state for k in kernels.list_kernel_ids()]
    return BUSY in states or any(map(run_holder, default_workdir().glob("*")))
