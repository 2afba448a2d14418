"""JupyterLab as somebody uses it who has no mouse: keys are pressed, and the screen is read."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.conftest import PATIENCE

from .looks import keep

SECONDS = 120 * PATIENCE
READY = "[data-status=idle]"
SETTLED = 500  # milliseconds: what was opened takes the keys once more
EXECUTED = re.compile(r"\[\d+\]")
MOVED = """place => document.querySelector(
  ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active").dataset.windowedListIndex != place"""


class Desk:
    """A window with JupyterLab."""

    def __init__(self, page: Page) -> None:
        self.page, self.keys = page, page.keyboard
        page.set_default_timeout(SECONDS * 500)

    # --- what is on the screen ------------------------------------------------------------------

    @property
    def notebook(self) -> Locator:
        """The one in front."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    @property
    def cell(self) -> Locator:
        """Where the reader is."""
        return self.notebook.locator(".jp-Cell.jp-mod-active")

    def wait_for_notebook(self, title: str) -> None:
        """Until it is shown, with a kernel that listens."""
        expect(self.notebook.locator("h1").first).to_contain_text(title, timeout=SECONDS * 1000)
        self.notebook.locator(f".jp-Notebook-ExecutionIndicator{READY}").wait_for()
        self.page.wait_for_function("document.activeElement.closest('.jp-Notebook')")
        self.page.wait_for_timeout(SETTLED)

    def shown(self, cell: Locator) -> str:
        """What a cell shows once it has been executed."""
        prompt = cell.locator(".jp-InputPrompt").first
        expect(prompt).to_have_text(EXECUTED, timeout=SECONDS * 1000)
        return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts())

    def keep(self, name: str) -> None:
        keep(self.page, name)

    # --- what is typed --------------------------------------------------------------------------

    def press(self, *names: str) -> None:
        for name in names:
            self.keys.press(name)

    def command(self, words: str) -> None:
        """By the palette of all commands, by a part of its name."""
        self.press("Control+Shift+C")
        field = self.page.locator(".lm-CommandPalette-input:focus")
        field.wait_for()
        self.keys.type(words, delay=20)
        items = self.page.locator(".lm-CommandPalette-item", has_text=words)
        items.first.wait_for()
        while not items.and_(self.page.locator(".lm-mod-active")).count():
            self.press("ArrowDown")
        self.press("Enter")
        field.wait_for(state="detached")

    def follow(self, words: str) -> None:
        """The first link with these words, from the top of the notebook."""
        self.top()
        while not self.page.locator("a:focus", has_text=words).count():
            self.press("Tab")
        self.press("Enter")

    def write(self, *keys: str, text: str) -> None:
        """Into the cell where the reader is, from its beginning on, after these keys."""
        self.press("Enter", "Control+Home", *keys)
        self.keys.type(text)
        self.press("Escape")

    def restart(self) -> None:
        """The kernel, which then knows nothing any more."""
        self.command("Reiniciar o kernel…")
        self.page.locator(".jp-Dialog button.jp-mod-warn:focus").wait_for()
        self.press("Enter")
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.notebook.locator(f".jp-Notebook-ExecutionIndicator{READY}").wait_for()

    def terminal(self, *lines: str) -> None:
        """Type into a new terminal."""
        self.command("Novo terminal")
        self.page.locator(".jp-Terminal textarea:focus").wait_for()
        for line in lines:
            self.keys.type(line)
            self.press("Enter")

    def open(self, path: str) -> None:
        """A file, by its path; one that is open comes to the front."""
        self.command("Abrir do Caminho")
        self.page.locator(".jp-Dialog input:focus").wait_for()
        self.keys.type(path)
        self.press("Enter")
        self.page.locator(".jp-Dialog").wait_for(state="detached")

    def go_to(self, words: str) -> Locator:
        """The first cell with these words in it, from the top down."""
        self.top()
        return self.down_to(words)

    def top(self) -> None:
        """To the first cell, in command mode."""
        self.press("Escape")
        while self._place() != "0":
            self._step("ArrowUp")

    def down_to(self, words: str) -> Locator:
        while words not in self.cell.inner_text():
            self._step("ArrowDown")
        return self._here()

    def _step(self, key: str) -> None:
        """To another cell."""
        place = self._place()
        self.press(key)
        self.page.wait_for_function(MOVED, arg=place)

    def execute(self) -> str:
        """The cell where the reader is; what it shows."""
        here = self._here()
        self.press("Shift+Enter")
        return self.shown(here)

    def execute_to(self, words: str) -> None:
        """This cell and those after it, up to the one with these words, which is left."""
        while words not in self.cell.inner_text():
            here = self._here()
            self._step("Shift+Enter")
            if "jp-CodeCell" in str(here.get_attribute("class")):
                self.shown(here)

    def _place(self) -> str:
        return str(self.cell.get_attribute("data-windowed-list-index"))

    def _here(self) -> Locator:
        """The cell where the reader is, also when he has gone on."""
        return self.notebook.locator(f'.jp-Cell[data-windowed-list-index="{self._place()}"]')
