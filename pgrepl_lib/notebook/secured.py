"""What a cell shows of the security checks, and of the streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..checks.security.all import SECURITY
from ..doors import ahead
from ..words.text import t

if TYPE_CHECKING:
    import pandas

    from ..steps.cluster import Cluster


@ahead.measured
def claims(cluster: Cluster) -> pandas.DataFrame:
    """Each claim of `pgrepl check --security`, and how it ended; nothing is recorded."""
    import pandas

    made = [claim(cluster) for claim in SECURITY.values()]
    rows = {t("check"): [m.title for m in made], t("outcome"): [t(m.verdict) for m in made]}
    return pandas.DataFrame(rows)
