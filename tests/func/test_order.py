"""Steps before those that they need: each names what comes first and touches nothing; what is half made becomes whole."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.errors import StepFailed
from pgrepl_lib.journal.chapter import ALL, cells
from pgrepl_lib.postgres import conf
from tests.conftest import MakeCluster, set_up_primary, set_up_replica

from .operated import failed_checks

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
