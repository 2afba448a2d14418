"""Managed blocks in `postgresql.conf` and `pg_hba.conf`: quoting, replacing, order, diff."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from pgrepl_lib.postgres import conf

NET = IPv4Network("192.168.55.0/24")
SAMPLE = "# a comment\n#work_mem = 4MB\nmax_connections = 100\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("on", "on"),
        ("replica", "replica"),
        ("10", "10"),
        ("-1", "-1"),
        ("1GB", "'1GB'"),
        ("", "''"),
        (" ", "' '"),
        ("On", "'On'"),
        ("1.5", "'1.5'"),
        ("a'b", "'a''b'"),
        ("a\\b", "'a\\\\b'"),
        ("a#b", "'a#b'"),
        ("a\\'b", "'a\\\\''b'"),
        ("é", "'é'"),
    ],
)
def test_values_are_quoted_where_the_file_needs_it(value: str, written: str) -> None:
    assert conf.quote_value(value) == written


@pytest.mark.parametrize(
    "value",
    ["on", "1GB", "", "a'b\\c#d %m", "''", "\\\\", "'", "\\", "\\'", "x = y", "é\u2028z", "  "],
)
def test_managed_settings_read_back_what_was_written(value: str) -> None:
    text = conf.with_block(
        SAMPLE, "settings", conf.setting_lines({"log_line_prefix": value, "a.b": 1})
    )
    assert conf.managed_settings(text) == {"log_line_prefix": value, "a.b": "1"}


def test_only_our_blocks_are_managed_settings() -> None:
    text = (
        conf.with_block(conf.with_block(SAMPLE, "settings", ["a = 1"]), "standby", ["b = 2"])
        + "c = 3\n"
    )
    assert conf.managed_settings(text) == {"a": "1", "b": "2"}
    assert conf.managed_settings(SAMPLE) == {}


def test_a_new_block_goes_to_the_end_because_the_last_entry_wins() -> None:
    text = conf.with_block(SAMPLE, "settings", ["max_connections = 50"])
    assert text.startswith(SAMPLE)
    assert text.rindex("max_connections = 50") > text.index("max_connections = 100")


def test_a_block_is_replaced_in_its_place_and_the_rest_stays() -> None:
    text = conf.with_block(SAMPLE, "settings", ["a = 1", "b = 2"]) + "own = 1\n"
    again = conf.with_block(text, "settings", ["a = 3"])
    assert again == text.replace("a = 1\nb = 2\n", "a = 3\n")
    assert conf.with_block(again, "settings", ["a = 3"]) == again


def test_replacing_takes_backslashes_literally() -> None:
    lines = [r"log_line_prefix = '\\1\\g<0>\\n'"]
    text = conf.with_block(conf.with_block(SAMPLE, "settings", ["a = 1"]), "settings", lines)
    assert lines[0] in text.splitlines()


def test_blocks_of_two_names_do_not_touch_each_other() -> None:
    first = conf.with_block(SAMPLE, "settings", ["a = 1"])
    both = conf.with_block(first, "standby", ["b = 1"])
    assert conf.with_block(both, "settings", ["a = 1"]) == both
    assert conf.with_block(both, "standby", ["b = 2"]) == both.replace("b = 1", "b = 2")


def test_a_text_without_a_last_line_end_is_not_glued() -> None:
    assert "max_connections = 100\n" in conf.with_block(SAMPLE.rstrip("\n"), "settings", ["a = 1"])


@pytest.mark.parametrize(
    "old", ["", "# only comments\n", "\n\n", "# x\n\nlocal all all trust\nhost all all all md5\n"]
)
def test_the_hba_block_stands_before_the_first_entry(old: str) -> None:
    lines = conf.hba_lines("repl", NET, "trust")
    text = conf.with_block(old, "replication", lines, first=True)
    entries = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert entries == [
        lines[1],
        *(line for line in old.splitlines() if line.strip() and not line.startswith("#")),
    ]
    assert conf.with_block(text, "replication", lines, first=True) == text


@pytest.mark.parametrize(
    ("user", "token"),
    [
        ("repl", "repl"),
        ("all", '"all"'),
        ("replication", '"replication"'),
        ("Repl", '"Repl"'),
        ("a b", '"a b"'),
        ("a#b", '"a#b"'),
        ("a,b", '"a,b"'),
        ("+x", '"+x"'),
        ("@x", '"@x"'),
        ('a"b', '"a""b"'),
        ("é", '"é"'),
    ],
)
def test_hba_names_are_quoted_where_the_file_needs_it(user: str, token: str) -> None:
    line = conf.hba_lines(user, NET, "scram-sha-256")[1]
    assert line.split(maxsplit=2)[:2] == ["host", "replication"]
    assert line.split(maxsplit=2)[2].startswith(f"{token} ")
    assert line.split()[-2:] == ["192.168.55.0/24", "scram-sha-256"]


def test_no_change_has_no_diff() -> None:
    assert conf.diff(SAMPLE, SAMPLE, "x") == ""


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SAMPLE, conf.with_block(SAMPLE, "settings", ["a = 1"])),
        (SAMPLE.rstrip("\n"), conf.with_block(SAMPLE.rstrip("\n"), "settings", ["a = 1"])),
        (SAMPLE, conf.with_block(SAMPLE, "settings", ["log_line_prefix = 'a\u2028b\x85c'"])),
    ],
    ids=["plain", "no last line end", "other line separators inside a value"],
)
def test_a_diff_is_one_that_programs_apply(tmp_path: Path, old: str, new: str) -> None:
    target = tmp_path / "postgresql.conf"
    target.write_text(old, encoding="utf-8")
    patch = conf.diff(old, new, "postgresql.conf").encode()
    done = subprocess.run(
        ["git", "apply", "-p0", "--unidiff-zero", "-"],
        input=patch,
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert target.read_text(encoding="utf-8") == new


def test_each_database_has_its_rule() -> None:
    rules = [
        line.split()
        for line in conf.hba_lines("a b", NET, "trust", "host", ("replication", "x"))[1:]
    ]
    assert [rule[1] for rule in rules] == ["replication", "x"]
    assert {(rule[0], *rule[2:]) for rule in rules} == {("host", '"a', 'b"', str(NET), "trust")}
