"""How a page looks to whoever reads it on a phone, in the dark, or by a screen reader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PHONE, DESK = 390, 1280  # pixels
HARD = ("serious", "critical")
# What sticks out to the right of the window, and is not inside something that scrolls by itself.
WIDE = """() => [...document.body.querySelectorAll("*")].filter(e => e.checkVisibility()
  && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
  && !e.parentElement.closest(".table")).map(e => e.outerHTML.slice(0, 120))"""


def findings(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds that keeps somebody from reading: its rule, and where."""
    found = Axe().run(page).response["violations"]
    return [
        {"rule": each["id"], "where": [(n["target"], n["failureSummary"]) for n in each["nodes"]]}
        for each in found
        if each["impact"] in HARD
    ]


def sticking_out(page: Page) -> list[str]:
    """What a reader would have to scroll the page sideways for."""
    scrolls = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [*page.evaluate(WIDE), *([f"{scrolls} pixels"] if scrolls > 0 else [])]


def keep(page: Page, name: str) -> None:
    """A picture to look at, where somebody asks for them (`PGREPL_SHOTS=folder`)."""
    if folder := os.environ.get("PGREPL_SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
