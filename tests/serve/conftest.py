from collections.abc import Iterator
from pathlib import Path

import pytest

from mdpseg.model import SegmentationModel
from tests import serving


@pytest.fixture(scope="session")
def server(segmenting: Path, tmp_path_factory) -> Iterator[serving.Served]:
    with serving.served(segmenting, tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="session")
def model(segmenting: Path) -> SegmentationModel:
    return SegmentationModel.from_run(segmenting, "cpu")
