"""The report and the JUnit XML: what they say of every kind of end, and that nothing in a journal gets out of its place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from pgrepl_lib.checks import pictured
from pgrepl_lib.cli.main import main
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.evidence import corrections, junit, pictures, report, template, verdict
from pgrepl_lib.evidence.signing.statements import STATEMENT
from pgrepl_lib.journal import audit, lock, timeline
from pgrepl_lib.journal.chapter import NOTEBOOKS
from pgrepl_lib.journal.records import MEANT_TO_FAIL
from pgrepl_lib.journal.runs import Run
from pgrepl_lib.words import picture
from pgrepl_lib.words.language import ENGLISH, PORTUGUESE, speaking
from pgrepl_lib.words.legible import legible

from ..journals import (
    SET_UP,
    Line,
    at,
    begun,
    chapter,
    check,
    completed,
    engine,
    journal,
    step,
    stopped,
)

PRIMARY = SET_UP[1]
HOSTILE = "<script>alert(1)</script>\"'&\n\x1b[31mred\x1b[0m\x00\x07\u202egnp\ud800{{ 7*7 }}</title></style></svg>]]>"


class Page(HTMLParser):
    """What a browser would find in a page: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, attribute: str) -> list[str]:
        return [found[attribute] for _, found in self.elements if attribute in found]


def page(folder: Path, lines: list[Line]) -> Page:
    return Page(report.page(journal(folder, lines)))


def judged(run: Run, language: str = PORTUGUESE) -> verdict.Verdict:
    with speaking(language):
        return verdict.of(run)


def suites(run: Run) -> ElementTree.Element:
    return ElementTree.fromstring(junit.text(run))


FAILED_STEP = step(
    4.0,
    PRIMARY,
    "Fazer o base backup",
    "failed",
    cell="backup",
    exit_code=1,
    error="Exit code 1: pg_basebackup\n  what to do: allow the login",
)
DRILL = [
    step(3.0, PRIMARY, "Falha de propósito", MEANT_TO_FAIL, cell="simulacao"),
    step(3.5, PRIMARY, "Outra vez", cell="depois"),
]
ENDS: dict[str, tuple[list[Line], str, str, str]] = {
    "completed": (
        completed(),
        "✔",
        "good",
        "Concluída: 2 de 2 verificações passaram; 3 passos alteraram algo, 1 já estava feito.",
    ),
    "drill": (
        [*completed()[:7], *DRILL, *completed()[7:]],
        "✔",
        "good",
        "4 passos alteraram algo, 1 já estava feito, 1 falhou, como devia.",
    ),
    "step": (
        stopped("failed", FAILED_STEP),
        "✘",
        "bad",
        f"Falhou no capítulo {PRIMARY}, em “Fazer o base backup”. Até ali, nenhuma",
    ),
    "check": (
        stopped("failed", check(4.0, PRIMARY, "Aceita escritas", False)),
        "✘",
        "bad",
        "em “Aceita escritas”. Até ali, 0 de 1",
    ),
    "cell": (
        stopped("failed", *DRILL, error="NameError"),
        "✘",
        "bad",
        f"Falhou no capítulo {PRIMARY}. Até ali",
    ),
    "interrupted": (stopped("interrupted"), "■", "stopped", "ela continua de onde parou."),
    "killed": (
        stopped("killed"),
        "■",
        "stopped",
        f"Interrompida sem fim registrado no capítulo {PRIMARY}: o processo foi morto",
    ),
    "first line": ([begun()], "■", "stopped", "Interrompida sem fim registrado: o processo"),
    "manual": (
        [at(0, "run", run="1"), engine(), step(1, "cli", "Trocar")],
        "✎",
        "open",
        "fora de uma execução",
    ),
    "manual, failed": (
        [check(1, PRIMARY, "Aceita", False)],
        "✘",
        "bad",
        "0 de 1 verificação passou",
    ),
    "empty": ([], "■", "stopped", "O registro está vazio."),
    "odd": ([begun(), at(1, "end", status="exploded")], "■", "stopped", "exploded"),
    "bare": (
        [{"kind": k} for k in ("run", "chapter", "step", "check", "engine", "state", "other")],
        "✘",
        "bad",
        "não passaram",
    ),
}
GREEN = ("completed", "drill", "manual", "empty")


