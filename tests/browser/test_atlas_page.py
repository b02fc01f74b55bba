"""The atlas in a real browser. With MDPSEG_SHOW=RUN (a pretraining on embedded worlds) its pictures go to docs/."""

import os
from pathlib import Path

import pytest

from mdpseg.atlas.build import build_atlas

pytestmark = pytest.mark.slow

SHOW = os.environ.get("MDPSEG_SHOW")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def atlas(request, browser, tmp_path_factory):
    """The page; asks for the browser first, so that nothing is trained where there is none."""
    run = Path(SHOW) if SHOW else request.getfixturevalue("pretrained")
    return build_atlas(run, images=40 if SHOW else 6, out=tmp_path_factory.mktemp("atlas")).page


def shown_classes(page):
    return page.locator("#all li").all_inner_texts()


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")])
def test_it_loads_and_fits_the_width(width, scheme, atlas, open_page, barriers, tmp_path):
    page = open_page(atlas, width, scheme)
    assert page.locator("#map g.class").count() > 10
    assert page.locator("#panel h2").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    in_docs = SHOW and (width, scheme) in ((1280, "light"), (400, "dark"))
    place = DOCS / f"atlas-{width}-{scheme}.png" if in_docs else tmp_path / "page.png"
    page.screenshot(path=place)
    assert place.stat().st_size > 5000
    assert barriers(page) == []


def test_search_finds_classes(atlas, open_page):
    page = open_page(atlas)
    everything = shown_classes(page)
    page.fill("#search", "PERSON")
    assert shown_classes(page) == [name for name in everything if "person" in name]
    nodes = page.locator("#map g.class")
    names = nodes.evaluate_all("all => all.map(node => node.dataset.class)")
    assert page.locator("#map g.faint").count() == sum("person" not in name for name in names)
    page.fill("#search", "no such class")
    assert shown_classes(page) == []
    assert page.locator("#found").inner_text().startswith("0 classes")


def test_filters(atlas, open_page):
    page = open_page(atlas)
    page.locator("#datasets label", has_text="coarse").click()
    assert {name.split("/")[0] for name in shown_classes(page)} >= {"fine"}
    assert not any(name.startswith("coarse/") for name in shown_classes(page))
    for kind in ("same as", "part of", "overlaps"):
        page.locator("#kinds label", has_text=kind).click()
    assert page.locator("#relations tr").count() == 0


def test_zoom_by_button_wheel_and_key(atlas, open_page):
    page = open_page(atlas)
    zoom = lambda: float(page.locator("#map").get_attribute("data-zoom"))  # noqa: E731
    assert zoom() == 1
    page.click("#zoom-in")
    assert zoom() == pytest.approx(1.4)
    page.click("#zoom-all")
    page.hover("#map")
    page.mouse.wheel(0, -200)
    page.wait_for_function("document.getElementById('map').dataset.zoom > 1")
    page.focus("#map")
    page.keyboard.press("0")
    assert zoom() == 1
    page.keyboard.press("+")
    assert zoom() == pytest.approx(1.4)
    where = page.locator("#map g.class").first.get_attribute("transform")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#map g.class").first.get_attribute("transform") != where


def test_a_class_is_chosen_by_keyboard_alone(atlas, open_page):
    page = open_page(atlas)
    node = page.locator("#map g.class").nth(3)
    name = node.get_attribute("data-class")
    node.focus()
    page.keyboard.press("Enter")
    assert page.locator("#panel h2").inner_text() == name
    assert page.evaluate("document.activeElement.dataset.class") == name
    assert page.locator("#panel .pair img").count() > 0
    page.focus("#cells")
    page.keyboard.press("ArrowRight")
    assert " and " in page.locator("#cell").inner_text()


def test_an_address_names_a_class(atlas, open_page):
    page = open_page(atlas)
    page.locator("#all button").last.click()
    name = page.locator("#panel h2").inner_text()
    page.reload()
    assert page.locator("#panel h2").inner_text() == name


def test_without_script_it_says_where_the_content_is(atlas, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(atlas.as_uri())
    assert "atlas.json" in page.inner_text("noscript")
    context.close()
