"""The report and the leader's page: nothing that axe-core calls serious, nothing cut off on a phone, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pgrepl_lib.classroom import looking
from pgrepl_lib.evidence import report
from pgrepl_lib.exercises.chapters.all import ALL
from pgrepl_lib.journal.audit import Journal
from pgrepl_lib.leading import pages, progress
from pgrepl_lib.words import language

from ..journals import check, completed, journal, step
from .looks import DESK, PHONE, SCHEMES, findings, keep, sticking_out

NAMES = list(ALL)
LATER = datetime.now(UTC) + timedelta(minutes=20)  # by then who tries is stuck


def of_report(folder: Path) -> str:
    """Of a run with all that can be in one: steps that failed, checks that did, a long error."""
    lines = completed()
    lines[3:3] = [
        step(1, "00-preparacao", "Copiar", "failed", error="x" * 200, exit_code=1),
        check(1.5, "00-preparacao", "As réplicas seguem", False),
    ]
    return report.page(journal(folder / "run", lines))


def of_leader(folder: Path) -> str:
    """Of a room in which there is every state."""
    room = {
        "ana": ("started", "right"),
        "bia": ("started", "hint", "hint"),
        "caio": ("started", "solved"),
    }
    for name, events in room.items():
        made = Journal.of_project(folder / name)
        for event in events:
            said = {"right": "checked"}.get(event, event)
            facts = {"cluster": "c", "passed": event == "right"}
            made.record("exercise", name=NAMES[0], event=said, **facts)
    long = "Copiar /home/bia/.local/share/pgrepl/bia/primary/postgresql.conf " * 3
    Journal.of_project(folder / "bia").record("step", title=long, outcome="failed", commands=[])
    folders = {name: folder / name for name in (*room, "maria-das-dores-2")}
    return pages.page("Turma oficina", progress.look(folders, stuck=15, now=LATER))


def of_cards(folder: Path) -> str:
    """Of a class whose logins are as long as they get."""
    person = {"name": "maria-das-dores", "login": "oficina-maria-das-dores", "password": "w" * 24}
    seen = {
        "class": "oficina",
        "address": "https://um-servidor.exemplo.org:8000",
        "people": [person],
    }
    file = folder / "cards.html"
    looking.write_cards(file, {**seen, "fingerprint": "f" * 64, "own_certificate": True})
    return file.read_text("utf-8")


MADE: dict[str, Callable[[Path], str]] = {
    "report": of_report,
    "leader": of_leader,
    "cards": of_cards,
}


@pytest.fixture(scope="module", params=MADE)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page's address."""
    folder = tmp_path_factory.mktemp(request.param)
    file = folder / f"{request.param}.html"
    with language.speaking(language.PORTUGUESE):
        file.write_text(MADE[request.param](folder), "utf-8")
    return file.as_uri()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with chromium.new_context() as context:
        yield context.new_page()


def test_everybody_can_read_it_on_every_device(shown: str, page: Page) -> None:
    name = Path(shown).stem
    page.goto(shown)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        for width in (PHONE, DESK):
            page.set_viewport_size({"width": width, "height": 844})
            assert not sticking_out(page), (scheme, width)
            assert not findings(page), (scheme, width)
            keep(page, f"{name}-{scheme}-{width}")


def test_a_page_that_is_written_again_is_shown_anew_unless_that_is_paused(
    page: Page, tmp_path: Path
) -> None:
    """What its reader has opened stays open."""

    def write(*people: str) -> None:
        folders = {name: tmp_path / name for name in people}
        pages.write(file, "Turma", progress.look(folders, stuck=15), again=1)

    file = tmp_path / "room.html"
    write("ana")
    page.goto(file.as_uri())
    assert not findings(page)
    page.locator("summary").press("Enter")
    write("ana", "bia")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert page.locator("details[open]").count() == 1
    expect(page.locator("summary:focus")).to_have_text("ana")
    page.locator("#again").press("Space")
    write("ana")
    page.wait_for_timeout(2500)
    assert page.locator("tbody tr").count() == 2
