import pytest

from mdpseg.report.build import build_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def report(browser, finetuned, pretrained, tmp_path_factory):
    return build_report([finetuned, pretrained], images=2, out=tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (400, "dark")])
def test_it_loads_and_fits_the_width(width, scheme, report, open_page, tmp_path):
    page = open_page(report, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg.chart").count() >= 2
    assert page.locator(".triple img").count() >= 3
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
