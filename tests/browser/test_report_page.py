"""The report in a real browser. With MDPSEG_SHOW=RUN (a pretraining on embedded worlds) its picture goes to docs/."""

import os
from pathlib import Path

import pytest

import mdpseg
from mdpseg.report.build import build_report
from tests import tiny

pytestmark = pytest.mark.slow

SHOW = os.environ.get("MDPSEG_SHOW")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def report(request, browser, tmp_path_factory):
    """The page of two runs; asks for the browser first, so that nothing is trained where there is none."""
    folder = tmp_path_factory.mktemp("report")
    if SHOW:
        weights = Path(SHOW) / "weights.safetensors"
        runs = [_finetuned(folder / "scratch", "scratch"), _finetuned(folder / "from-mdp", str(weights))]
    else:
        runs = [request.getfixturevalue("finetuned"), request.getfixturevalue("pretrained")]
    return build_report(runs, images=20 if SHOW else 2, out=folder / "report.html")


def _finetuned(out, init):
    """A fine-tuning of the demo's length and data."""
    data = {"train": tiny.toy("things", size=96, count=24), "val": tiny.toy("things", split="val", size=96, count=50)}
    short = {"init": init, "iterations": 100, "batch_size": 8, "network": None, "log_every": 5}
    return mdpseg.finetune(tiny.finetuning(out, **data, **short, augment={"crop": 96, "scale": [0.7, 1.4]})).out


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")])
def test_it_loads_and_fits_the_width(width, scheme, report, open_page, barriers, tmp_path):
    page = open_page(report, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg.chart").count() >= 2
    assert page.locator(".triple img").count() >= 3
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    in_docs = SHOW and (width, scheme) == (1280, "light")
    page.screenshot(path=DOCS / "report-1280-light.png" if in_docs else tmp_path / "page.png", full_page=not in_docs)
    assert barriers(page) == []
