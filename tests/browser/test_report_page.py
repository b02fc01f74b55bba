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
    runs = _shown(folder) if SHOW else [request.getfixturevalue("finetuned"), request.getfixturevalue("pretrained")]
    return build_report(runs, images=20 if SHOW else 2, out=folder / "report.html")


def _shown(folder):
    """Two fine-tunings of the demo's data, from scratch and from the pretraining; the page names paths from here."""
    (folder / "runs").mkdir()
    (folder / "runs" / "three-worlds").symlink_to(Path(SHOW).resolve())
    data = {"train": tiny.toy("things", size=96, count=24), "val": tiny.toy("things", split="val", size=96, count=50)}
    data |= {"iterations": 100, "batch_size": 8, "network": None, "log_every": 5}
    data["augment"] = {"crop": 96, "scale": [0.7, 1.4]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, init in (("scratch", "scratch"), ("from-mdp", "runs/three-worlds/weights.safetensors")):
            mdpseg.finetune(tiny.finetuning(Path("runs") / name, init=init, **data))
    return [folder / "runs" / name for name in ("scratch", "from-mdp")]


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
