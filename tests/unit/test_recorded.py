"""The rules of recording and of telling drift, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from pgrepl_lib.drift.drift import differences
from pgrepl_lib.drift.recorded import merged
from pgrepl_lib.postgres import conf
from pgrepl_lib.postgres.conf import masked


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
        (
            {"s": {"a": 1}},
            {"s": {"a": 1}},
            {"s": None},
            {"s": {"a": 1}},
        ),  # the server does not answer any more
        ({"s": {"a": 1}}, {"s": None}, {"s": {"a": 2}}, {"s": {"a": 2}}),  # it answers again
        ({"s": None}, {"s": None}, {"s": {"a": 2}}, {"s": {"a": 2}}),
    ],
)
def test_only_what_we_changed_is_recorded(
    recorded: Any, before: Any, now: Any, expected: Any
) -> None:
    assert merged(recorded, before, now) == expected


def test_only_our_changed_blocks_are_taken_over() -> None:
    clean = conf.with_block("a = 1\n", "settings", ["b = 2"])
    drifted = clean.replace("b = 2", "b = 3") + "theirs = 1\n"
    synchronous = conf.with_block(drifted, "synchronous", ["c = 4"])
    assert conf.with_changed_blocks(clean, drifted, synchronous) == conf.with_block(
        clean, "synchronous", ["c = 4"]
    )
    assert (
        conf.with_changed_blocks(
            conf.with_block(clean, "synchronous", ["c = 4"]), synchronous, drifted
        )
        == clean
    )


def state(**changed: Any) -> dict[str, Any]:
    instance = {
        "role": "replica",
        "upstream": "primary",
        "port": 1,
        "running": True,
        "settings": {"work_mem": "4MB"},
        "alter_system": {},
        "slots": {"mine": "physical"},
        "files": {"pg_hba.conf": "a" * 64},
        "modes": {"pg_hba.conf": "644"},
    }
    return {
        "instances": {"replica": {**instance, **changed}},
        "replication_user": None,
        "files": {},
        "modes": {},
    }


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"role": "fenced", "upstream": None, "port": 2}, []),  # our own book-keeping
        ({"slots": {"mine": "physical", "theirs": "logical"}}, []),
        ({"slots": {"mine": "logical"}}, ["replica: the slot mine: logical (recorded: physical)"]),
        ({"settings": {}}, ["replica: work_mem: not set (recorded: 4MB)"]),
        (
            {"settings": {"work_mem": "hidden by one for a user"}},
            ["replica: work_mem: hidden by one for a user (recorded: 4MB)"],
        ),
        (
            {"settings": {"work_mem": "8MB"}, "alter_system": {"work_mem": "8MB"}},
            ["replica: ALTER SYSTEM SET work_mem: 8MB (recorded: none)"],
        ),
        (
            {"running": False, "settings": None, "alter_system": None, "slots": None},
            ["replica: the server: not running (recorded: running)"],
        ),
        ({"role": "primary"}, ["replica: the role: primary (recorded: replica)"]),
        (
            {"files": {}, "modes": {}},
            ["replica: the file pg_hba.conf: gone (recorded: SHA-256 aaaaaaaa…)"],
        ),
        (
            {"modes": {"pg_hba.conf": "666"}},
            ["replica: the mode of pg_hba.conf: 666 (recorded: 644)"],
        ),
    ],
)
def test_what_is_told(changed: dict[str, Any], told: list[str]) -> None:
    assert [d.told() for d in differences(state(), state(**changed))] == told


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        (
            "primary_conninfo",
            "host=primary port=5432 password=geheim user=repl",
            "user=repl host=primary port=5432",
        ),
        ("work_mem", "4MB", "4MB"),
        ("primary_conninfo", "", ""),
        ("archive_command", "", ""),
    ],
)
def test_no_secret_is_recorded(name: str, value: str, seen: str) -> None:
    assert set(masked(name, value).split()) == set(seen.split())


@pytest.mark.parametrize(
    "name", ["archive_command", "ssl_passphrase_command", "x.api_key", "x.secret"]
)
def test_what_may_hold_a_secret_is_a_checksum(name: str) -> None:
    assert masked(name, "curl -u me:geheim …").startswith("sha256:") and masked(
        name, "a"
    ) != masked(name, "b")


@pytest.mark.parametrize(
    "line",
    [
        "primary_conninfo = 'host=x password=geheim user=r'  # by hand",
        "PRIMARY_CONNINFO='postgresql://r:geheim@x/postgres'",
        "primary_conninfo = 'host=x sslpassword=geheim'",
        "primary_conninfo = 'what = geheim = this'",
        "ssl_passphrase_command = 'echo ''geheim'''",
        "archive_command 'curl -u me:geheim x'",
        "restore_command = 'unended geheim",
        "#archive_command = 'curl -u me:geheim x'",
        "archive_command = curl geheim",
        "x.password = geheim",
        "X.Api_Key = 'geheim'",
        'host all all all ldap ldapserver=x ldapbindpasswd="geheim"',
        'host all all all radius "radiussecrets=a,geheim"',
    ],
)
def test_no_diff_shows_a_secret_that_somebody_wrote_into_a_file(line: str) -> None:
    ours = conf.with_block("a = 1\n", "settings", ["archive_command = 'our own'"])
    theirs = ours.replace("a = 1\n", f"{line}\n")
    inside = ours.replace("archive_command = 'our own'", line)
    for old, new in [
        (ours, theirs),
        (theirs, ours),
        (f"{line}\n", conf.with_block(f"{line}\n", "settings", ["b = 2"])),
        (inside, ours),
    ]:
        shown = conf.diff(old, new, "f")
        assert shown and "geheim" not in shown and len(shown.splitlines()) > 3
        assert ("+archive_command = 'our own'" in shown) is (old == inside), (
            "what the block in the end holds is ours"
        )


@pytest.mark.parametrize(
    "line",
    [
        "#archive_command = ''\t\t# command to use",
        "#ssl_passphrase_command_supports_reload = off",
        "password_encryption = md5",
        "primary_conninfo = 'host=x port=1 user=r passfile=p'",
        "# the password is not here",
        "host all all all scram-sha-256",
    ],
)
def test_a_diff_shows_every_other_line_as_it_is(line: str) -> None:
    assert f"-{line}\n" in conf.diff(f"{line}\n", "b\n", "f")
