"""A page in a headless Chromium, and what its console and its network saw."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=f"no browser on PATH: {', '.join(NAMES)}")
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
def chromium() -> Iterator[Browser]:
    """A browser, for several pages one after the other."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: Browser, path: pathlib.Path, width: int = 1280, height: int = 900, **options: Any
) -> Opened:
    """The page in a tab of its own, with all its charts drawn."""
    opened = Opened(browser.new_page(viewport={"width": width, "height": height}, **options), [], [])
    opened.page.on("console", lambda message: opened.messages.append(f"{message.type}: {message.text}"))
    opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.goto(path.as_uri())
    opened.page.evaluate("Promise.all(Object.values(window.charts)).then(() => 0)")
    return opened