@pytest.mark.parametrize("name", ENDS)
def test_the_verdict_comes_first_and_says_how_it_ended(tmp_path: Path, name: str) -> None:
    lines, sign, tone, text = ENDS[name]
    run = journal(tmp_path / "runs" / "1", lines)
    found = judged(run)
    assert (found.sign, found.tone) == (sign, tone) and text in found.text
    html = report.page(run)
    said = Page(html).text
    assert (
        said.index(found.text) < said.index("O que foi montado")
        and f'class="verdict {tone}"' in html
    )
    root = suites(run)
    assert (int(root.get("errors", "")) + int(root.get("failures", "")) == 0) is (name in GREEN)


def test_a_run_that_goes_on_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = journal(tmp_path / "runs" / "1", [begun(pid=os.getpid()), chapter(0.1, SET_UP[0])])
    monkeypatch.setenv(audit.RUN_FOLDER, str(run.folder))
    with lock.run_lock(tmp_path):
        assert run.status == "running" and judged(run).text.startswith(
            f"Em andamento no capítulo {SET_UP[0]}: até agora"
        )
        assert suites(run).get("errors") == "1"
    assert Run(run.folder).status == "killed"


def test_a_journal_that_was_changed_proves_nothing(tmp_path: Path) -> None:
    run = journal(tmp_path / "runs" / "1", completed())
    run.folder.joinpath("journal.jsonl").write_text(
        run.folder.joinpath("journal.jsonl").read_text().replace("14.23", "14.99")
    )
    again = Run(run.folder)
    assert judged(again).tone == "bad" and "a linha 5 do journal.jsonl" in judged(again).text
    assert "✘ a linha 5 não confere" in Page(report.page(again)).text
    assert suites(again).find("testsuite[@name='pgrepl']/testcase/error") is not None


def test_a_run_without_a_check_is_not_shown_as_one_that_passed(tmp_path: Path) -> None:
    lines = [line for line in completed() if line["kind"] != "check"]
    root = suites(journal(tmp_path / "runs" / "1", lines))
    assert [
        case.get("name") for case in root.iter("testcase") if case.find("skipped") is not None
    ] == ["no check was made"]


def test_the_same_journal_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    runs = [journal(tmp_path / place / "runs" / "1", completed()) for place in ("a", "b")]
    first = report.write(runs[0]).read_bytes()
    assert (
        report.write(runs[0]).read_bytes()
        == first
        == report.page(runs[1]).encode()
        == report.page(Run(runs[0].folder)).encode()
    )
    assert junit.text(runs[0]) == junit.text(runs[1])


@pytest.mark.parametrize("local", ["2026-11-23T20:00:00+00:00", "2026-11-23T17:00:00-03:00"])
def test_each_moment_is_said_once_and_in_local_time_where_that_is_another(
    tmp_path: Path, local: str
) -> None:
    run = journal(tmp_path / "runs" / "1", [begun(local_time=local), *completed()[1:]])
    origin = report.page(run).partition('<section id="origem">')[2]
    assert origin.count("23/11/2026, 20:00:00 (UTC)") == 1
    assert origin.count("hora local") == (0 if local.endswith("+00:00") else 2)


def test_a_name_of_a_program_and_of_a_package_are_told_apart(tmp_path: Path) -> None:
    odd = {"{0} {odd}": "{}", "": "<b>"}  # whoever wrote the journal, they are only shown
    used = at(0.5, "engine", facts={"engine": "docker", "docker": "20.10.24", **odd})
    lines = [begun(packages={"docker": "7.1.0"}), used, *completed()[2:]]
    told = Page(report.page(journal(tmp_path / "runs" / "1", lines))).text
    assert "{0} {odd}" in told and "Project-Id-Version" not in told
    assert re.search(r"20\.10\.24.*Pacotes Python.*docker.*7\.1\.0", told, re.S)


