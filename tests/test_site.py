"""The documents as a site: builds strictly, loads nothing from the net."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGES = {path.name for path in (ROOT / "docs").glob("*.md")}


def test_every_page_is_there(site):
    assert {path.with_suffix(".md").name for path in site.glob("*.html")} - {"404.md"} == PAGES


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    missing = {page for page in PAGES if not re.search(rf"^ *- .*\b{re.escape(page)}$", text, flags=re.MULTILINE)}
    assert not missing, "name it under `nav` of mkdocs.yml; a line may be there as a comment"


def test_nothing_is_loaded_from_the_net(site):
    loaded = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(https?:)?//([^\"> ]+)")
    found = {(page.name, link[2]) for page in site.rglob("*.html") for link in loaded.finditer(page.read_text())}
    assert not found
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.search(r"url\(\"?(https?:)?//|@import", styles)


def test_links_out_of_the_documents_lead_to_copies(site):
    page = (site / "settings.html").read_text()
    assert 'href="repository/src/mdpseg/config/__init__.py.txt"' in page
    copy = site / "repository/src/mdpseg/config/__init__.py.txt"
    assert copy.read_text() == (ROOT / "src/mdpseg/config/__init__.py").read_text()


def test_the_pages_text_is_in_the_search(site):
    index = (site / "search" / "search_index.json").read_text()
    assert "faq.html" in index
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text())["theme"]["font"] is False
