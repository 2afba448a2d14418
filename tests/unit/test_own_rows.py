"""What only a former primary has: which blocks are read, as what a row is kept, where two have parted."""

from __future__ import annotations

import base64
import json

import pytest

from pgrepl_lib.operations.rejoin.own_rows import ranges
from pgrepl_lib.operations.rejoin.rowtext import line, shown
from pgrepl_lib.postgres.timelines import OPEN_END, fork, lineage
from pgrepl_lib.words.kept import tables


def test_blocks_that_are_near_are_read_at_once() -> None:
    assert ranges([]) == []
    assert ranges({7, 3, 4, 90}) == [(3, 8), (90, 91)]


@pytest.mark.parametrize(
    ("encoding", "raw", "kept"),
    [
        ("UTF8", '{"a":"só"}'.encode(), {"row": {"a": "só"}}),
        ("LATIN1", b'{"a":"s\xf3"}', {"row": {"a": "só"}}),
        ("WIN1252", b'{"a":"\x80"}', {"row": {"a": "€"}}),
        ("SQL_ASCII", '{"a":"só"}'.encode(), {"row": {"a": "só"}}),
        ("UTF8", b'{"a":{"b":\n1}}', {"row": {"a": {"b": 1}}}),
        ("UTF8", rb'{"a":"\u0000"}', {"row": {"a": "\0"}}),
        ("MULE_INTERNAL", b"{}", {"row": {}}),
    ],
)
def test_a_row_is_one_line_of_json(encoding: str, raw: bytes, kept: object) -> None:
    made = line("base", 'tab"le', raw, encoding)
    assert made.count(b"\n") == 1
    assert json.loads(made) == {"database": "base", "table": 'tab"le', **dict(kept)}  # type: ignore[call-overload]


def test_what_is_no_text_is_kept_as_bytes() -> None:
    made = json.loads(line("base", "table", b'{"a":"\xe7"}', "SQL_ASCII"))
    assert made["encoding"] == "SQL_ASCII"
    assert base64.b64decode(made["row_base64"]) == b'{"a":"\xe7"}'
    assert shown(b"ma\xe7a", "SQL_ASCII") == "ma\ufffda"


def test_where_two_histories_part() -> None:
    theirs = "1\t0/3000060\tno recovery target specified\n2\t0/5000000\tx\n"
    assert fork(lineage("", 1), lineage(theirs, 3)) == 0x3000060
    assert fork(lineage(theirs, 3), lineage("1\t0/3000060\tx\n", 2)) == 0x5000000
    assert fork(lineage("", 1), lineage("", 1)) == OPEN_END
    with pytest.raises(ValueError, match="no common beginning"):
        fork(lineage("", 2), lineage("", 1))


def test_a_name_with_a_newline_makes_no_line_of_its_own() -> None:
    (told,) = tables([{"database": "a\nall is well", "table": "\x1b[2Jt\t", "rows": 7}])
    assert told == "database a␊all is well, table t␉: 7 rows"
