import pytest

pytestmark = pytest.mark.slow


def test_search_works_where_the_site_is_opened_as_files(site, open_page):
    page = open_page(site / "index.html")
    field = page.locator("input[name=query]")
    field.wait_for()
    first = page.locator(".md-search-result__item a").first
    for _ in range(20):  # what is typed before the index is there counts for nothing
        field.fill("")
        field.press_sequentially("catch-all")
        page.wait_for_timeout(1000)
        if first.is_visible():
            break
    first.wait_for(timeout=1000)
    assert page.locator(".md-search-result__item").count() >= 3
    first.click()
    page.wait_for_url("**/*.html?h=*")
    assert "catch" in page.locator("article").inner_text().lower()


@pytest.mark.parametrize("name", ["index", "method", "settings", "faq"])
@pytest.mark.parametrize("width, scheme", [(1280, "light"), (400, "dark")])
def test_pages_fit_the_width_and_show_their_pictures(name, width, scheme, site, open_page):
    page = open_page(site / f"{name}.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