def test_it_tells_all_that_the_issue_of_a_report_asks_for(tmp_path: Path) -> None:
    html = report.page(journal(tmp_path / "runs" / "1", completed()))
    text = Page(html).text
    for said in (
        "demo",
        "14.23",
        "sha256:feed",
        "work_mem",
        "replica_1_slot",
        "15433",
        "ana",
        "lab-1",
        "0123abc",
        "limpo",
        "23/11/2026, 20:00:00 (UTC)",
        "23/11/2026, 17:00:00 (hora local, UTC−03:00)",
        "A réplica está em streaming",
        "true --Criar a senha",
        "código de saída 0",
        "já estava assim",
        "+wal_level = replica",
        "3,30 s",
        "cada linha confere com o hash da anterior",
        "2 verificações",
    ):
        assert said in text, said
    assert "A figura mostra o que foi pedido" not in text
    numbers = re.findall(r'aria-label="Correção (\d+)"', html)
    assert numbers == ["1", "2", "3", "6", "7", "9", "11", "12", "13", "14"]
    assert f'<a href="{PRIMARY}.html#cell-id=senha">' in html


@pytest.mark.parametrize("name", ENDS)
def test_it_reads_in_english_too(tmp_path: Path, name: str) -> None:
    """What the report itself says: titles that were recorded in one language alone stay so."""
    plain = re.sub("[À-ÿ]", "e", json.dumps(ENDS[name][0], ensure_ascii=False))
    run = journal(tmp_path / "runs" / "1", json.loads(plain))
    html = report.page(run, ENGLISH)
    found = Page(html)
    assert ("html", {"lang": "en"}) in found.elements
    assert not re.findall(r"\w*[À-ÿ]\w*", found.text + " ".join(found.all("aria-label")))
    assert report.page(run) == report.page(run, PORTUGUESE) != html
    assert judged(run, ENGLISH).text in found.text


@pytest.mark.parametrize(
    ("recorded", "spoken"),
    [("en", "en"), ("pt_BR", "pt"), ("", "pt"), (None, "pt"), ("../en", "pt"), ("de", "pt")],
)
def test_it_is_in_the_language_that_the_run_recorded(
    tmp_path: Path, recorded: str | None, spoken: str
) -> None:
    run = journal(tmp_path / "1", [begun(language=recorded), *completed()[1:]])
    assert ("html", {"lang": spoken}) in Page(report.page(run)).elements


def test_a_failure_says_what_to_do(tmp_path: Path) -> None:
    text = Page(report.page(journal(tmp_path / "a" / "1", ENDS["step"][0]))).text
    assert text.index("allow the login") < text.index("O que foi montado")
    text = Page(report.page(journal(tmp_path / "b" / "1", ENDS["check"][0]))).text
    assert text.index("veja o log da réplica") < text.index("O que foi montado")
    html = report.page(journal(tmp_path / "c" / "1", ENDS["cell"][0]))
    assert "(NameError)" in html and f'<a href="{PRIMARY}.html">notebook executado</a>' in html
    assert "A figura mostra o que foi pedido" in html
    killed = report.page(journal(tmp_path / "d" / "1", ENDS["killed"][0]))
    assert f"{SET_UP[0]}.html" in killed and f"{PRIMARY}.html" not in killed, (
        "the killed chapter has no page"
    )


def hostile() -> list[Line]:
    """A journal with hostile text wherever text can be."""
    lines = [
        begun("00-preparacao", "javascript:alert(1)//"),
        chapter(0.1, "javascript:alert(1)//"),
        engine(),
        *stopped("failed")[1:6],
        step(
            2,
            PRIMARY,
            HOSTILE,
            error=HOSTILE,
            diff=f"+{HOSTILE}",
            outcome="failed",
            cell=HOSTILE,
            commands=[{"command": HOSTILE, "exit_code": HOSTILE, "output": HOSTILE * 99}],
        ),
        check(
            3,
            PRIMARY,
            HOSTILE,
            False,
            expected=HOSTILE,
            seen=HOSTILE,
            hint=f"`{HOSTILE}` **{HOSTILE}**",
            cell=HOSTILE,
        ),
        at(4, "rejoin", name=HOSTILE, seen={HOSTILE: HOSTILE}),
        chapter(4, "javascript:alert(1)//", "completed"),
        at(
            4,
            "state",
            instances={
                HOSTILE: {"role": "replica", "upstream": "primary", "port": HOSTILE},
                "primary": {"role": HOSTILE},
                "x": {"upstream": "x", "role": "primary"},
            },
        ),
        at(5, "end", status=HOSTILE),
    ]
    for name in ("user", "host", "platform", "python"):
        lines[0][name] = HOSTILE
    lines[0]["params"] |= {"project": HOSTILE, HOSTILE: HOSTILE}
    lines[2]["facts"] |= {HOSTILE: HOSTILE}
    return lines


