"""The server's page in a real browser, judged by what the model itself says.

With MDPSEG_SHOW=RUN (a pretraining on embedded worlds) its pictures go to docs/.
"""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdpseg.model import SegmentationModel
from tests.serving import png, served, world_image

pytestmark = pytest.mark.slow

SHOW = os.environ.get("MDPSEG_SHOW")
DOCS = Path(__file__).parents[2] / "docs"
SHOWN = (("fine", 1), ("coarse", 2), ("things", 3), ("fine", 4))
IMAGES = [world_image("fine", number) for number in range(3)]


@pytest.fixture(scope="session")
def shown(request, browser, tmp_path_factory):
    """The server whose page is photographed, and images for it."""
    if not SHOW:
        yield request.getfixturevalue("server"), files(*IMAGES[:2])
        return
    images = [world_image(world, number, (192, 288)) for world, number in SHOWN]
    with served(Path(SHOW), tmp_path_factory.mktemp("shown")) as running:
        yield running, files(*images)


@pytest.fixture
def open_served(browser, server, open_page):
    """Opens the page with these images -> the page, once all are segmented. Asks for the browser first."""

    def opened(*images: Image.Image, **more):
        page = open_page(f"{server.url}/", **more)
        put_in(page, files(*images))
        return page

    return opened


def files(*images):
    return [{"name": f"{n}.png", "mimeType": "image/png", "buffer": png(image)} for n, image in enumerate(images)]


def put_in(page, uploads):
    page.locator("#about:not(:empty)").wait_for()
    page.set_input_files("#files", uploads)
    wait_until_done(page, len(uploads))


def wait_until_done(page, count):
    page.locator(
        f'#images:not(:has(li:has-text("…"))):not(:has(li:has-text("waiting"))) li:nth-child({count})'
    ).wait_for()


def pixels(page, canvas):
    """Of a canvas, uint8 [H, W, 4]."""
    width, height, data = page.evaluate(
        """(id) => { const c = document.getElementById(id);
        return [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; }""",
        canvas,
    )
    return np.array(data, dtype=np.uint8).reshape(height, width, 4)


def expected_pixels(server, segmentation):
    """What the mask's canvas must hold, all classes shown."""
    colours = {
        c["name"]: c["colour"] for t in server.http.get("/api/classes").json()["taxonomies"] for c in t["classes"]
    }
    table = [[*bytes.fromhex(colours[name.rpartition("/")[2]][1:]), 255] for name in segmentation.classes]
    return np.array(table, dtype=np.uint8)[segmentation.mask]


