"""A participant of a class from the sign-in to a solved exercise, without a mouse; the leader sees it on a phone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pgrepl_lib.doors.wait import wait_until
from tests.conftest import PATIENCE

from ..func.room import Room, class_of
from .desk import SECONDS, Desk
from .looks import PHONE, SCHEMES, findings, keep, sticking_out

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a class has system users: only root"),
]
EXERCISE, FOLDER = "right-lost", "exercicios/01-instancia-primaria"
SEEN_WITHIN = 5 * PATIENCE  # seconds, from a right check to the leader's page


@pytest.fixture(scope="module")
def room(free_port: Callable[[], int]) -> Iterator[Room]:
    with class_of("ana", free_port()) as made:
        yield made


@pytest.fixture
def desk(chromium: Browser, room: Room) -> Iterator[Desk]:
    """At the Hub's door; nobody has signed its certificate."""
    size = {"width": 1280, "height": 900}
    with chromium.new_context(viewport=size, ignore_https_errors=True) as context:
        found = Desk(context.new_page())
        found.page.goto(f"https://127.0.0.1:{room.port}/")
        yield found
        found.keep("class-end")


@pytest.fixture
def leader(chromium: Browser, room: Room) -> Iterator[Page]:
    """The leader's page of the Hub, on a phone."""
    size = {"width": PHONE, "height": 844}
    with chromium.new_context(viewport=size, ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(f"https://127.0.0.1:{room.port}/")
        seen = room.does("list")["leader"]
        sign_in(page, seen["login"], seen["password"])
        page.locator("tbody tr").wait_for()
        yield page


def sign_in(page: Page, login: str, password: str) -> None:
    page.locator("#username_input:focus").wait_for()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert not sticking_out(page) and not findings(page)
        keep(page, f"class-door-{scheme}")
    page.emulate_media(color_scheme="light")
    page.keyboard.type(login)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def typed(desk: Desk, folder: Path, *lines: str) -> None:
    """In a terminal; until all of it has ended."""
    ended = folder / f"ended-{time.monotonic_ns()}"
    desk.terminal(*lines, f"touch {ended}")
    wait_until("the terminal", lambda: (ended.exists(), "at work"), seconds=SECONDS)
    desk.keep("class-terminal")


def test_a_participant_solves_an_exercise_and_the_leader_sees_it(
    desk: Desk, leader: Page, room: Room
) -> None:
    person, home = room.people()["ana"], room.folder / "people/ana"
    sign_in(desk.page, person["login"], person["password"])
    desk.wait_for_notebook("Stream Replication")
    desk.follow("01 · Instância primária")
    desk.wait_for_notebook("instância primária")
    desk.execute_to("Como desfazer")
    desk.keep("class-chapter")
    typed(desk, home, "pgrepl run")

    desk.open(f"chapters/{FOLDER}.ipynb")
    desk.wait_for_notebook("Exercícios do capítulo 01")
    desk.go_to("project =")
    desk.execute_to("A regra que falta")
    desk.go_to(f'workshop.start(cluster, "{EXERCISE}")')
    desk.execute()
    desk.go_to(f'workshop.check(cluster, "{EXERCISE}")')
    assert desk.execute().startswith("Ainda não") and "Dica 1" in desk.execute()
    desk.keep("class-exercise-wrong")
    cell = leader.locator("tbody tr", has_text="ana").locator("td").nth(2)
    expect(cell).to_contain_text("…", timeout=SEEN_WITHIN * 1000)
    expect(cell).to_contain_text("?", timeout=SEEN_WITHIN * 1000)
    typed(desk, home, "pgrepl psql primary", "alter role repl replication;", r"\q")
    desk.open(f"chapters/{FOLDER}.ipynb")
    desk.wait_for_notebook("Exercícios do capítulo 01")
    desk.go_to(f'workshop.check(cluster, "{EXERCISE}")')
    assert desk.execute().startswith("Certo!")
    desk.keep("class-exercise-right")
    expect(cell).to_contain_text("✔", timeout=SEEN_WITHIN * 1000)
    for scheme in SCHEMES:
        leader.emulate_media(color_scheme=scheme)
        assert not sticking_out(leader) and not findings(leader)
        keep(leader, f"class-leader-{scheme}")
        desk.page.emulate_media(color_scheme=scheme)  # JupyterLab goes with the system, too
        desk.page.locator(f"body[data-jp-theme-light={str(scheme == 'light').lower()}]").wait_for(
            state="attached"
        )
        desk.keep(f"class-desk-{scheme}")