def test_nothing_of_a_journal_gets_out_of_its_place(tmp_path: Path) -> None:
    run = journal(tmp_path / "runs" / "1", hostile())
    html = report.page(run)
    found = Page(html)
    harmless = report.page(
        journal(tmp_path / "runs" / "2", json.loads(json.dumps(hostile()).replace("script>", "b>")))
    )
    assert {tag for tag, _ in found.elements} <= {
        tag for tag, _ in Page(report.page(journal(tmp_path / "3", completed()))).elements
    } | {"br", "section"}
    assert len(found.elements) == len(Page(harmless).elements), "what the text says does not matter"
    assert not [name for _, given in found.elements for name in given if name.startswith("on")]
    assert all(
        re.fullmatch(r"#[\w-]+|[\w-]+\.html(#cell-id=.*)?", link) for link in found.all("href")
    ), found.all("href")
    assert "<script>alert(1)</script>" in found.text and "{{ 7*7 }}" in found.text, (
        "it is told, as text"
    )
    assert "red␀␇⟨U+202E⟩gnp⟨U+D800⟩" in found.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
    assert "alert(1)" in "".join(suites(run).itertext())


def test_it_needs_nothing_else_and_every_picture_has_a_name(tmp_path: Path) -> None:
    html = report.page(journal(tmp_path / "runs" / "1", completed()))
    found = Page(html)
    tags = [tag for tag, _ in found.elements]
    assert ("html", {"lang": "pt"}) in found.elements and not {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "base",
    } & set(tags)
    assert found.all("src") == [] and not re.search(r"url\((?!#)|@import", html)
    (policy,) = [
        given["content"]
        for tag, given in found.elements
        if given.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    pictures = [given for tag, given in found.elements if tag == "svg"]
    assert len(pictures) >= 8 and all(
        p.get("aria-label") if p.get("role") == "img" else p["aria-hidden"] for p in pictures
    )
    ids = found.all("id")
    assert len(ids) == len(set(ids)) and {
        link[1:] for link in found.all("href") if link[0] == "#"
    } <= set(ids)
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and all(
        after <= before + 1 or before == 2 for before, after in pairwise(levels)
    )


def test_long_output_is_folded_and_short_output_is_not(tmp_path: Path) -> None:
    lines = completed()
    lines[2]["commands"][0]["output"] = "\n".join(f"linha {n}" for n in range(40))
    lines[6]["commands"][0]["command"] = "cat > compose.yaml <<'END'\n" + "campo: 7\n" * 40 + "END"
    html = report.page(journal(tmp_path / "runs" / "1", lines))
    assert (
        html.count("<summary>saída: 40 linhas</summary>")
        == html.count("<summary>o comando inteiro: 42 linhas</summary>")
        == 1
    )
    assert html.count("<details>") == 3 and html.count("campo: 7") == 40


# --- pictures ------------------------------------------------------------------------------------------------


def test_bars_stand_where_the_journal_says(tmp_path: Path) -> None:
    run = journal(tmp_path / "runs" / "1", completed())
    found = timeline.bars(run)
    assert [
        (b.title, b.outcome, round(b.start, 2), round(b.seconds, 2)) for b in found[PRIMARY]
    ] == [
        ("Criar a senha", "changed", 0.8, 1.2),
        ("Configurar a replicação", "changed", 2.0, 0.5),
        ("Permitir a replicação", "unchanged", 2.59, 0.01),
        ("2 checks", "passed", 2.7, 0.3),
    ]
    assert [(b.title, round(b.start, 1), round(b.end, 1)) for b in timeline.spans(run, found)] == [
        (SET_UP[0], 0.1, 0.6),
        (PRIMARY, 0.6, 3.1),
    ]


def test_a_clock_that_was_set_back_gives_no_negative_bar(tmp_path: Path) -> None:
    lines = completed()
    for line in lines[6:]:
        line["time"] = line["time"].replace("T20:", "T17:")
    run = journal(tmp_path / "runs" / "1", lines)
    found = timeline.bars(run)
    every = [b for made in found.values() for b in made]
    assert timeline.set_back(run) and all(b.start >= 0 and b.seconds >= 0 for b in every)
    assert all(after.start >= before.start for before, after in pairwise(every))
    html = report.page(run)
    assert "O relógio da máquina foi mudado" in html and not re.search(r' (x|width)="-', html)
    assert "O relógio" not in report.page(journal(tmp_path / "runs" / "2", completed()))


@pytest.mark.parametrize(
    "seconds", [0, 0.0004, 3, 86400.0, 1e300, float("inf"), float("nan"), "x", None, -5, True]
)
def test_any_duration_can_be_drawn(tmp_path: Path, seconds: Any) -> None:
    lines = [*completed()[:6], step(2, PRIMARY, "Um passo", took=seconds), *completed()[7:]]
    run = journal(tmp_path / "runs" / "1", lines)
    html = report.page(run)
    widths = [
        float(w) for w in re.findall(r'<rect class="\w+" x="[\d.]+" y="\d+" width="([\d.]+)"', html)
    ]
    assert widths and all(0 < w <= 820 for w in widths)
    ElementTree.fromstring(junit.text(run))


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        (0, 8.7, ["0 s", "2 s", "4 s", "6 s", "8 s"]),
        (65.2, 65.5, ["65.2 s", "65.3 s", "65.4 s", "65.5 s"]),
        (0, 300, ["0 s", "100 s", "200 s", "300 s"]),
        (1.0, 1.0, ["1.0000 s", "1.0002 s", "1.0004 s", "1.0006 s", "1.0008 s", "1.0010 s"]),
    ],
)
def test_the_axis_has_a_few_round_numbers(first: float, last: float, labels: list[str]) -> None:
    found = [label for _, label in pictures._ticks(first, last)]
    assert found == labels[: len(found)] and found


