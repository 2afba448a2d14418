"""A certificate that is good no more: one that is over, and one that was revoked; each is told with its way back."""

from __future__ import annotations

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.checks.security.all import SECURITY
from pgrepl_lib.checks.status import status
from pgrepl_lib.doors import db
from pgrepl_lib.drills import drills, expiring
from pgrepl_lib.logins.tls import revoking
from pgrepl_lib.operations.security import renewing
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.steps.planning import changes, only_planned

from ..conftest import MakeCluster
from .operated import again, failed_checks, make
from .running import of_cluster, pgrepl

pytestmark = pytest.mark.long_on_docker
KEPT = """
select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as behind, active
from pg_replication_slots where slot_name = 'replica_1_slot'"""


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    return make(open_with, engine_name, tls="on")


def refused(cluster: Cluster, word: str) -> bool:
    """Its receiver comes again and again, and is told why; the other one goes on."""
    assert "could not connect" in expiring.said(cluster, "replica", word)
    drills.write_wal(cluster, 16)
    streams = {r.name: r.streams()[0] for r in cluster.replicas}
    kept = db.row(cluster.primary.address, KEPT)
    return streams == {"replica": False, "replica-2": True} and kept["behind"] > 16 * 1024**2


def told(cluster: Cluster) -> set[str]:
    """What status and checks advise."""
    failed = [c for c in (CHECKS[n](cluster) for n in ("streaming", "login")) if not c.passed]
    assert len(failed) == 2
    return {*(c.hint for c in failed), status(cluster)["certificates"]}


def test_one_that_is_over_is_told_and_renewed(made: Cluster, open_with: MakeCluster) -> None:
    cluster = again(made, open_with)
    expiring.expire(cluster, "replica")
    assert refused(cluster, "certificate expired")
    (advice,) = told(cluster)
    assert "the certificate of replica is over (valid until 20" in advice
    assert f"`pgrepl rotate certificates --project {made.params.project}" in advice
    seen = pgrepl("status", of_cluster(made))
    assert "pgrepl rotate certificates" in seen.stdout
    done = pgrepl("rotate certificates", of_cluster(made))
    assert done.returncode == 0, done.stderr
    assert failed_checks(now := again(made, open_with)) == {}
    assert not db.row(now.primary.address, KEPT)["behind"] > 16 * 1024**2
    assert status(now)["certificates"] is None


def test_a_revoked_replica_receives_nothing_until_it_is_taken_back(
    made: Cluster, open_with: MakeCluster
) -> None:
    cluster, values = again(made, open_with), of_cluster(made)
    planned = pgrepl("revoke replica --plan", values)
    assert "openssl ca" in planned.stdout and "root.crl" in planned.stdout, planned.stderr
    assert not revoking.any_ever(cluster)
    done = pgrepl("revoke replica --yes", values)
    assert done.returncode == 0, done.stderr
    assert f"`pgrepl revoke --project {made.params.project}" in done.stdout, "the way back"
    cluster = again(made, open_with)
    assert refused(cluster, "certificate revoked")
    (advice,) = told(cluster)
    assert "the certificate of replica is revoked" in advice
    assert SECURITY["replication-logged"](cluster).passed, "who is not let in asks nothing"
    back = pgrepl("revoke replica --undo", values)
    assert back.returncode == 0, back.stderr
    assert failed_checks(again(made, open_with)) == {}


def test_what_else_is_done_while_one_is_revoked_and_afterwards(
    made: Cluster, open_with: MakeCluster
) -> None:
    values = of_cluster(made)
    for command in ("revoke replica --yes", "secure", "rotate password"):
        assert pgrepl(command, values).returncode == 0
    for command, code in (("rotate certificates", 2), ("run", 1)):
        kept = pgrepl(command, values)
        assert kept.returncode == code, kept.stderr
        assert f"`pgrepl revoke --project {made.params.project}" in kept.stderr
    assert pgrepl("revoke replica --undo", values).returncode == 0
    Switchover(again(made, open_with), "replica").run()
    Switchover(again(made, open_with), "primary").run()
    assert failed_checks(again(made, open_with)) == {}


def test_another_authority_needs_no_list_any_more(made: Cluster, open_with: MakeCluster) -> None:
    values = of_cluster(made)
    assert pgrepl("revoke replica-2 --yes", values).returncode == 0
    assert pgrepl("revoke replica-2 --undo", values).returncode == 0
    assert revoking.any_ever(made)
    done = pgrepl("rotate certificates --authority", values)
    assert done.returncode == 0, done.stderr
    now = again(made, open_with)
    assert not revoking.any_ever(now) and failed_checks(now) == {}
    assert "root.crl" not in (made.folder / "primary/postgresql.conf").read_text()
    with only_planned(now) as planned:
        renewing.finish(now)
    assert changes(planned) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("primary", "pgrepl switchover"), ("nobody", "there are primary, replica")],
)
def test_who_cannot_be_revoked(made: Cluster, name: str, said: str) -> None:
    refused = pgrepl(f"revoke {name} --yes", of_cluster(made))
    assert refused.returncode == 2 and said in refused.stderr
    assert revoking.revoked(made) == []
