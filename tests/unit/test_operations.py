"""What operating a cluster decides without a server: roles, limits, verdicts, control files, services."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import yaml

from pgrepl_lib.checks.lag import Thresholds, judge
from pgrepl_lib.checks.slots import unused
from pgrepl_lib.cluster.changes.promotion import ways_on
from pgrepl_lib.cluster.topology import Topology, name_of, number_of
from pgrepl_lib.doors.resources import COMPOSE_FILE
from pgrepl_lib.engine.docker.services import more_replicas
from pgrepl_lib.operations.choosing import earlier
from pgrepl_lib.params import Params
from pgrepl_lib.postgres.conf import with_block, without_block
from pgrepl_lib.postgres.confirmation import waited_for
from pgrepl_lib.postgres.control import ControlFile, lsn
from pgrepl_lib.postgres.limits import limits


@pytest.mark.parametrize(
    ("number", "name"), [(0, "primary"), (1, "replica"), (2, "replica-2"), (16, "replica-16")]
)
def test_names_and_numbers_belong_together(number: int, name: str) -> None:
    assert (name_of(number), number_of(name)) == (name, number)


def test_a_new_cluster_has_as_many_replicas_as_asked_for() -> None:
    assert Topology.of({}, 3).upstreams == {
        "replica": "primary",
        "replica-2": "primary",
        "replica-3": "primary",
    }


def test_a_record_from_before_roles_changed_is_understood() -> None:
    assert Topology.of({"ports": {"primary": 1, "replica": 2}}, 1).upstreams == {
        "replica": "primary"
    }


def test_fewer_replicas_than_there_are_remove_none_and_more_follow_the_present_primary() -> None:
    made = {
        "topology": {
            "primary": "replica",
            "upstreams": {"primary": "replica", "replica-2": "primary"},
        }
    }
    assert Topology.of(made, 1).names == ["primary", "replica", "replica-2"]
    assert Topology.of(made, 3).upstreams["replica-3"] == "replica"


def test_a_removed_name_is_given_again() -> None:
    found = Topology("primary", {"replica-2": "primary"})
    assert found.next_name() == "replica"


def test_a_fenced_instance_counts_as_one_but_not_as_a_replica() -> None:
    made = {"topology": {"primary": "replica", "upstreams": {}, "fenced": {"primary": {}}}}
    found = Topology.of(made, 1)
    assert found.names == ["primary", "replica"] and found.replicas == []


def test_a_topology_survives_its_record() -> None:
    found = Topology(
        "replica",
        {"primary": "replica"},
        {"replica-2": {"snapshot": "1:1:"}},
        {"kind": "failover"},
        "ANY 1",
    )
    assert Topology.of({"topology": found.plain()}, 1) == found


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {}),
        (3, {}),
        (4, {"max_wal_senders": 12}),
        (16, {"max_wal_senders": 24, "max_replication_slots": 18}),
    ],
)
def test_limits_follow_the_number_of_replicas(count: int, expected: dict[str, int]) -> None:
    assert limits(count) == expected


def control(state: int = 1) -> bytes:
    return (
        struct.pack(
            "<QIIi4xqQQI",
            7_000_000_000_000_000_001,
            1300,
            202107181,
            state,
            1_700_000_000,
            0x1_03000060,
            0,
            3,
        )
        + b"\0" * 64
    )


def test_a_control_file_is_read() -> None:
    found = ControlFile.parse(control())
    assert (found.system_identifier, found.timeline, lsn(found.checkpoint)) == (
        7_000_000_000_000_000_001,
        3,
        "1/3000060",
    )
    assert found.cleanly_shut_down and not found.was_standby


@pytest.mark.parametrize(
    ("state", "clean", "standby"),
    [(1, True, False), (2, False, True), (5, False, True), (6, False, False)],
)
def test_the_state_says_how_it_ended(state: int, clean: bool, standby: bool) -> None:
    found = ControlFile.parse(control(state))
    assert (found.cleanly_shut_down, found.was_standby) == (clean, standby)


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_short_control_file_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not a control file"):
        ControlFile.parse(control()[:length])


def lag(**changes: Any) -> dict[str, Any]:
    return {
        "name": "replica",
        "state": "streaming",
        "bytes": 0,
        "seconds": 0.0,
        "paused": False,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"bytes": 9}, 0),
        ({"bytes": 10}, 1),
        ({"bytes": 99}, 1),
        ({"bytes": 100}, 2),
        ({"seconds": 1.0}, 1),
        ({"seconds": 5.0}, 2),
        ({"state": "catchup"}, 2),
        ({"bytes": None, "seconds": None, "state": "not answering"}, 2),
    ],
)
def test_the_worst_lag_decides(changes: dict[str, Any], code: int) -> None:
    found, line = judge([lag(name="other"), lag(**changes)], Thresholds(10, 100, 1, 5))
    assert found == code and line.startswith(
        f"REPLICATION {('OK', 'WARNING', 'CRITICAL')[code]} - other: streaming"
    )


@pytest.mark.parametrize(
    ("doing", "told"),
    [
        ("paused", "; replica: streaming, 9 B, 0.0 s, replay is paused |"),
        ("held by a query", "; replica: streaming, 9 B, 0.0 s, replay is held by a query |"),
        ("applying", "; replica: streaming, 9 B, 0.0 s |"),
    ],
)
def test_what_replay_stands_still_for_is_told(doing: str, told: str) -> None:
    assert told in judge([lag(name="other"), lag(bytes=9, replay=doing)], Thresholds())[1]


def test_an_age_that_nobody_knows_is_not_zero() -> None:
    unknown = judge([lag(bytes=9, seconds=None)], Thresholds(10, 100, 1, 5))
    told = "REPLICATION OK - replica: streaming, 9 B | 'replica_bytes'=9B;10;100;0"
    assert unknown == (0, f"{told} 'replica_seconds'=U;1;5;0")


def test_no_replica_is_critical_and_says_so() -> None:
    assert judge([], Thresholds()) == (2, "REPLICATION CRITICAL - no replica")


def test_performance_data_carry_the_limits() -> None:
    assert (
        "| 'replica_bytes'=7B;10;100;0 'replica_seconds'=0.000s;1;5;0"
        in judge([lag(bytes=7)], Thresholds(10, 100, 1, 5))[1]
    )


def test_further_services_are_like_the_first_replicas() -> None:
    ours = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))["services"]["replica"]
    made = yaml.safe_load(more_replicas(["replica-2", "replica-16"]))
    assert set(made["services"]) == set(made["volumes"]) == {"replica-2", "replica-16"}
    for name, service in made["services"].items():
        own = {"volumes", "ports"}
        assert {k: v for k, v in service.items() if k not in own} == {
            k: v for k, v in ours.items() if k not in own
        }
        assert [v.partition(":")[0] for v in service["volumes"]] == [name, f"./{name}"]
        assert service["ports"] == [
            f"127.0.0.1:${{PGREPL_{name.upper().replace('-', '_')}_PORT}}:5432"
        ]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "text", ["a = 1\n", "# c\n\na b\n", "# >>> pgrepl: x\nq\n# <<< pgrepl: x\n\nlocal all\n", ""]
)
def test_a_block_that_is_taken_out_leaves_no_trace(text: str, first: bool) -> None:
    with_it = with_block(text, "drill", ["line"], first=first)
    assert without_block(with_it, "drill") == text
    assert without_block(text, "drill") == text


def test_a_first_block_stands_before_another_not_inside_it() -> None:
    text = with_block("local all\n", "replication", ["host a"], first=True)
    both = with_block(text, "fence", ["host b"], first=True)
    assert both.index("<<< pgrepl: fence") < both.index(">>> pgrepl: replication")


@pytest.mark.parametrize(
    ("one", "other", "less"),
    [
        ("5:9:", "5:7:", "5:7:"),
        ("5:7:6", "5:9:", "5:7:6"),
        ("", "5:7:", ""),
        ("5:7:", "", "5:7:"),
    ],
)
def test_of_two_snapshots_the_one_that_lists_more_rows_counts(
    one: str, other: str, less: str
) -> None:
    assert earlier(one, other) == less


@pytest.mark.parametrize(("primary", "back"), [("primary", True), ("replica", False)])
def test_until_the_promotion_a_change_of_roles_can_be_taken_back(primary: str, back: bool) -> None:
    found = Topology(primary, operation={"kind": "failover", "from": "primary", "to": "replica"})
    told = ways_on(found, Params.parse({}))
    assert (
        "`pgrepl failover --to replica`" in told and ("`pgrepl failover --cancel`" in told) is back
    )


AFTER = Topology(
    "replica", {"primary": "replica", "replica-2": "replica", "replica-3": "replica-2"}
)


@pytest.mark.parametrize(
    ("at", "slot", "active", "drops"),
    [
        ("primary", "replica_1_slot", True, True),  # its owner is about to leave it
        ("primary", "replica_2_slot", False, True),
        ("primary", "replica_0_slot", False, True),  # nobody follows himself
        ("primary", "replica_3_slot", True, False),  # somebody uses it who is not recorded there
        ("replica", "replica_0_slot", False, False),  # prepared for who will follow
        ("replica-2", "replica_3_slot", True, False),
        ("primary", "theirs", False, False),
        ("primary", "replica_9_slot", False, False),  # of nobody here
    ],
)
def test_a_slot_goes_once_its_owner_follows_another(
    at: str, slot: str, active: bool, drops: bool
) -> None:
    before = Topology(
        upstreams={"replica": "primary", "replica-2": "primary", "replica-3": "replica-2"}
    )
    assert unused({at: {slot: active}}, before, AFTER) == [(at, slot)] * drops
    assert unused({at: {slot: True}}, AFTER, AFTER) == [], "what is in use then stays"


@pytest.mark.parametrize(("method", "count"), [("", 0), ("ANY 1", 1), ("FIRST 12", 12), ("ALL", 0)])
def test_for_how_many_a_commit_waits(method: str, count: int) -> None:
    assert waited_for(method) == count