@pytest.mark.parametrize("last", [*range(1, 40), 100.0, 9.99, 0.3])
def test_the_axis_ends_within_the_picture(last: float) -> None:
    drawn = pictures._over_seconds([timeline.Bar("a", "changed", 0, last)], "a", pictures.ABOVE)
    for x, anchor, label in re.findall(r'x="([\d.]+)" y="12" text-anchor="(\w+)">([^<]*)', drawn):
        reach = {"start": 1.0, "middle": 0.5, "end": 0.0}[anchor] * len(label) * pictures.CHARACTER
        assert float(x) + reach <= pictures.ABOVE.width, label


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "< 0.01 s"),
        (0.35, "0.35 s"),
        (9, "9 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min"),
        (125, "2 min 5 s"),
        (7384, "2 h 3 min"),
    ],
)
def test_durations_read_as_in_the_language(seconds: float, text: str) -> None:
    assert timeline.length(seconds) == text
    with speaking(PORTUGUESE):
        assert timeline.length(seconds) == text.replace(".", ",")


def stored_pictures() -> list[tuple[str, str]]:
    found = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            data = [
                o["data"] for o in cell.get("outputs", []) if "image/svg+xml" in o.get("data", {})
            ]
            found += [(f"{path.stem}#{cell['id']}", "".join(d["image/svg+xml"])) for d in data]
    return found


@pytest.mark.parametrize(("where", "stored"), stored_pictures())
def test_the_chapters_pictures_are_those_that_are_stored(where: str, stored: str) -> None:
    names = re.findall(r'font-size="17" fill="#1d3b53">([^<]+)<', stored)
    described = zip(
        names[1:],
        re.findall("application_name ([^<]*)", stored),
        re.findall(r'12">slot (\w+)', stored),
        strict=True,
    )
    primary = SimpleNamespace(name=names[0])
    replicas = [
        SimpleNamespace(name=n, application_name=a, slot=s, upstream=primary)
        for n, a, s in described
    ]
    cluster: Any = SimpleNamespace(
        primary=primary, params=SimpleNamespace(pg_version=14), replicas=replicas
    )
    with speaking(PORTUGUESE):
        made = pictured.topology(cluster)
    assert made == stored


