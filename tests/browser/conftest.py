"""Debian's Chromium, or Chrome, as Playwright drives it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome") or ""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not PROGRAM:
        require = os.environ.get("PGREPL_REQUIRE_BROWSER") == "1"
        (pytest.fail if require else pytest.skip)("neither chromium nor google-chrome is installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()
