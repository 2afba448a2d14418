"""Chapter 01: the primary lets its replicas in, and nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...cluster import restarts
from ...doors import db
from ...engine.action import CONFIGURATION
from ...engine.edit import Edit
from ...steps.actions.rules import ADMITS
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import faults, looks
from ..registry import Found, Known, exercise

RULE = re.compile(r"^\w+\s+replication\s", re.MULTILINE)  # that every server is made with
END_STREAMS = "select pg_terminate_backend(pid) from pg_stat_replication"


@exercise(
    "missing-rule",
    "01",
    title=mark("The missing rule"),
    task=mark(
        "Somebody tidied up pg_hba.conf of the primary, and no replica gets in any more. Write the "
        "rule that is missing, as narrow as it was: for the replication user, from the network of "
        "the cluster, with the method of the cluster."
    ),
    why=mark(
        "Without a rule a replica can do nothing; with too wide a rule anybody can copy all data."
    ),
    hints=(
        mark("The log of a replica says which user, from which address, found no entry."),
        mark(
            "Chapter 01 writes the rule in a block at the beginning of the file; pg_hba_file_rules "
            "shows what the server has read. A file that is edited has to be read: pg_reload_conf()"
        ),
        mark("`pgrepl run` writes the rule again; so does `cluster.primary.allow_replication()`."),
    ),
    broken=True,
)
class MissingRule:
    """No rule for replication is left, and the replicas' connections are ended."""

    def start(self, cluster: Cluster) -> Known:
        primary = cluster.primary
        file = f"{primary.name}/{CONFIGURATION[1]}"
        without = Edit(cluster.folder, file, {ADMITS: None})
        without.write()
        Edit(cluster.folder, file, {}, RULE.sub(r"# \g<0>", without.before())).write()
        restarts.reload(primary)
        db.rows(primary.address, END_STREAMS)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        primary = cluster.primary
        unread = ", ".join(primary.unread())
        read = t("the primary has read its files")
        yield Found("read", read, not unread, unread, t("pg_conf_load_time() on the primary"))
        where = t("pg_hba_file_rules on the primary, and the log of the replicas")
        yield looks.claim(cluster, "login", where)
        yield from looks.all_stream(cluster, t("pg_stat_replication on the primary"))
        narrow = t("the addresses and users that pg_hba_file_rules names for replication")
        yield looks.claim(cluster, "rule-needed", narrow)

    def solve(self, cluster: Cluster, known: Known) -> str:
        cluster.primary.allow_replication()
        faults.read_files(cluster, cluster.primary)
        return ""
