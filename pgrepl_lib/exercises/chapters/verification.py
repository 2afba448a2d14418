"""Chapter 03: what is as it was configured, who writes, and who refuses."""

from __future__ import annotations

from collections.abc import Iterator

from ...doors import db
from ...drills import drills
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import faults, looks
from ..registry import Found, Known, exercise

LIMIT, READ_ONLY = "max_slot_wal_keep_size", "default_transaction_read_only"
ASTRAY = "select coalesce(sourcefile, '') like '%%.auto.conf' as a from pg_settings where name = %s"


@exercise(
    "changed-setting",
    "03",
    title=mark("Which setting did somebody change?"),
    task=mark(
        "Somebody has changed one setting of the primary, past all files that we know. At the next "
        "long maintenance a replica would be lost for it. Answer with its name, and take it back."
    ),
    why=mark("What nobody wrote down is found by comparing, before it is found by an accident."),
    hints=(
        mark("`pgrepl check` compares with what the last run recorded."),
        mark("pg_settings has sourcefile: which settings come from postgresql.auto.conf?"),
        mark("It limits the WAL that slots hold. ALTER SYSTEM RESET takes it back, then reload."),
    ),
    asks=mark("the name of the setting"),
    broken=True,
)
class ChangedSetting:
    """ALTER SYSTEM limits the WAL that a slot holds."""

    def start(self, cluster: Cluster) -> Known:
        faults.alter_system(cluster.primary, LIMIT, "64MB")
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        where = t("what the last run recorded of the primary, and what it is now")
        yield looks.answered(known, LIMIT, where)
        yield _from_file(cluster, LIMIT, where)

    def solve(self, cluster: Cluster, known: Known) -> str:
        faults.reset(cluster, cluster.primary, LIMIT)
        return LIMIT


def _from_file(cluster: Cluster, name: str, where: str) -> Found:
    """Whether a setting of the primary is not the one of ALTER SYSTEM."""
    astray = bool(db.row(cluster.primary.address, ASTRAY, [name])["a"])
    claim = t("the setting is the one of the file again")
    return Found("setting", claim, not astray, look=where)


@exercise(
    "read-only-primary",
    "03",
    title=mark("A primary that refuses writes"),
    task=mark(
        "Every application gets SQLSTATE 25006 from the primary, as if it were a replica. But it "
        "is not in recovery. Let it accept writes again, for everybody."
    ),
    why=mark("The same error has two causes: a replica, or a transaction that is read only."),
    hints=(
        mark(
            "Look at both: pg_is_in_recovery(), and the settings that make transactions read only."
        ),
        mark(
            "A new session has the value from the start; who has set it, pg_settings says (source)."
        ),
        mark("`alter system reset default_transaction_read_only`, then let the primary read it."),
    ),
    broken=True,
)
class ReadOnlyPrimary:
    """Transactions of the primary are read only by default."""

    def start(self, cluster: Cluster) -> Known:
        faults.alter_system(cluster.primary, READ_ONLY, "on")
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        where = t("the settings of a new session on the primary")
        yield looks.claim(cluster, "primary-writes", where)

    def solve(self, cluster: Cluster, known: Known) -> str:
        faults.reset(cluster, cluster.primary, READ_ONLY)
        return ""


@exercise(
    "refused-write",
    "03",
    title=mark("What does a replica answer to a write?"),
    task=mark(
        "Predict, then measure: with which SQLSTATE does a replica refuse to create a table? "
        "Answer with its five characters."
    ),
    why=mark("An application that knows the code can tell a replica from a broken server."),
    hints=(
        mark("Try it in `pgrepl psql replica`; `\\set VERBOSITY verbose` shows the code."),
        mark("Manual, appendix A: class 25, invalid transaction state."),
    ),
    asks=mark("five characters"),
)
class RefusedWrite:
    """Nothing is made for it."""

    def start(self, cluster: Cluster) -> Known:
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        yield looks.answered(known, _refusal(cluster), t("an error that a replica gives to you"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        return _refusal(cluster)


def _refusal(cluster: Cluster) -> str:
    return drills.try_to_write(cluster, cluster.replica.name).split()[-1]