@pytest.mark.parametrize("narrow", [False, True])
def test_a_cascade_and_a_fenced_instance_are_drawn_apart(narrow: bool) -> None:
    upstreams = {
        "replica": "primary",
        "replica-2": "primary",
        "replica-3": "replica",
        "replica-4": "replica-3",
    }
    nodes = [
        picture.Node("primary", "primary", ("w",)),
        picture.Node("old", "fenced", ("f",)),
        *(picture.Node(n, "replica", ("r",), u, f"slot_{n}") for n, u in upstreams.items()),
    ]
    drawn = ElementTree.fromstring(picture.draw(nodes, network="n", alt="a", narrow=narrow))
    width, height = (float(v) for v in drawn.get("viewBox", "").split()[2:])
    space = "{http://www.w3.org/2000/svg}"
    boxes = [(float(g[0].get("x", 0)), float(g[0].get("y", 0))) for g in drawn.iter(f"{space}g")]
    assert len(set(boxes)) == 6 and all(x + 230 <= width and y + 104 <= height for x, y in boxes)
    assert not [
        1
        for i, (x, y) in enumerate(boxes)
        for a, b in boxes[:i]
        if abs(x - a) < 230 and abs(y - b) < 104
    ], "overlap"
    assert len([p for p in drawn.iter(f"{space}path") if p.get("marker-end")]) == 4
    ring = [picture.Node("a", "replica", (), "b"), picture.Node("b", "replica", (), "a")]
    assert "WAL" not in picture.draw(ring, network="n", alt="a", narrow=narrow), (
        "nobody is the first"
    )


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (completed(), [("primary", "primary", ""), ("replica", "replica", "primary")]),
        ([begun(), engine()], [("primary", "primary", ""), ("replica", "replica", "primary")]),
        (
            [begun(params={"replicas": 2})],
            [
                ("primary", "primary", ""),
                ("replica", "replica", "primary"),
                ("replica-2", "replica", "primary"),
            ],
        ),
        (
            [begun(), at(1, "state")],
            [("primary", "primary", ""), ("replica", "replica", "primary")],
        ),
        ([step(1, "cli", "Algo")], []),
    ],
)
def test_instances_are_those_left_or_else_those_wanted(
    tmp_path: Path, lines: list[Line], found: list[Any]
) -> None:
    run = journal(tmp_path / "runs" / "1", lines)
    assert [(i["name"], i["role"], i["upstream"]) for i in pictures.instances(run)] == found
    assert ("O registro não diz que instâncias existem" in report.page(run)) is not bool(found)


# --- corrections ---------------------------------------------------------------------------------------------


def test_every_correction_is_told_with_what_is_done_instead(tmp_path: Path) -> None:
    lines = [begun(), *(chapter(1, name, "completed") for name in SET_UP)]
    told = [c for s in journal(tmp_path, lines).chapters for c in corrections.made_by(s)]
    assert sorted(c.number for c in told) == sorted(corrections.told()) == list(range(1, 15))
    assert all(40 < len(c.wrong) < 260 and c.done and c.cell for c in told)


def test_a_correction_is_told_in_portuguese_as_in_its_chapter_and_in_the_index() -> None:
    index = (NOTEBOOKS / "README.md").read_text("utf-8")
    done = dict(re.findall(r"^\| (\d+) \|.*\| (.+?) \|[^|]*\|$", index, re.M))
    callout = re.compile(r"^> \*\*Correção (\d+)\.\*\* (.+(?:\n>(?! \*\*Correção).*)*)", re.M)
    prose = "\n\n".join(
        "".join(cell["source"])
        for name in SET_UP
        for cell in json.loads((NOTEBOOKS / f"{name}.ipynb").read_text("utf-8"))["cells"]
    )
    said = {n: re.sub(r"\s*\n> ?", " ", text) for n, text in callout.findall(prose)}
    with speaking(PORTUGUESE):
        for number, (wrong, instead) in corrections.told().items():
            assert said[str(number)].startswith(wrong), number
            assert done[str(number)] == instead, number


