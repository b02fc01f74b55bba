import io

import pytest
from PIL import Image, ImageFile

from mdpseg.serve.images import RefusedError, open_image
from tests.serving import png, world_image


@pytest.mark.parametrize("told", [False, True])  # another library of the process told Pillow to take half images
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_half_an_image_is_refused(kind, told, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", told)
    content = png(world_image("fine"), kind)
    assert open_image(content).size == Image.open(io.BytesIO(content)).size
    with pytest.raises(RefusedError, match="truncated or damaged") as refused:
        open_image(content[: len(content) // 2])
    assert refused.value.status == 422
    assert told == ImageFile.LOAD_TRUNCATED_IMAGES