def downloaded(page, button):
    with page.expect_download() as download:
        page.click(button)
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def at_pixel(page, image, row, column):
    """Where an image's pixel is shown, from the picture's corner."""
    box = page.locator("#picture").bounding_box()
    return {"x": (column + 0.5) / image.width * box["width"], "y": (row + 0.5) / image.height * box["height"]}


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")])
def test_it_loads_and_fits_the_width(width, scheme, shown, open_page, barriers, tmp_path):
    server, uploads = shown
    page = open_page(f"{server.url}/", width, scheme)
    page.locator("#intro .card").first.wait_for()
    assert barriers(page) == []
    put_in(page, uploads)
    page.select_option("#taxonomy", "fine")
    page.locator('#picture[data-taxonomy="fine"]').wait_for()
    wait_until_done(page, len(uploads))
    page.locator("#picture").click(position={"x": 150, "y": 150})
    page.locator("#nearest dd").first.wait_for()
    page.evaluate("document.getElementById('absent').open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    assert barriers(page) == []
    page.evaluate("document.getElementById('absent').open = false")
    in_docs = SHOW and (width, scheme) in ((1280, "light"), (400, "dark"))
    place = DOCS / f"serve-{width}-{scheme}.png" if in_docs else tmp_path / "page.png"
    page.screenshot(path=place, full_page=True)
    assert place.stat().st_size > 5000


def test_the_mask_is_the_models_in_each_taxonomy(open_served, server, segmenting_model):
    page = open_served(IMAGES[0])
    for taxonomy in ("coarse", "fine", "coarse+fine"):
        page.select_option("#taxonomy", taxonomy)
        page.locator(f'#picture[data-taxonomy="{taxonomy}"]').wait_for()
        found = segmenting_model.with_taxonomy(taxonomy).predict(IMAGES[0])
        np.testing.assert_array_equal(pixels(page, "mask"), expected_pixels(server, found))
        names = page.locator("#legend label").all_inner_texts()
        assert {name.strip() for name in names} == {found.classes[k] for k in np.unique(found.mask)}
    np.testing.assert_array_equal(pixels(page, "photo")[..., :3], np.asarray(IMAGES[0]))


def test_downloads(open_served, server, segmenting_model):
    page = open_served(*IMAGES)
    found = [segmenting_model.with_taxonomy("coarse").predict(image) for image in IMAGES]
    name, content = downloaded(page, "#save-mask")
    picture = Image.open(io.BytesIO(content))
    assert (name, picture.mode) == ("0_mask.png", "P")
    np.testing.assert_array_equal(np.asarray(picture), found[0].mask)
    colours = expected_pixels(server, found[0])
    np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), colours[..., :3])

    page.locator("#opacity").fill("0.25")
    name, content = downloaded(page, "#save-overlay")
    assert name == "0_overlay.png"
    blended = 0.75 * np.asarray(IMAGES[0], dtype=float) + 0.25 * colours[..., :3]
    assert np.abs(np.asarray(Image.open(io.BytesIO(content)))[..., :3] - blended).max() <= 2

    name, content = downloaded(page, "#save-all")
    assert name == "masks.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["0.png", "1.png", "2.png", "classes.txt"]
        assert archive.read("classes.txt").decode().split() == found[0].classes
        for number, one in enumerate(found):
            np.testing.assert_array_equal(np.asarray(Image.open(archive.open(f"{number}.png"))), one.mask)


def test_all_masks_are_of_the_chosen_classes(open_served, segmenting_model):
    page, asked = open_served(*IMAGES), []

    def answer(route):  # the second image fails, the third waits
        asked.append(route)
        if len(asked) == 1:
            route.continue_()
        if len(asked) == 2:
            route.fulfill(status=422, json={"detail": "no"})

    page.route("**/api/segment", answer)
    page.select_option("#taxonomy", "fine")
    page.locator("#images li:nth-child(2)", has_text="refused").wait_for()
    page.locator("#images li:nth-child(3)", has_text="running").wait_for()
    assert page.locator("#save-all").is_disabled()
    while len(asked) < 3:
        page.wait_for_timeout(20)
    asked[2].continue_()
    wait_until_done(page, 3)
    _, content = downloaded(page, "#save-all")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["0.png", "2.png", "classes.txt"]  # 1 still has the classes of coarse
        for number in (0, 2):
            found = segmenting_model.with_taxonomy("fine").predict(IMAGES[number])
            np.testing.assert_array_equal(np.asarray(Image.open(archive.open(f"{number}.png"))), found.mask)
        assert archive.read("classes.txt").decode().split() == found.classes


def test_a_click_draws_no_thumbnail_again(open_served):
    page = open_served(*IMAGES)
    thumbnails = "[...document.querySelectorAll('#images canvas')].map((c) => c.toDataURL())"
    before = page.evaluate(thumbnails)
    assert len(set(before)) == 3
    page.evaluate(
        """() => { const { prototype } = CanvasRenderingContext2D, put = prototype.putImageData;
        window.painted = 0;
        prototype.putImageData = function (...given) { window.painted += 1; return put.apply(this, given); }; }"""
    )
    page.locator("#images button").nth(1).click()
    page.locator("#title", has_text="1.png").wait_for()
    assert page.evaluate("window.painted") == 1  # the picture's mask
    assert page.evaluate(thumbnails) == before
    page.select_option("#taxonomy", "fine")
    page.locator('#picture[data-taxonomy="fine"]').wait_for()
    wait_until_done(page, 3)
    assert not set(page.evaluate(thumbnails)) & set(before)