def test_an_unfinished_chapter_made_only_the_corrections_before_its_last_step(
    tmp_path: Path,
) -> None:
    run = journal(tmp_path, stopped("killed", step(3, PRIMARY, "Permitir", cell="permissoes")))
    assert [c.number for c in corrections.made_by(run.chapters[1])] == [1, 2, 3]
    assert corrections.made_by(run.chapters[2]) == [], "not reached"


# --- writing -------------------------------------------------------------------------------------------------


def test_a_signed_folder_is_not_changed(tmp_path: Path) -> None:
    run = journal(tmp_path / "runs" / "1", completed())
    path = report.write(run)
    (run.folder / STATEMENT).write_text("signed")
    written = path.stat().st_mtime_ns
    assert report.write(run) == path and path.stat().st_mtime_ns == written, (
        "equal bytes: nothing is written"
    )
    path.write_text("of another version")
    with pytest.raises(ParameterError, match="--output FILE"):
        report.write(run)
    for inside in (run.folder / "more.html", run.folder / ".." / "1" / "summary.json", path):
        with pytest.raises(ParameterError):
            report.write(run, inside)
    assert path.read_text() == "of another version" and not (run.folder / "more.html").exists()
    assert "Concluída" in report.write(run, tmp_path / "out" / "r.html").read_text("utf-8")
    path.unlink()
    assert report.write(run).exists(), "what is gone may come back"


def test_the_command_writes_it_again_from_the_journal_alone(tmp_path: Path) -> None:
    run = journal(tmp_path / "demo" / "runs" / "1", completed())
    options = ["-p", "workdir", str(tmp_path), "--project", "demo"]
    done = CliRunner().invoke(main, ["report", *options])
    assert (done.exit_code, done.stdout) == (0, f"{run.folder / 'report.html'}\n")
    output = tmp_path / "elsewhere.html"
    done = CliRunner().invoke(
        main, ["report", str(run.folder), *options, "--output", str(output), "--json"]
    )
    told = json.loads(done.stdout)
    assert (
        told["report"] == str(output)
        and told["status"] == "completed"
        and told["verdict"].startswith("Concluída: 2 de 2")
    )
    assert output.read_bytes() == (run.folder / "report.html").read_bytes()
    for words in (["report", "--lang", "en"], ["--lang", "en", "report"]):
        again = [*words, str(run.folder), *options, "--output", str(output), "--json"]
        told = json.loads(CliRunner().invoke(main, again).stdout)
        assert told["verdict"].startswith("Completed: 2 of 2 checks passed; 3 steps changed")
        assert "What was set up" in output.read_text("utf-8")
    assert CliRunner().invoke(main, ["report", "nothing", *options]).exit_code == 2


def test_writing_is_quick_and_nothing_is_imported_for_it_before(tmp_path: Path) -> None:
    program = "import sys, pgrepl_lib.evidence.evidence; print([m for m in ('jinja2', 'markupsafe') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    lines = completed()
    lines[7:7] = [
        step(2.1, PRIMARY, f"Passo {n}", took=0.01, diff=lines[7]["diff"]) for n in range(60)
    ]
    run = journal(tmp_path / "runs" / "1", lines)
    spent = []
    for _ in range(3):
        template.environment.cache_clear()  # the template is compiled each time
        begin = time.process_time()
        report.write(run), junit.write(run)
        spent.append(time.process_time() - begin)
    assert min(spent) < 0.15, spent


# --- JUnit XML -----------------------------------------------------------------------------------------------

ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {
        "name",
        "tests",
        "failures",
        "errors",
        "skipped",
        "time",
        "timestamp",
        "hostname",
    },
    "testcase": {"name", "classname", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": set(),
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "skipped"},
}


