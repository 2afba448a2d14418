"""The report of a real run in a real browser, at phone and desktop width, light, dark and printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.image
import pytest

from pgrepl_lib.evidence import report
from pgrepl_lib.evidence.signing.statements import STATEMENT
from pgrepl_lib.journal.chapter import SET_UP
from pgrepl_lib.journal.runs import Run
from pgrepl_lib.words import language

from ..conftest import NewProject
from ..journals import completed, journal
from .running import pgrepl

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome") or ""
WIDTHS = (360, 390, 768, 1280)
# Written into a page that holds the report in frames: what a browser makes of it at each width.
LOOK = """addEventListener("load", () => document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {
  const page = frame.contentDocument, root = page.documentElement, seen = e => e.checkVisibility();
  const named = e => e.getAttribute("aria-label") || e.querySelector("title")?.textContent;
  return { width: frame.clientWidth, scrolls: root.scrollWidth, lang: root.lang, height: root.scrollHeight,
    resources: frame.contentWindow.performance.getEntriesByType("resource").map(e => e.name),
    pictures: [...page.querySelectorAll("svg[role=img]")].filter(seen).map(e => [named(e), e.getBoundingClientRect().width]),
    smallest: Math.min(...[...page.querySelectorAll("svg[role=img] text")].filter(seen).map(
      e => parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a)),
    wide: [...page.body.querySelectorAll("*")].filter(seen).filter(e => e.getBoundingClientRect().right > frame.clientWidth + 1)
      .map(e => e.tagName) };
})))"""


def browse(folder: Path, page: str, *options: str) -> str:
    """Open a page with headless Chromium; returns what it prints."""
    folder.joinpath("page.html").write_text(page, "utf-8")
    command = [
        PROGRAM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
        *options,
        f"file://{folder / 'page.html'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def framed(html: str, widths: tuple[int, ...], script: str = "") -> str:
    """A page with another in frames of these widths: a window of its own cannot be as narrow as a phone."""
    frames = [
        f'<iframe width={w} height=4000 style="border:0;flex:none" srcdoc="{escape(html)}"></iframe>'
        for w in widths
    ]
    return f'<!DOCTYPE html><script>{script}</script><body style="margin:0;display:flex">{"".join(frames)}'


class Title(HTMLParser):
    """The title of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.inside = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.inside = tag == "title" and not self.text

    def handle_data(self, data: str) -> None:
        self.text += data if self.inside else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = False


@pytest.fixture(scope="module")
def chromium() -> None:
    if not PROGRAM:
        require = os.environ.get("PGREPL_REQUIRE_BROWSER") == "1"
        (pytest.fail if require else pytest.skip)("neither chromium nor google-chrome is installed")


@pytest.fixture(scope="module")
def values(new_project: NewProject) -> Iterator[dict[str, str]]:
    with new_project(project="reported", replicas="2") as made:
        yield made


@pytest.fixture(scope="module")
def told(values: dict[str, str]) -> str:
    """What a real run of all set-up chapters prints."""
    done = pgrepl("run", values)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(told: str) -> Run:
    return Run(Path(told.splitlines()[1].removeprefix("evidence: ")))


@pytest.fixture(scope="module")
def html(run: Run) -> str:
    return (run.folder / "report.html").read_text("utf-8")