def test_classes_are_switched_off_and_on_and_the_mask_fades(open_served, segmenting_model):
    page = open_served(IMAGES[0])
    found = segmenting_model.with_taxonomy("coarse").predict(IMAGES[0])
    first = page.locator("#legend label").first
    number = found.classes.index(first.inner_text().strip())
    first.click()
    page.mouse.move(0, 0)  # the pointer over a class shows it alone
    np.testing.assert_array_equal(pixels(page, "mask")[..., 3] == 0, found.mask == number)
    page.click("#none")
    assert not pixels(page, "mask").any()
    page.click("#all")
    assert (pixels(page, "mask")[..., 3] == 255).all()
    drawn, shots = pixels(page, "mask"), {}
    page.mouse.move(0, 0)
    for opacity in ("0", "1"):
        page.locator("#opacity").fill(opacity)
        shots[opacity] = np.asarray(Image.open(io.BytesIO(page.locator("#picture").screenshot())).convert("RGB"), float)
    row, column = (round((side - 1) * 0.4) for side in shots["0"].shape[:2])
    y, x = row * 64 // shots["0"].shape[0], column * 96 // shots["0"].shape[1]
    colour = drawn[y, x, :3]
    np.testing.assert_allclose(shots["1"][row, column], colour, atol=2)
    assert np.abs(shots["0"] - shots["1"]).mean() > 10


def test_a_click_shows_the_nearest_prototypes(open_served, segmenting_model):
    page = open_served(IMAGES[0])
    page.locator("#picture").click(position=at_pixel(page, IMAGES[0], 40, 70))
    page.locator("#nearest dd").first.wait_for()
    expected = segmenting_model.nearest(IMAGES[0], 40, 70)
    assert page.locator("#nearest dt").all_inner_texts() == list(expected)
    shown = [text.split("\n") for text in page.locator("#nearest dd").all_inner_texts()]
    top = [(one.name, one.cosine) for similar in expected.values() for one in similar[:3]]
    assert [text[0] for text in shown] == [name for name, _ in top]
    assert [float(text[-1]) for text in shown] == pytest.approx([cosine for _, cosine in top], abs=0.011)
    name = segmenting_model.with_taxonomy("coarse").predict(IMAGES[0])
    assert f"Row 40, column 70: seen as {name.classes[name.mask[40, 70]]}." in page.inner_text("#nearest p")


def test_a_class_of_ones_own_is_found_in_another_image(open_served, server, segmenting_model, tmp_path):
    page = open_served(*IMAGES[:2])
    page.locator("#modes label", has_text="Box").click()
    box = page.locator("#picture").bounding_box()
    ends = [at_pixel(page, IMAGES[0], *pixel) for pixel in ((0, 0), (9, 95))]
    page.mouse.move(box["x"] + ends[0]["x"], box["y"] + ends[0]["y"])
    page.mouse.down()
    page.mouse.move(box["x"] + ends[1]["x"], box["y"] + ends[1]["y"], steps=4)
    page.mouse.up()
    region = np.zeros((64, 96), dtype=bool)
    region[:10] = True
    np.testing.assert_array_equal(pixels(page, "marks")[..., 3] > 0, region)
    assert page.inner_text("#marked") == "Marked in 1 image."
    page.fill("#name", "above")
    page.click("#add button.main")
    page.locator("#mine li", has_text="of 2 images").wait_for()
    wait_until_done(page, 2)

    model = segmenting_model.with_taxonomy("coarse").add_class("above", [(IMAGES[0], region)])
    page.locator("#images button").nth(1).click()
    page.locator("#title", has_text="1.png").wait_for()
    found = model.predict(IMAGES[1])
    assert (found.mask == found.classes.index("mine/above")).mean() > 0.02
    name, content = downloaded(page, "#save-mask")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), found.mask)
    assert page.locator("#legend label", has_text="mine/above").count() == 1
    assert page.inner_text("#mine li").split("\n")[-1] == "in 2 of 2 images"

    name, content = downloaded(page, "#save-weights")
    (tmp_path / name).write_bytes(content)
    assert SegmentationModel.from_run(tmp_path / name, "cpu", "mine").classes == ["above"]

    page.locator("#beside").click()  # off
    page.locator('#picture[data-taxonomy="coarse"]').wait_for()
    page.click("#forget")
    page.locator("#mine:empty").wait_for(state="attached")
    assert page.evaluate("sessionStorage.length") == 0


