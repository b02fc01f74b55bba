"""A real browser, headless: Debian's Chromium (or the one CHROMIUM names) through Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine; install Debian's package chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """Opens a file or an address -> the page.

    Any complaint in its console, missing file, or request beyond the file or server fails the test at its end.
    """
    contexts, complaints = [], []

    def opened(place: Path | str, width: int = 1280, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        address = place.resolve().as_uri() if isinstance(place, Path) else place
        own = ("file:", "data:") if isinstance(place, Path) else (place, f"blob:{place}", "data:")
        page = context.new_page()
        page.set_default_timeout(120_000)  # the machine may be busy with other work
        page.on("console", lambda message: complaints.append(message.text) if _is_fault(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(own) else None)
        page.on("response", lambda r: complaints.append(f"{r.status} {r.url}") if r.status in (404, 500) else None)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


def _is_fault(message) -> bool:
    """A refused upload is no fault, though the browser notes its status."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


@pytest.fixture
def barriers() -> Callable:
    """A page -> what axe-core finds in it that bars people from using it, seriously or wholly."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

    def found(page) -> list[str]:
        violations = axe.Axe().run(page).response["violations"]
        return [
            f"{v['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
            for v in violations
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"]
        ]

    return found