def test_a_run_prints_where_its_report_is(told: str, run: Run) -> None:
    assert told.splitlines()[2:] == [f"report: {run.folder / 'report.html'}"]
    root = ElementTree.parse(run.folder / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("13", "0", "0")
    assert [suite.get("name") for suite in root] == list(SET_UP)


def test_the_report_of_a_run_is_made_of_its_journal_alone(
    run: Run, html: str, tmp_path: Path
) -> None:
    copy = tmp_path / "renamed"
    copy.mkdir()
    shutil.copy(run.folder / "journal.jsonl", copy)
    done = pgrepl("report", None, str(copy))
    assert done.stdout == f"{copy / 'report.html'}\n", done.stderr
    assert (copy / "report.html").read_text("utf-8") == html
    seal = (run.folder / STATEMENT).read_bytes()
    assert (
        report.write(run) == run.folder / "report.html"
        and (run.folder / STATEMENT).read_bytes() == seal
    )
    whole = shutil.copytree(run.folder, tmp_path / "whole")
    assert pgrepl("report", None, str(whole)).returncode == 0, (
        "a signed copy of another name is not changed by it"
    )
    assert "só leituras" in html and "replica_2_slot" in html and html.count("✔ passou") == 13
    assert re.findall(r"Correção (\d+)\"", html) == [str(n) for n in range(1, 15)]
    assert "A figura mostra o que foi pedido" not in html, "the state at the end is recorded"
    english = re.sub("<svg.*?</svg>", "", report.page(run, language.ENGLISH), flags=re.DOTALL)
    for title in (str(s["title"]) for s in run.of("step") if "said" not in s):
        english = english.replace(title, "")
    assert not re.findall(r"\w*[À-ÿ]\w*", english), "the same run, without a Portuguese word"
    assert english.count("✔ passed") == 13
    for link in re.findall(r'href="([^"#]+)(?:#(cell-id=[\w-]+))?"', html):
        target = (run.folder / link[0]).read_text("utf-8")
        assert not link[1] or f'id="{link[1]}"' in target, link


@pytest.mark.parametrize("lang", ["pt", "en"])
def test_it_fits_a_phone_and_a_desk_and_loads_nothing(
    chromium: None, run: Run, lang: str, tmp_path: Path
) -> None:
    html = report.page(run, language.known(lang))
    seen = json.loads(Title(browse(tmp_path, framed(html, WIDTHS, LOOK), "--dump-dom")).text)
    assert [s["width"] for s in seen] == list(WIDTHS)
    for page in seen:
        assert page["scrolls"] <= page["width"] and page["wide"] == [], page
        assert page["lang"] == lang and page["resources"] == []
        assert len(page["pictures"]) == 6 and all(
            name and 200 < width <= page["width"] for name, width in page["pictures"]
        )
        assert page["smallest"] >= 10, "the text of pictures can be read"
    assert seen[0]["height"] > seen[-1]["height"]


def test_it_is_seen_light_and_dark(chromium: None, html: str, tmp_path: Path) -> None:
    pictures = []
    for scheme in (1, 0):
        options = (
            "--screenshot=shot.png",
            "--window-size=1670,2400",
            f"--blink-settings=preferredColorScheme={scheme}",
        )
        browse(tmp_path, framed(html, (390, 1280)), *options)
        pictures.append(matplotlib.image.imread(tmp_path / "shot.png")[:, :, :3])
    light, dark = pictures
    assert light.shape == dark.shape == (2400, 1670, 3)
    for narrow in (True, False):
        pages = [p[:, :390] if narrow else p[:, 390:] for p in pictures]
        assert pages[0][1000:].mean() > 0.85 and pages[1][1000:].mean() < 0.25, (
            "paper is light or dark from edge to edge"
        )
        for page in pages:
            assert (
                len({tuple(p) for p in (page[::7, ::7] * 255).astype(int).reshape(-1, 3)}) > 20
            ), "not blank"
    assert light[0, 0].tolist() == [1, 1, 1]


def test_what_is_folded_is_printed(chromium: None, tmp_path: Path) -> None:
    pages = []
    for count in (40, 4000):
        lines = completed()
        lines[2]["commands"][0]["output"] = "\n".join(f"linha {n}" for n in range(count))
        browse(
            tmp_path,
            report.page(journal(tmp_path / "runs" / str(count), lines)),
            "--print-to-pdf=page.pdf",
            "--no-pdf-header-footer",
        )
        pages.append(len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())))
    assert pages[0] < 12 and pages[1] > pages[0] + 30, pages
