"""Parameters: every wrong value is named before anything is touched, every right one survives unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pgrepl_lib.doors.resources import NOTEBOOKS
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.params import Params
from pgrepl_lib.postgres.conf import OWNED
from pgrepl_lib.words.language import PORTUGUESE, speaking
from tests.portuguese import english_in

WRONG: list[tuple[str, Any]] = [
    *(
        ("project", p)
        for p in (
            "",
            "a/b",
            "..",
            "../x",
            "a b",
            'a"b',
            "a'b",
            "Upper",
            "é",
            "-a",
            "_a",
            "a.b",
            "a\n",
            "a" * 41,
            "a" * 200,
            7,
            None,
        )
    ),
    *(("engine", e) for e in ("swarm", "Docker", "", None)),
    *(("pg_version", v) for v in (13, 19, 0, -14, "x", "", 14.0, 14.5, True, None, [14])),
    *(("replicas", r) for r in (0, -1, 17, "x", "", 1.0, True, None)),
    *(("port", p) for p in (-1, 1, 1023, 65535, 65536, 70000, "x", 5432.0, True)),
    *(("image", i) for i in ("-v", "a b", "postgres:14;rm", "a\n", "x" * 256, 14)),
    *(
        ("network", n)
        for n in (
            "",
            "x",
            "192.168.55.0",
            "192.168.55.1/24",
            "192.168.55.0/33",
            "192.168.55.0/28",
            "192.168.55.4/30",
            "8.8.8.0/24",
            "0.0.0.0/0",
            "127.0.0.0/8",
            "192.168.0.0/15",
            "fd00::/64",
            "192.168.55/24",
            "256.1.1.0/24",
            "192.168.55.0/24 ",
            5,
            None,
        )
    ),
    *(
        ("replication_user", u)
        for u in (
            "",
            " ",
            " x",
            "x ",
            "a\nb",
            "a\0b",
            "x" * 64,
            "é" * 32,
            "postgres",
            "public",
            "none",
            "pg_monitor",
            "/repl",
            "-repl",
            7,
            None,
        )
    ),
    *(("auth_method", a) for a in ("md5", "password", "", None, "SCRAM-SHA-256")),
    *(("tls", a) for a in ("On", "require", "", None, True)),
    *(
        ("settings", s)
        for s in (
            "{",
            "x",
            "[1]",
            [1],
            None,
            {"work_mem": "8\nMB"},
            {"work_mem": "8\rMB"},
            {"a b": "1"},
            {"work_mem": "a\0"},
            {"": "1"},
            {"a'b": "1"},
            {"a=b": "1"},
            {"#x": "1"},
            {"x": None},
            {"x": ["1"]},
            {"x": {}},
            {"a.b.c": "1"},
            '{"work_mem": null}',
        )
    ),
    *(("settings", {name: "1"}) for name in sorted(OWNED)),
    *(("workdir", w) for w in ("a\nb", "a\0b", "a\udce7b", "~there-is-no-such-user/x")),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{n}={v!r}"[:60] for n, v in WRONG])
def test_a_wrong_value_is_named_with_what_was_given(name: str, value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        Params.parse({name: value})
    assert caught.value.exit_code == 2
    (seen,) = caught.value.looked_at
    assert seen.startswith(f"{name}: ") and repr(value) in seen
    assert caught.value.remedy
    assert "nothing was touched" in str(caught.value)


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{n}={v!r}"[:60] for n, v in WRONG])
def test_a_notebook_tells_it_in_portuguese(name: str, value: Any) -> None:
    with speaking(PORTUGUESE), pytest.raises(ParameterError) as caught:
        Params.parse({name: value})
    with speaking(PORTUGUESE):
        assert english_in(str(caught.value).replace(repr(value), "")) == []


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        Params.parse({"project": "A", "pg_version": 13, "replicas": 0, "network": "x"})
    assert [seen.split(":")[0] for seen in caught.value.looked_at] == [
        "project",
        "pg_version",
        "replicas",
        "network",
    ]


def test_an_unknown_parameter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParameterError) as caught:
        Params.parse({"pg_vesion": 15})
    (seen,) = caught.value.looked_at
    assert seen.startswith("pg_vesion: no such parameter") and "pg_version" in seen


def test_a_number_where_text_is_wanted_names_papermills_option() -> None:
    with pytest.raises(ParameterError, match="-r NAME VALUE"):
        Params.parse({"project": 2024})


def test_the_defaults_are_the_documents_but_for_trust() -> None:
    params = Params.parse({})
    assert (params.project, params.engine, params.pg_version, params.image) == (
        "pgrepl",
        "auto",
        14,
        "postgres:14",
    )
    assert (params.replicas, str(params.network), params.port) == (1, "192.168.55.0/24", 0)
    assert (params.replication_user, params.settings) == ("repl", {})
    assert (params.auth_method, params.tls) == ("scram-sha-256", "off")
    assert params.workdir.is_absolute() and params.folder == params.workdir / "pgrepl"


@pytest.mark.parametrize("version", [14, 15, 16, 17, 18, "17"])
def test_the_image_follows_the_version(version: Any) -> None:
    assert Params.parse({"pg_version": version}).image == f"postgres:{version}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("project", p) for p in ("a", "0", "a-b_c", "a" * 40)),
        *(("network", n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "10.1.2.0/27")),
        *(
            ("replication_user", u)
            for u in (
                "repl",
                "all",
                "replication",
                'Répl "x"\'y',
                "a b",
                "a\\b:c",
                "x" * 63,
                "+x",
                "@x",
            )
        ),
        *(("image", i) for i in ("postgres:14", "registry.example:5000/a/b@sha256:" + "0" * 64)),
        *(("port", p) for p in (0, 1024, 65519)),
    ],
)
def test_a_right_value_survives_unchanged(name: str, value: Any) -> None:
    assert Params.parse({name: value}).plain()[name] == value


@pytest.mark.parametrize(
    "text", ["a'b", "a\\b", "a#b", '"', "", " ", "é", "a'b\\c#d %m", "=", "$x"]
)
def test_a_settings_value_survives_unchanged(text: str) -> None:
    assert Params.parse({"settings": {"log_line_prefix": text}}).settings == {
        "log_line_prefix": text
    }


def test_settings_come_as_a_mapping_or_as_json_and_become_text() -> None:
    given = {
        "work_mem": "8MB",
        "max_connections": 50,
        "fsync": False,
        "jit": True,
        "random_page_cost": 1.5,
    }
    wanted = {
        "work_mem": "8MB",
        "max_connections": "50",
        "fsync": "off",
        "jit": "on",
        "random_page_cost": "1.5",
    }
    assert Params.parse({"settings": given}).settings == wanted
    assert Params.parse({"settings": json.dumps(given)}).settings == wanted
    assert Params.parse({"settings": ""}).settings == {}


def test_a_classified_setting_is_accepted() -> None:
    assert Params.parse({"settings": {"auto_explain.log_min_duration": "1s"}}).settings


def test_a_work_folder_by_a_link_or_with_dots_is_the_one_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for way in ("real", "link", "./link/", "absent/../real", "link/../real", "real/absent/.."):
        assert Params.parse({"workdir": f"{tmp_path}/{way}"}).workdir == tmp_path / "real"


def test_a_relative_workdir_in_the_chapters_folder_is_in_the_users_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(NOTEBOOKS)
    assert Params.parse({"workdir": "dados"}).workdir == tmp_path / "dados"
    assert Params.parse({"workdir": "/srv/dados"}).workdir == Path("/srv/dados").resolve()


def test_a_current_folder_that_is_gone_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ParameterError, match=r"workdir: .*No such file"):
        Params.parse({"workdir": "dados"})
    assert Params.parse({"workdir": str(tmp_path)}).workdir == tmp_path


def test_the_workdir_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Params.parse({"workdir": "a b/ç"}).workdir == tmp_path / "a b/ç"
    assert Params.parse({"workdir": "."}).workdir == tmp_path
    assert Params.parse({"workdir": "~/x"}).workdir == tmp_path / "home/x"
    assert Params.parse({"workdir": ""}).workdir == Params.parse({}).workdir


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Params.parse({}).project = "other"  # type: ignore[misc]


def test_plain_values_make_the_same_parameters_again() -> None:
    params = Params.parse(
        {
            "settings": {"work_mem": "8MB"},
            "network": "10.0.0.0/24",
            "replication_user": "a'b",
            "port": 6000,
        }
    )
    assert Params.parse(json.loads(json.dumps(params.plain()))) == params


def test_nothing_is_made_on_disk(tmp_path: Path) -> None:
    Params.parse({"workdir": tmp_path / "x"})
    with pytest.raises(ParameterError):
        Params.parse({"workdir": tmp_path / "x", "project": ".."})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "databases"),
    [
        ({}, ("replication",)),
        ({"sync_replication_slots": "off"}, ("replication",)),
        ({"sync_replication_slots": "on"}, ("replication", "postgres")),
        ({"sync_replication_slots": True}, ("replication", "postgres")),
    ],
)
def test_slots_are_copied_out_of_a_database(
    asked: dict[str, Any], databases: tuple[str, ...]
) -> None:
    assert Params.parse({"settings": asked, "pg_version": 18}).databases == databases