@pytest.mark.parametrize(
    "lines", [*(lines for lines, *_ in ENDS.values()), hostile()], ids=[*ENDS, "hostile"]
)
def test_junit_is_what_its_schemas_allow(tmp_path: Path, lines: list[Line]) -> None:
    root = suites(journal(tmp_path / "runs" / "1", lines))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.keys()) <= ATTRIBUTES[element.tag] and {
            c.tag for c in element
        } <= CHILDREN.get(element.tag, set())
        assert all(re.fullmatch(r"\d+\.\d{3}", v) for k, v in element.items() if k == "time")
    for suite in root:
        assert {"name", "tests", "failures", "errors", "skipped", "time"} <= set(
            suite.keys()
        ) and suite.get("name")
        assert all(
            c.get("name") and c.get("classname", "").startswith("pgrepl.") and len(c) <= 1
            for c in suite
        )
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", "2026-11-23T20:00:00")
        )
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        assert (
            int(root.get(attribute, ""))
            == sum(int(s.get(attribute, "")) for s in root)
            == len(list(root.iter(tag)))
        )


def test_junit_has_a_suite_for_each_chapter_and_a_case_for_each_check(tmp_path: Path) -> None:
    root = suites(journal(tmp_path / "runs" / "1", completed()))
    assert [(s.get("name"), s.get("tests"), s.get("timestamp")) for s in root] == [
        (SET_UP[0], "0", "2026-11-23T20:00:00"),
        (PRIMARY, "2", "2026-11-23T20:00:00"),
    ]
    assert [(c.get("classname"), c.get("name"), c.get("time")) for c in root.iter("testcase")] == [
        (f"pgrepl.{PRIMARY}", "A primária aceita escritas", "0.100"),
        (f"pgrepl.{PRIMARY}", "A réplica está em streaming", "0.100"),
    ]
    failed = suites(journal(tmp_path / "runs" / "2", ENDS["check"][0])).find(".//failure")
    assert failed is not None and failed.text == (
        "expected: replica-1: streaming\nseen: no row\nwhat to do: veja o log da **réplica**"
    )
    stopper = suites(journal(tmp_path / "runs" / "3", ENDS["step"][0]))
    error = stopper.find(".//testcase[@name='Fazer o base backup']/error")
    assert error is not None and "allow the login" in str(error.text)
    assert len(list(stopper.iter("skipped"))) == 2, "the chapters that were not reached"


def test_a_check_that_was_not_tried_is_told_as_such(tmp_path: Path) -> None:
    lines = [
        *completed()[:-1],
        check(3.2, PRIMARY, "Um endereço fora da regra é recusado", tried=False),
        completed()[-1],
    ]
    run = journal(tmp_path / "runs" / "1", lines)
    assert run.counts()["checks"] == {"passed": 2, "failed": 0, "not_tried": 1}
    assert judged(run).text.startswith(
        "Concluída: 2 de 3 verificações passaram, 1 não pôde ser tentada; "
    )
    html = report.page(run)
    assert (
        html.count("✔ passou") == 2
        and html.count("○ não tentada") == 1
        and "○ Um endereço fora" in html
    )
    assert [
        c.get("name") for c in suites(run).iter("testcase") if c.find("skipped") is not None
    ] == [lines[-2]["title"]]


def test_how_a_program_ended_and_why_a_commit_is_not_known(tmp_path: Path) -> None:
    ended = step(
        1,
        PRIMARY,
        "Copiar",
        "interrupted",
        commands=[{"command": "pg_basebackup", "exit_code": -15, "output": "10%"}],
    )
    opening = begun(
        PRIMARY, repository=None, repository_unknown="Exit code 128: dubious <ownership>"
    )
    html = report.page(journal(tmp_path / "runs" / "1", [opening, ended]))
    assert "encerrado pelo sinal 15" in html and "código de saída -15" not in html
    assert "Exit code 128: dubious &lt;ownership&gt;" in html and "não se sabe" in html


# --- text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\r\nc", "a\tb\nc"),
        ("50%\r100%", "50%␍100%"),
        ("\x1b[1;31mx\x1b[0m\x1b]0;title\x07y\x1b(B", "xy␛(B"),
        ("ção 日本 🐘", "ção 日本 🐘"),
        ("\x85\u2028\ufeff", "⟨U+0085⟩⟨U+2028⟩\ufeff"),
        ("\ufffe\ud83d", "⟨U+FFFE⟩⟨U+D83D⟩"),
    ],
)
def test_text_is_shown_as_it_is_and_steers_nothing(text: str, shown: str) -> None:
    assert legible(text) == shown and legible(shown) == shown
    assert ElementTree.fromstring(f"<a>{shown}</a>").text == shown