def test_brush_and_eraser(open_served):
    page = open_served(IMAGES[0])
    place = at_pixel(page, IMAGES[0], 30, 40)
    page.locator("#modes label", has_text="Brush").click()
    page.locator("#size").fill("10")
    page.locator("#picture").click(position=place)
    painted = pixels(page, "marks")[..., 3] > 0
    assert painted[30, 40]
    assert 50 < painted.sum() < 150  # a disc of about 10 pixels
    page.locator("#modes label", has_text="Erase").click()
    page.locator("#size").fill("20")
    page.locator("#picture").click(position=place)
    assert not (pixels(page, "marks")[..., 3] > 0).any()


def test_a_box_that_is_not_finished_ends_with_its_mode_and_image(open_served):
    page = open_served(*IMAGES[:2])

    def begin_box():
        page.locator("#modes label", has_text="Box").click()
        page.locator("#picture").focus()
        page.keyboard.press("Enter")
        assert (pixels(page, "marks")[..., 3] > 0).sum() == 1

    def nothing_is_marked():
        return not pixels(page, "marks").any() and page.inner_text("#marked") == ""

    for mode in ("Look", "Brush", "Erase"):
        begin_box()
        page.locator("#modes label", has_text=mode).click()
        assert nothing_is_marked()
        for pixel in ((10, 10), (30, 60)):
            page.locator("#picture").hover(position=at_pixel(page, IMAGES[0], *pixel))
        assert nothing_is_marked()
    begin_box()
    page.click("#clear")
    page.locator("#picture").focus()
    page.keyboard.press("ArrowLeft")
    assert nothing_is_marked()
    begin_box()
    page.locator("#images button").nth(1).click()
    page.locator("#picture").focus()
    page.keyboard.press("ArrowLeft")
    assert nothing_is_marked()


def test_it_works_by_keyboard_alone(open_served, segmenting_model):
    page = open_served(IMAGES[0])
    page.locator("#picture").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#nearest dd").first.wait_for()
    nearest = segmenting_model.nearest(IMAGES[0], 33, 58)["coarse"][0].name  # from the middle: 32, 48
    assert page.locator("#nearest dd").first.inner_text().startswith(nearest)
    page.locator("#modes input:checked").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#modes input:checked").get_attribute("value") == "box"
    page.locator("#picture").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    marked = np.zeros((64, 96), dtype=bool)
    marked[23:34, 57:59] = True
    np.testing.assert_array_equal(pixels(page, "marks")[..., 3] > 0, marked)
    page.locator("#legend input").first.focus()
    page.keyboard.press("Space")
    assert not page.locator("#legend input").first.is_checked()


def test_images_are_dropped_and_pasted(open_page, server):
    page = open_page(f"{server.url}/")
    page.locator("#about:not(:empty)").wait_for()
    for kind, count in (("drop", 1), ("paste", 2)):
        page.evaluate(
            """([kind, bytes]) => { const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, { type: 'image/png' }));
            document.body.dispatchEvent(kind === 'drop' ? new DragEvent('drop', { dataTransfer: data, bubbles: true })
              : new ClipboardEvent('paste', { clipboardData: data, bubbles: true })); }""",
            [kind, list(png(IMAGES[count]))],
        )
        page.locator("#images li", has_text=f"{kind}.png").locator("text=done").wait_for()
    assert page.locator("#images li").count() == 2


