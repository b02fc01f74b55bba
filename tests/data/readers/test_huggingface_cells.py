import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from mdpseg.data.readers.huggingface_cells import decode_cell_ids
from mdpseg.errors import BadFileError


@pytest.mark.parametrize("told", [False, True])  # another library of the process told Pillow to take half images
def test_half_a_tiff_is_refused(told, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", told)
    ids = np.random.default_rng(0).integers(0, 200, (90, 70)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "TIFF")
    content = buffer.getvalue()
    np.testing.assert_array_equal(decode_cell_ids(content, Path("cell"), "d").numpy(), ids)
    with pytest.raises(BadFileError, match="truncated or damaged"):
        decode_cell_ids(content[: len(content) // 2], Path("cell"), "d")
