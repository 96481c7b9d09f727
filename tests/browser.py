"""A page in a headless Chromium, and what its console and its network saw."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]


class Opened(NamedTuple):
    page: Page
    messages: list[str]
    """Of the console, errors that nobody caught among them."""
    requests: list[str]
    """The addresses asked for, that of the page first."""


@contextlib.contextmanager
def open_page(path: pathlib.Path, width: int = 1280, height: int = 900) -> Iterator[Opened]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            opened = Opened(browser.new_page(viewport={"width": width, "height": height}), [], [])
            opened.page.on("console", lambda message: opened.messages.append(f"{message.type}: {message.text}"))
            opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
            opened.page.on("request", lambda request: opened.requests.append(request.url))
            opened.page.goto(path.as_uri())
            yield opened
        finally:
            browser.close()
