"""Chapter 09: who gets in, and what he may do then."""

from __future__ import annotations

from collections.abc import Iterator

from ...cluster import restarts
from ...doors import db
from ...drills import drills
from ...engine.action import CONFIGURATION
from ...engine.edit import Edit
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import faults, looks
from ..registry import Found, Known, exercise

OPEN = ["host    all             all             0.0.0.0/0               trust"]
TRUSTED = """
select count(*) as n from pg_hba_file_rules
where auth_method = 'trust' and (address in ('all', '0.0.0.0', '::') or netmask = '0.0.0.0')"""
ROLE = "exercicio_relatorio"
MIGHTY = """
select coalesce(string_agg(rolname, ', ' order by rolname), '') as names from pg_roles
where (rolreplication or rolsuper) and rolname <> 'postgres' and rolname <> %s"""
LOGIN = "select rolcanlogin as login from pg_roles where rolname = %s"


@exercise(
    "open-door",
    "09",
    title=mark("The door stands open"),
    task=mark(
        "“Only for a moment”, somebody wrote into pg_hba.conf. Since then anybody gets into "
        "every database of the primary, without a password, as whom he likes. Close the door, "
        "and let the replicas in as before."
    ),
    why=mark("With trust, a name is enough, also that of the superuser (correction 9)."),
    hints=(
        mark(
            "`pgrepl check --security` asks from outside; pg_hba_file_rules shows the rules in "
            "order."
        ),
        mark("The method trust, for all addresses, before every other rule."),
        mark("Take the rule out of pg_hba.conf of the primary, and let the primary read it."),
    ),
    broken=True,
)
class OpenDoor:
    """The first rule lets everybody in."""

    def start(self, cluster: Cluster) -> Known:
        Edit(cluster.folder, _rules(cluster), {drills.BLOCK: OPEN}).write()
        restarts.reload(cluster.primary)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        where = t("pg_hba_file_rules on the primary")
        trusted = int(db.row(cluster.primary.address, TRUSTED)["n"])
        claim = t("nobody gets in from anywhere without a password")
        yield Found("trust", claim, not trusted, t("rules: {count}", count=trusted), where)
        yield looks.read(cluster.primary)
        yield looks.claim(cluster, "rule-needed", where)
        yield looks.claim(cluster, "login", where)
        yield from looks.all_stream(cluster, t("pg_stat_replication on the primary"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        without = Edit(cluster.folder, _rules(cluster), {drills.BLOCK: None})
        title = t("Take the rule out of {file}", file=without.name)
        cluster.perform(title, restarts.edited(cluster.primary, without))
        return ""


def _rules(cluster: Cluster) -> str:
    return f"{cluster.primary.name}/{CONFIGURATION[1]}"


@exercise(
    "too-many-rights",
    "09",
    title=mark("A report that may copy everything"),
    task=mark(
        "A login that is meant for reports could copy the whole cluster. Which one is it? Answer "
        "with its name, and take away what is too much. It has to be able to log in as before."
    ),
    why=mark("REPLICATION reads all databases, past every other right."),
    hints=(
        mark("Which roles have REPLICATION or are superusers? `\\du` in `pgrepl psql primary`."),
        mark("Two of them have to: postgres and the replication user."),
        mark("ALTER ROLE … NOREPLICATION."),
    ),
    asks=mark("the name of the role"),
    broken=True,
)
class TooManyRights:
    """A role that may log in may also replicate."""

    def start(self, cluster: Cluster) -> Known:
        db.rows(cluster.primary.address, f"create role {ROLE} login replication")
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        at, where = cluster.primary.address, t("pg_roles on the primary")
        yield looks.answered(known, ROLE, where)
        mighty = db.row(at, MIGHTY, [cluster.params.replication_user])["names"]
        claim = t("nobody but postgres and the replication user may copy all")
        yield Found("right", claim, not mighty, t("there is one"), where)
        login = bool(db.row(at, LOGIN, [ROLE]).get("login"))
        yield Found("login", t("the report can log in"), login, t("it cannot"), where)

    def solve(self, cluster: Cluster, known: Known) -> str:
        if not db.row(cluster.primary.address, LOGIN, [ROLE]):
            faults.typed(cluster, cluster.primary, f"create role {ROLE} login;")
        statement = f"alter role {ROLE} login noreplication nosuperuser;"
        faults.typed(cluster, cluster.primary, statement)
        return ROLE
