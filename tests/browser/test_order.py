"""What a participant does to a chapter in JupyterLab: in any order, twice, after a restart, in two tabs, with another project.

Each ends in a few words of Portuguese that say what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser

from pgrepl_lib import open_cluster
from pgrepl_lib.doors.resources import COPIES
from pgrepl_lib.doors.wait import wait_until

from ..func.lab import PROJECT, TOKEN, Lab, begun
from .desk import SECONDS, Desk

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
FIRST = "execute antes a célula"


@pytest.fixture(scope="module")
def lab(workdir: Path) -> Iterator[Lab]:
    with begun(workdir) as found:
        yield found
    for project in (PROJECT, f"outro-{PROJECT}"):
        open_cluster("", project=project, workdir=workdir).remove(confirm=True)


@pytest.fixture
def desk(chromium: Browser, lab: Lab) -> Iterator[Desk]:
    with chromium.new_context(viewport={"width": 1280, "height": 900}) as context:
        found = Desk(context.new_page())
        yield found
        for number, page in enumerate(context.pages):
            Desk(page).keep(f"lab-end-{number}")


def at(desk: Desk, lab: Lab, chapter: str, title: str) -> Desk:
    own = f"workspaces/{uuid4().hex}"  # nothing of what other tests have open
    desk.page.goto(f"{lab.url}/lab/{own}/tree/{COPIES}/{chapter}.ipynb?token={TOKEN}")
    desk.wait_for_notebook(title)
    return desk


def told(shown: str, *words: str) -> None:
    """All of this, in a few lines."""
    assert all(word in shown for word in words), shown
    assert "Traceback" not in shown and "----" not in shown and len(shown.splitlines()) <= 4, shown


def test_in_any_order_twice_and_after_a_restart(desk: Desk, lab: Lab) -> None:
    at(desk, lab, "01-instancia-primaria", "primária")
    desk.go_to("cluster = open_cluster")
    told(desk.execute(), "nada foi aberto", f"{FIRST} dos parâmetros")
    desk.go_to("primary.start()")
    told(desk.execute(), FIRST, "`primary = cluster.primary`")
    desk.go_to("project =")
    desk.execute_to("Senhas que ninguém digita")
    desk.go_to("primary = cluster.primary")
    told(desk.execute(), "nada foi alterado", f"{FIRST} com `cluster.start_temporary()`")
    desk.keep("lab-early")
    desk.go_to("cluster.make_secrets()")
    assert desk.execute().startswith("alterado")
    desk.go_to("cluster.make_secrets()")
    assert desk.execute().startswith("inalterado")
    desk.restart()
    desk.go_to("cluster.make_secrets()")
    told(desk.execute(), "`cluster` ainda não existe", f"{FIRST} com `cluster = open_cluster")
    desk.keep("lab-restarted")


def test_another_project_in_one_chapter_only(desk: Desk, lab: Lab) -> None:
    at(desk, lab, "02-instancia-replica", "réplica")
    desk.go_to("project =")
    desk.write(*["ArrowRight"] * len('project = "'), text="outro-")
    desk.execute()
    shown = desk.execute()
    told(shown, f"projeto outro-{PROJECT}", f'escreva project = "{PROJECT}" na célula')
    assert not (lab.folder.parent / f"outro-{PROJECT}/cluster.json").exists()
    desk.down_to("replica.start_temporary()")
    told(desk.execute(), "nada foi alterado", f"pgrepl run --project outro-{PROJECT}")
    desk.keep("lab-other-project")


def test_two_tabs_at_once(desk: Desk, lab: Lab) -> None:
    """A terminal is at work on the project; meanwhile a chapter in another tab waits for nobody."""
    at(desk, lab, "03-verificacao", "ção")
    desk.go_to("project =")
    desk.execute_to("cluster.check")
    other = Desk(desk.page.context.new_page())
    at(other, lab, "01-instancia-primaria", "primária")
    held, ended = lab.folder / ".run.holder.json", lab.folder / "goto-ended"
    other.terminal(f"pgrepl goto 03; touch '{ended}'")
    wait_until("the other's beginning", lambda: (held.exists(), "not yet"), seconds=SECONDS)
    desk.page.bring_to_front()
    told(desk.execute(), "está em uso", "espere")
    desk.keep("lab-busy")
    wait_until("the other's end", lambda: (ended.exists(), "it works"), seconds=SECONDS)
    assert desk.go_to("cluster.check") and "✔" in desk.execute()


def test_a_chapter_goes_to_its_own_beginning(desk: Desk, lab: Lab) -> None:
    at(desk, lab, "06-switchover", "Switchover")
    desk.go_to("project =")
    desk.execute()
    desk.write(*["ArrowDown"] * 3, "Delete", "Delete", text="")
    shown = desk.execute()
    assert "está no começo do capítulo 06" in shown and f"projeto {PROJECT}" in shown
    desk.keep("lab-goto")


def test_the_same_chapter_in_two_tabs(desk: Desk, lab: Lab) -> None:
    """They are one kernel; whoever saves later is asked, and nothing is overwritten in silence."""
    at(desk, lab, "04-monitoramento", "onitor")
    other = Desk(desk.page.context.new_page())
    at(other, lab, "04-monitoramento", "onitor")
    other.go_to("project =")
    other.write(text="# eu\n")
    other.press("Control+s")
    other.page.wait_for_timeout(1500)
    desk.page.bring_to_front()
    desk.go_to("project =")
    desk.write(text="# tu\n")
    desk.press("Control+s")
    desk.page.locator(".jp-Dialog", has_text="Arquivo modificado").wait_for()
    desk.keep("lab-two-tabs")
