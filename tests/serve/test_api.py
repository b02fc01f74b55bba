"""The HTTP interface of a real server, judged by what the model itself says."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from mdpseg.model import SegmentationModel
from tests.serving import ids_in, ids_of, png, world_image

pytestmark = pytest.mark.slow

IMAGE = world_image("fine")


def region(top: int, bottom: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    marked = np.zeros((size[1], size[0]), dtype=np.uint8)
    marked[top:bottom] = 255
    return Image.fromarray(marked)


def add(server, name, images, regions, session=None, taxonomy=""):
    files = [("images", ("a.png", png(i))) for i in images] + [("regions", ("b.png", png(r))) for r in regions]
    headers = {"X-Mdpseg-Session": session} if session else {}
    return server.http.post("/api/classes", files=files, data={"name": name, "taxonomy": taxonomy}, headers=headers)


@pytest.mark.parametrize("taxonomy", ["coarse", "fine", "coarse+fine", ""])
def test_the_mask_is_the_models(taxonomy, server, segmenting_model):
    expected = segmenting_model.with_taxonomy(taxonomy or None).predict(IMAGE)
    assert len(np.unique(expected.mask)) > 2
    np.testing.assert_array_equal(ids_of(server.segment(IMAGE, taxonomy=taxonomy)), expected.mask)
    found = server.segment(IMAGE, taxonomy=taxonomy, format="json").json()
    np.testing.assert_array_equal(ids_in(found), expected.mask)
    assert [c["name"] for c in found["classes"]] == expected.classes
    shares = [float((expected.mask == k).mean()) for k in range(len(expected.classes))]
    assert [c["share"] for c in found["classes"]] == pytest.approx(shares, abs=1e-6)


def test_the_palette_and_the_overlay_have_the_legends_colours(server):
    found = server.segment(IMAGE, taxonomy="coarse", format="json").json()
    colours = np.array([list(bytes.fromhex(c["colour"][1:])) for c in found["classes"]], dtype=np.uint8)
    assert len(np.unique(colours, axis=0)) == len(colours)
    painted = Image.open(io.BytesIO(server.segment(IMAGE, taxonomy="coarse").content)).convert("RGB")
    np.testing.assert_array_equal(np.asarray(painted), colours[ids_in(found)])
    full = server.segment(IMAGE, taxonomy="coarse", format="overlay", opacity=1)
    np.testing.assert_array_equal(ids_of(full), colours[ids_in(found)])
    bare = server.segment(IMAGE, taxonomy="coarse", format="overlay", opacity=0)
    np.testing.assert_array_equal(ids_of(bare), np.asarray(IMAGE))


def test_a_name_has_one_colour_in_all_taxonomies(server):
    classes = [c for t in server.http.get("/api/classes").json()["taxonomies"] for c in t["classes"]]
    assert len({c["colour"] for c in classes if c["name"] == "person"}) == 1
    assert len({c["colour"] for c in classes}) == len({c["name"] for c in classes})


def test_the_nearest_prototypes_are_the_models(server, segmenting_model):
    found = server.post("nearest", IMAGE, row=40, column=90).json()
    expected = segmenting_model.nearest(IMAGE, 40, 90)
    assert [entry["dataset"] for entry in found] == list(expected)
    for entry in found:
        similar = expected[entry["dataset"]]
        assert [c["name"] for c in entry["classes"]] == [one.name for one in similar]
        assert [c["similarity"] for c in entry["classes"]] == pytest.approx([one.cosine for one in similar], abs=1e-3)
    assert server.post("nearest", IMAGE, row=64, column=0).status_code == 422


def test_a_class_of_ones_own(server, segmenting_model, tmp_path):
    answer = add(server, "top", [IMAGE, world_image("fine", 1)], [region(0, 9), region(0, 12)], None, "fine")
    session = answer.json()["session"]
    assert answer.json()["limits"] == server.http.get("/api/classes").json()["limits"]
    assert [t["name"] for t in answer.json()["taxonomies"]][-1] == "mine"
    marked = [(i, np.asarray(r) > 0) for i, r in ((IMAGE, region(0, 9)), (world_image("fine", 1), region(0, 12)))]
    expected = segmenting_model.with_taxonomy("fine").add_class("top", marked).predict(world_image("fine", 2))
    assert 0 < (expected.mask == expected.classes.index("mine/top")).mean() < 1
    seen = server.segment(world_image("fine", 2), session, taxonomy="fine+mine")
    np.testing.assert_array_equal(ids_of(seen), expected.mask)
    assert server.segment(IMAGE, taxonomy="fine+mine").status_code == 422  # another visitor's

    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(server.http.get("/api/weights", headers={"X-Mdpseg-Session": session}).content)
    assert SegmentationModel.from_run(weights, "cpu", "mine").classes == ["top"]
    assert not any(server.temporary.iterdir())

    second = add(server, "bottom", [IMAGE], [region(50, 64)], session).json()
    assert second["session"] == session
    assert [c["name"] for c in second["taxonomies"][-1]["classes"]] == ["top", "bottom"]
    assert server.http.delete("/api/classes", headers={"X-Mdpseg-Session": session}).status_code == 204
    gone = server.segment(IMAGE, session)
    assert gone.status_code == 410
    assert "gone" in gone.json()["detail"]


@pytest.mark.parametrize(
    "name, images, regions, status, message",
    [
        ("", [IMAGE], [region(0, 5)], 422, "name"),
        ("a/b", [IMAGE], [region(0, 5)], 422, "slash"),
        ("x" * 61, [IMAGE], [region(0, 5)], 422, "60"),
        ("a\x1b[2J", [IMAGE], [region(0, 5)], 422, "name"),
        ("a", [IMAGE], [region(0, 0)], 422, "empty"),
        ("a", [IMAGE], [region(0, 5, (95, 64))], 422, "95x64"),
        ("a", [IMAGE, IMAGE], [region(0, 5)], 422, "2 images and 1 regions"),
        ("a", [IMAGE] * 17, [region(0, 5)] * 17, 422, "at most 16"),
    ],
)
def test_a_class_that_cannot_be_added(name, images, regions, status, message, server):
    answer = add(server, name, images, regions)
    assert answer.status_code == status
    assert message in answer.json()["detail"]


def test_a_photograph_is_turned_upright(server, segmenting_model):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    content = png(IMAGE, "JPEG", exif=exif)
    found = ids_of(server.segment(content, taxonomy="coarse"))
    assert found.shape == (96, 64)
    upright = Image.open(io.BytesIO(png(IMAGE, "JPEG"))).transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(found, segmenting_model.with_taxonomy("coarse").predict(upright).mask)


def test_a_large_image_is_shrunk_for_the_network_and_its_mask_enlarged(server, segmenting_model):
    large = IMAGE.resize((2400, 1600))
    found = server.segment(png(large, "JPEG"), taxonomy="coarse", format="json").json()
    assert (found["width"], found["height"]) == (2400, 1600)
    assert 2**20 < found["ids"]["width"] * found["ids"]["height"] <= 2**21
    mask = ids_of(server.segment(png(large, "JPEG"), taxonomy="coarse"))
    assert mask.shape == (1600, 2400)
    seen = ids_in(found)
    np.testing.assert_array_equal(mask[[0, -1]][:, [0, -1]], seen[[0, -1]][:, [0, -1]])
    answer = server.post("nearest", png(large, "JPEG"), row=1599, column=2399).json()
    names = {entry["dataset"]: entry["classes"][0]["name"] for entry in answer}
    assert names["coarse"] in [c["name"] for c in found["classes"]]


def test_grey_palette_and_transparent_images_are_read(server):
    for mode in ("L", "P", "RGBA"):
        assert ids_of(server.segment(IMAGE.convert(mode), taxonomy="coarse")).shape == (64, 96)
    webp = ids_of(server.segment(png(IMAGE, "WEBP"), taxonomy="coarse"))
    assert webp.shape == (64, 96)


def test_the_openapi_document_describes_the_interface(server):
    document = server.http.get("/openapi.json").json()
    assert set(document["paths"]) == {"/api/health", "/api/classes", "/api/segment", "/api/nearest", "/api/weights"}
    form = document["components"]["schemas"]["Body_segment_api_segment_post"]["properties"]
    assert set(form) == {"image", "taxonomy", "format", "opacity"}
    assert "http" not in json.dumps(document).replace("HTTPValidationError", "")


def test_the_page_loads_nothing_from_elsewhere(server):
    page = server.http.get("/").text
    files = ["/", "/docs", *re.findall(r'(?:src|href)="(/page/[^"]+)"', page)]
    for file in files:
        answer = server.http.get(file)
        assert answer.status_code == 200
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", answer.text) == []
        assert re.findall(r"//[a-z]+\.[a-z]", answer.text.replace("//www.w3.org/2000/svg", "")) == []


def test_a_fine_tuned_network_has_its_classes_and_no_prototypes(finetuned, tmp_path):
    from tests.serving import served

    with served(finetuned, tmp_path) as server:
        about = server.http.get("/api/classes").json()
        model = SegmentationModel.from_run(finetuned, "cpu")
        assert [c["name"] for c in about["taxonomies"][0]["classes"]] == model.classes
        assert not about["can_add"]
        np.testing.assert_array_equal(ids_of(server.segment(IMAGE)), model.predict(IMAGE).mask)
        for answer in (server.post("nearest", IMAGE, row=0, column=0), add(server, "a", [IMAGE], [region(0, 9)])):
            assert answer.status_code == 409
            assert "fine-tuned" in answer.json()["detail"]
        assert server.segment(IMAGE, taxonomy="coarse").status_code == 422
