"""What a run's kernel does before a cell asks for it: the runner has it call these functions."""

from __future__ import annotations

import gc
import json
import sys
from contextlib import suppress
from threading import Thread, Timer

from ..errors import EnvironmentLacking, PgreplError

TABLES_AFTER = 0.3  # seconds of a chapter, so that its first cells need not share the interpreter


def before_the_first_chapter(*, docker: bool) -> None:
    """Load what all chapters call. docker: whether one will ask for Compose's version."""
    if docker:
        Thread(target=_ask_compose).start()
    from ..steps import cluster  # noqa: F401 - what every chapter calls

    gc.freeze()  # emptying the namespace collects cycles, and would look at all of this


def before_another_chapter() -> None:
    """Forget all names of the chapter before; load tables while this one waits for servers."""
    from IPython import get_ipython

    get_ipython().reset(new_session=False)
    Timer(TABLES_AFTER, _load_tables).start()


def last_error() -> str:
    """What the last error's text is made of, as JSON; null where it is none of ours."""
    error = getattr(sys, "last_value", None)
    return json.dumps(error.text().facts if isinstance(error, PgreplError) else None)


def _ask_compose() -> None:
    from ..engine.docker.host import compose_version

    with suppress(EnvironmentLacking):  # the cell that needs it says so
        compose_version()


def _load_tables() -> None:
    import pandas  # noqa: F401 - it takes long, and no table is shown at once
