"""A connection string, in each form that a client takes."""

from __future__ import annotations

import os
import subprocess
from configparser import ConfigParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgrepl_lib.postgres import dsn

ODD = "/tmp/a b/d'água $x&y=z%20?#"
PLACES = [("127.0.0.1", 15432), ("127.0.0.1", 15433)]
ENCRYPTED = {"sslmode": "verify-full", "sslrootcert": ODD, "channel_binding": "require"}


@pytest.fixture(params=[False, True], ids=["writes", "reads"])
def words(request: pytest.FixtureRequest) -> dict[str, str]:
    given = dsn.words(PLACES, "ana:@/ ç", "my/db?", reads=request.param)
    return {**given, **ENCRYPTED, "passfile": ODD}


def test_a_uri_is_read_as_it_was_meant(words: dict[str, str]) -> None:
    assert conninfo_to_dict(dsn.uri(words, "")) == words


def test_a_shell_reads_the_variables(words: dict[str, str]) -> None:
    script = f"{dsn.env(words, '')}\nenv -0"
    shell = {"PATH": os.environ["PATH"]}
    told = subprocess.run(["sh", "-c", script], env=shell, capture_output=True, text=True).stdout
    found = dict(line.split("=", 1) for line in told.split("\0") if "=" in line)
    assert {name: found[dsn.VARIABLES[name]] for name in words} == words


def test_a_section_of_a_service_file(words: dict[str, str]) -> None:
    parser = ConfigParser(interpolation=None, delimiters=["="])
    parser.read_string(dsn.service(words, "demo"))
    assert dict(parser["demo"]) == words


def test_java_is_told_what_it_knows(words: dict[str, str]) -> None:
    text = dsn.jdbc(words, "")
    found = urlsplit(text.removeprefix("jdbc:"))
    assert found.netloc == "127.0.0.1:15432,127.0.0.1:15433"
    asked = {name: value for name, (value,) in parse_qs(found.query).items()}
    assert (asked["user"], asked["sslrootcert"]) == (words["user"], ODD)
    wanted = {"read-write": "primary", "prefer-standby": "preferSecondary"}
    assert asked["targetServerType"] == wanted[words["target_session_attrs"]]
    assert asked.get("readOnly") == ("true" if "options" in words else None)


@pytest.mark.parametrize("given", [{}, {"passfile": ODD}, ENCRYPTED])
def test_every_word_has_its_variable(given: dict[str, Any]) -> None:
    found = {**dsn.words(PLACES, "u", "d", reads=True), **given}
    assert set(found) <= set(dsn.VARIABLES)
