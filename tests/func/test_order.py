"""Steps before those that they need: each names what comes first and touches nothing; what is half made becomes whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.drills import drills
from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.errors import ParameterError, StepFailed
from pgrepl_lib.journal.chapter import ALL, cells
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.rolechange import RoleChange
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import try_commit
from pgrepl_lib.postgres import conf
from tests.conftest import MakeCluster, set_up_primary, set_up_replica

from ..notebooks.kernels import in_this_process
from .operated import again, bring_home, failed_checks, make

# Each step on a cluster of which nothing is there, by the cell that it names first.
BEFORE: dict[str, tuple[Callable[[Cluster], object], str]] = {
    "temporary": (lambda c: c.start_temporary(), "cluster.make_secrets()"),
    "copy": (lambda c: c.primary.copy_configuration("pg_hba.conf"), "cluster.start_temporary()"),
    "mode": (
        lambda c: c.primary.make_readable("pg_hba.conf"),
        'primary.copy_configuration("pg_hba.conf")',
    ),
    "settings": (
        lambda c: c.primary.configure({"wal_level": "replica"}),
        'primary.copy_configuration("postgresql.conf")',
    ),
    "rule": (
        lambda c: c.primary.allow_replication(),
        'primary.copy_configuration("pg_hba.conf")',
    ),
    "start": (lambda c: c.primary.start(), "cluster.make_secrets()"),
    "user": (lambda c: c.primary.create_replication_user(), "primary.start()"),
    "slot": (lambda c: c.primary.create_slot(c.replica.slot), "primary.start()"),
    "query": (lambda c: c.primary.query("select 1"), "primary.start()"),
    "backup": (lambda c: c.replica.base_backup(), "replica.start_temporary()"),
    "copy of the backup": (
        lambda c: c.replica.copy_configuration("pg_hba.conf"),
        "replica.start_temporary()",
    ),
    "one owner": (lambda c: c.replica.forget_recovery_settings(), "replica.base_backup()"),
    "follow": (
        lambda c: c.replica.follow(c.replica.upstream),
        'replica.copy_configuration("postgresql.conf")',
    ),
}

pytestmark = pytest.mark.long_on_docker


@pytest.fixture(scope="module")
def nothing(engine_name: str, open_with: MakeCluster) -> Cluster:
    """A cluster of which only the folder is there."""
    made = open_with(engine_name)
    made.prepare()
    made.fetch()
    return made


@pytest.mark.parametrize("step", BEFORE)
def test_a_step_names_the_cell_that_comes_first_and_touches_nothing(
    nothing: Cluster, step: str
) -> None:
    early, first = BEFORE[step]
    with pytest.raises(StepFailed, match="nothing was changed") as caught:
        early(nothing)
    assert f"`{first}`" in caught.value.remedy
    assert not list(nothing.folder.glob("*/*.conf")) and nothing.engine.existing() == []


def test_every_cell_that_is_named_is_in_its_chapter() -> None:
    named = {first for _, first in BEFORE.values()}
    sources = ["".join(c["source"]) for name in ALL for c in cells(name)]
    assert all(any(first in source for source in sources) for first in named)


def test_the_primary_may_not_start_with_files_that_it_cannot_read(nothing: Cluster) -> None:
    primary = nothing.primary
    nothing.make_secrets()
    nothing.start_temporary()
    primary.copy_configuration("postgresql.conf")
    for cell in (
        'primary.copy_configuration("pg_hba.conf")',
        'primary.make_readable("postgresql.conf")',
    ):
        with pytest.raises(StepFailed) as caught:
            primary.start()
        assert (f"`{cell}`" in caught.value.remedy) == (cell in named_by(caught.value))
        if "copy" in cell:
            primary.copy_configuration("pg_hba.conf")


def named_by(error: StepFailed) -> list[str]:
    return re.findall(r"`(primary[^`]*)`", error.remedy)


def test_files_that_are_our_part_alone_become_whole(
    engine_name: str, open_with: MakeCluster
) -> None:
    """As a cell that was executed before the copy used to leave them."""
    made = open_with(engine_name)
    made.prepare()
    lines = conf.setting_lines({"wal_level": "replica"})
    for name in ("primary", "replica"):
        path = made.folder / name / "postgresql.conf"
        path.write_text(conf.with_block("", "settings", lines))
    set_up_primary(made)
    set_up_replica(made)
    assert failed_checks(made) == {}
    for instance in (made.primary, made.replica):
        text = (made.folder / instance.name / "postgresql.conf").read_text()
        assert conf.is_whole(text) and "# CONNECTIONS AND AUTHENTICATION" in text


def test_a_replica_whose_temporary_instance_ends_before_its_files_are_copied_comes_back(
    engine_name: str, open_with: MakeCluster
) -> None:
    made = open_with(engine_name)
    set_up_primary(made)
    replica = made.replica
    for step in (
        replica.start_temporary,
        replica.base_backup,
        replica.forget_recovery_settings,
        replica.remove_temporary,
    ):
        step()
    assert replica.copy_configuration("postgresql.conf") == "changed"
    set_up_replica(made)
    assert failed_checks(made) == {}
    assert set(set_up_replica(made)) == {"unchanged"}


def test_a_base_backup_needs_user_rule_and_slot(engine_name: str, open_with: MakeCluster) -> None:
    made = open_with(engine_name)
    set_up_primary(made)
    primary, replica = made.primary, made.replica
    replica.start_temporary()
    made.engine.run(
        made.engine.client(
            "primary", "psql", "-c", f"select pg_drop_replication_slot('{replica.slot}')"
        )
    )
    made.engine.run(made.engine.client("primary", "psql", "-c", "drop role repl"))
    for repair in (lambda: primary.create_slot(replica.slot), primary.create_replication_user):
        with pytest.raises(StepFailed, match="Another step comes first"):
            replica.base_backup()
        repair()
    with pytest.raises(StepFailed, match="base backup is missing"):
        replica.remove_temporary()
    replica.base_backup()
    with pytest.raises(StepFailed, match="one owner of primary_conninfo is missing"):
        replica.remove_temporary()
    set_up_replica(made)
    assert failed_checks(made) == {}


def test_an_empty_folder_in_the_data_s_place_is_no_hindrance(open_with: MakeCluster) -> None:
    made = open_with("local")
    set_up_primary(made)
    (made.folder / "data/replica").mkdir()
    set_up_replica(made)
    assert failed_checks(made) == {}


# --- the steps of a change of roles --------------------------------------------------------------


@pytest.fixture(scope="module")
def three(open_with: MakeCluster) -> Cluster:
    return make(open_with, "local")


def refuses(change: RoleChange | Rejoin, first: str, *steps: str) -> None:
    """None of these is done before the one that is named; the cluster is as it was."""
    before = deepcopy(change.cluster.topology)
    for step in steps:
        with pytest.raises(StepFailed, match="nothing was changed") as caught:
            getattr(change, step)()
        assert f".{first}()`" in caught.value.remedy
    assert change.cluster.topology == before


def test_nobody_is_promoted_before_writes_have_stopped(
    three: Cluster, open_with: MakeCluster
) -> None:
    change = Switchover(three, "replica")
    refuses(change, "prepare", "stop_writes", "promote", "follow", "tidy")
    assert failed_checks(again(three, open_with)) == {}
    change.prepare()
    refuses(change, "stop_writes", "promote", "follow", "tidy")
    change.stop_writes()
    refuses(change, "promote", "follow", "tidy")
    change.run()
    assert failed_checks(again(three, open_with)) == {}
    bring_home(again(three, open_with))


def test_nobody_is_promoted_beside_a_primary_that_is_not_fenced(
    three: Cluster, open_with: MakeCluster
) -> None:
    """Nor by one that was planned before roles changed; and no row is thrown away that nobody looked for."""
    cluster = again(three, open_with)
    change = Failover(cluster)
    refuses(change, "fence", "promote", "follow", "tidy")
    cluster.primary.kill()
    refuses(change, "fence", "promote", "follow", "tidy")
    change.fence()
    refuses(change, "promote", "follow", "tidy")
    change.run()
    back = Rejoin(cluster, "primary")
    refuses(back, "diverged", "come_back")
    back.inspect()
    refuses(back, "diverged", "come_back")
    back.run()
    assert failed_checks(again(three, open_with)) == {}
    bring_home(again(three, open_with))
    late = again(three, open_with)
    stale = Failover(late)
    Switchover(late, "replica-2").run()
    Switchover(late, "replica").run()
    with pytest.raises(StepFailed, match="is not the primary any more"):
        stale.fence()
    bring_home(again(three, open_with))


def test_a_second_writer_ends_the_first(three: Cluster, open_with: MakeCluster) -> None:
    """As where its cell is executed twice: else both would number the rows of one table."""
    cluster = again(three, open_with)
    first = Writer(cluster).start()
    first.wait_rows(20)
    second = Writer(cluster).start()
    second.wait_rows(20)
    report = second.stop()
    assert (report.lost, report.doubled, report.in_doubt) == (0, 0, 0)
    second.forget()


def test_a_replica_whose_primary_is_down_says_so(three: Cluster, open_with: MakeCluster) -> None:
    """And does not send its reader to its own log."""
    cluster = again(three, open_with)
    cluster.primary.stop()
    cluster.replica.stop()
    with pytest.raises(StepFailed, match="replica waits for primary: it gives no answer") as caught:
        cluster.replica.start()
    assert "pgrepl run" in caught.value.remedy and "log" not in str(caught.value)
    for asks in (partial(cluster.primary.query, "select 1"), partial(try_commit, cluster)):
        with pytest.raises(StepFailed, match="a running primary is missing"):
            asks()
    with pytest.raises(StepFailed, match="Write 16 MB of WAL") as caught:
        drills.write_wal(cluster, 16)
    assert "primary (stopped): `pgrepl run" in caught.value.remedy
    with in_this_process("05-falhas") as notebook:
        notebook.names["cluster"] = cluster
        shown = notebook.run("from pgrepl_lib.checks import lag\nlag.slots(cluster)")
    assert "primary (parada): `pgrepl run" in shown.trace
    cluster.primary.start()
    cluster.replica.start()


def test_a_replica_that_there_is_not_is_told(three: Cluster, open_with: MakeCluster) -> None:
    cluster = again(three, open_with)
    with pytest.raises(StepFailed, match="has no replica number 3") as caught:
        cluster.replicas[2]
    assert "pgrepl replica add" in caught.value.remedy
    assert [r.name for r in cluster.replicas[:5]] == ["replica", "replica-2"]


def test_a_check_that_there_is_not_is_told(three: Cluster) -> None:
    with pytest.raises(ParameterError, match="No check 'slto'") as caught:
        three.check("slto")
    assert "slot" in str(caught.value)