def test_what_is_refused_is_said_and_the_rest_goes_on(open_page, server, tmp_path):
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(33 * 2**20)
    html = tmp_path / "page.png"
    html.write_text("<html><script>document.title = 'taken'</script></html>")
    name = tmp_path / "<img src=x onerror=alert(1)>.png"
    name.write_bytes(png(IMAGES[0]))
    page = open_page(f"{server.url}/")
    page.locator("#about:not(:empty)").wait_for()
    page.set_input_files("#files", [large])
    page.locator("#message", has_text="large.png has 33 MB").wait_for()
    page.set_input_files("#files", [html, name])
    page.locator("#images li", has_text="refused").wait_for()
    page.locator("#images li", has_text="done").wait_for()
    assert "not a JPEG, PNG or WebP" in page.inner_text("#message")
    assert page.inner_text("#title") == name.name
    assert page.title() != "taken"


def test_a_session_that_is_gone_is_opened_anew(open_page, server):
    page = open_page(f"{server.url}/")
    page.evaluate("sessionStorage.setItem('mdpseg-session', 'of a server before')")
    page.reload()
    put_in(page, files(IMAGES[0]))
    assert page.locator("#legend li").count() > 1
    assert page.evaluate("sessionStorage.length") == 0


def test_files_that_come_before_the_servers_limits_wait_for_them(open_page, server):
    page, asked = open_page(f"{server.url}/"), []

    def hold(route):
        asked.append(route)

    page.route("**/api/classes", hold)
    page.reload()
    page.set_input_files("#files", files(IMAGES[0]))
    while not asked:
        page.wait_for_timeout(20)
    assert page.input_value("#files") == ""
    asked[0].continue_()
    wait_until_done(page, 1)


def test_without_a_server_chosen_files_are_no_silence(open_page, server):
    page = open_page(f"{server.url}/")
    page.route("**/api/classes", lambda route: route.abort())
    page.reload()
    page.locator("#message", has_text="does not answer").wait_for()
    page.set_input_files("#files", files(IMAGES[0]))
    page.wait_for_timeout(100)
    assert "does not answer" in page.inner_text("#message")
    page.unroute("**/api/classes")  # it is there again
    page.set_input_files("#files", files(IMAGES[0]))
    wait_until_done(page, 1)


def test_a_session_that_goes_while_the_page_is_open(open_served, server):
    page = open_served(IMAGES[0])
    page.locator("#modes label", has_text="Brush").click()
    page.locator("#picture").click()
    page.fill("#name", "mark")
    page.click("#add button.main")
    page.locator('#picture[data-taxonomy="coarse+mine"]').wait_for()
    token = page.evaluate("sessionStorage.getItem('mdpseg-session')")
    server.http.delete("/api/classes", headers={"X-Mdpseg-Session": token})
    page.locator("#modes label", has_text="Look").click()
    page.locator("#picture").click()
    page.locator('#picture[data-taxonomy="coarse"]').wait_for()
    assert "are gone" in page.inner_text("#message")
    assert page.locator("#mine li").count() == 0


def test_a_fine_tuned_network_has_one_set_of_classes(finetuned, open_page, tmp_path):
    with served(finetuned, tmp_path) as server:
        page = open_page(f"{server.url}/")
        put_in(page, files(IMAGES[0]))
        for hidden in ("#terms", "#nearest-card", "#own-card", "#modes"):
            assert not page.locator(hidden).is_visible()
        found = SegmentationModel.from_run(finetuned, "cpu").predict(IMAGES[0])
        np.testing.assert_array_equal(pixels(page, "mask"), expected_pixels(server, found))


def test_axe_finds_what_bars_people(open_served, barriers):
    """Else its silence about our pages would say nothing."""
    page = open_served(IMAGES[0])
    page.evaluate("document.getElementById('save-mask').textContent = ''")
    page.evaluate("document.getElementById('title').style.color = 'var(--line)'")
    found = barriers(page)
    assert any(text.startswith("button-name") for text in found)
    assert any(text.startswith("color-contrast") for text in found)


def test_the_interface_is_documented_on_its_own_page(open_page, server, barriers):
    page = open_page(f"{server.url}/")
    page.locator("header a").click()
    page.locator("#operations table").first.wait_for()
    assert "POST /api/segment" in page.locator("h2").all_inner_texts()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert barriers(page) == []
