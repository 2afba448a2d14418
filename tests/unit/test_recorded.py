"""The rules of recording and of telling drift, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from pgrepl_lib import conf
from pgrepl_lib.drift import differences
from pgrepl_lib.recorded import merged
from pgrepl_lib.snapshot import masked


@pytest.mark.parametrize(
    ("recorded", "before", "now", "expected"),
    [
        ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}),  # changed by us
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 1}),  # changed before us
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}),  # by both
        ({"a": 1}, {"a": 1}, {}, {}),  # removed by us
        ({"a": 1}, {}, {}, {"a": 1}),  # removed before us
        ({}, {"a": 1}, {"a": 1}, {}),  # added before us
        ({}, {}, {"a": 1}, {"a": 1}),  # added by us
        ({"s": {"a": 1}}, {"s": {"a": 1}}, {"s": None}, {"s": {"a": 1}}),  # the server does not answer any more
        ({"s": {"a": 1}}, {"s": None}, {"s": {"a": 2}}, {"s": {"a": 2}}),  # it answers again
        ({"s": None}, {"s": None}, {"s": {"a": 2}}, {"s": {"a": 2}}),
    ],
)  # fmt: skip
def test_only_what_we_changed_is_recorded(recorded: Any, before: Any, now: Any, expected: Any) -> None:
    assert merged(recorded, before, now) == expected


def test_only_our_changed_blocks_are_taken_over() -> None:
    clean = conf.with_block("a = 1\n", "settings", ["b = 2"])
    drifted = clean.replace("b = 2", "b = 3") + "theirs = 1\n"
    synchronous = conf.with_block(drifted, "synchronous", ["c = 4"])
    assert conf.with_changed_blocks(clean, drifted, synchronous) == conf.with_block(clean, "synchronous", ["c = 4"])
    assert conf.with_changed_blocks(conf.with_block(clean, "synchronous", ["c = 4"]), synchronous, drifted) == clean


def state(**changed: Any) -> dict[str, Any]:
    instance = {"role": "replica", "upstream": "primary", "port": 1, "running": True, "settings": {"work_mem": "4MB"},
                "alter_system": {}, "slots": {"mine": "physical"}, "files": {"pg_hba.conf": "a" * 64},
                "modes": {"pg_hba.conf": "644"}}  # fmt: skip
    return {"instances": {"replica": {**instance, **changed}}, "replication_user": None, "files": {}, "modes": {}}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"role": "fenced", "upstream": None, "port": 2}, []),  # our own book-keeping
        ({"slots": {"mine": "physical", "theirs": "logical"}}, []),
        ({"slots": {"mine": "logical"}}, ["replica: the slot mine: logical (recorded: physical)"]),
        ({"settings": {}}, ["replica: work_mem: not set (recorded: 4MB)"]),
        ({"settings": {"work_mem": "hidden by one for a user"}},
         ["replica: work_mem: hidden by one for a user (recorded: 4MB)"]),
        ({"settings": {"work_mem": "8MB"}, "alter_system": {"work_mem": "8MB"}},
         ["replica: ALTER SYSTEM SET work_mem: 8MB (recorded: none)"]),
        ({"running": False, "settings": None, "alter_system": None, "slots": None},
         ["replica: the server: not running (recorded: running)"]),
        ({"role": "primary"}, ["replica: the role: primary (recorded: replica)"]),
        ({"files": {}, "modes": {}}, ["replica: the file pg_hba.conf: gone (recorded: SHA-256 aaaaaaaa…)"]),
        ({"modes": {"pg_hba.conf": "666"}}, ["replica: the mode of pg_hba.conf: 666 (recorded: 644)"]),
    ],
)  # fmt: skip
def test_what_is_told(changed: dict[str, Any], told: list[str]) -> None:
    assert [str(d) for d in differences(state(), state(**changed))] == told


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [("primary_conninfo", "host=primary port=5432 password=geheim user=repl", "user=repl host=primary port=5432"),
     ("work_mem", "4MB", "4MB"), ("primary_conninfo", "", ""), ("archive_command", "", "")],
)  # fmt: skip
def test_no_secret_is_recorded(name: str, value: str, seen: str) -> None:
    assert set(masked(name, value).split()) == set(seen.split())


@pytest.mark.parametrize("name", ["archive_command", "ssl_passphrase_command", "x.api_key", "x.secret"])
def test_what_may_hold_a_secret_is_a_checksum(name: str) -> None:
    assert masked(name, "curl -u me:geheim …").startswith("sha256:") and masked(name, "a") != masked(name, "b")
