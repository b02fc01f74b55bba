"""Shards on a disk and on a server; shards of others; shards of strangers."""

import io
import json
import os
import tarfile

import pytest
import torch
import webdataset

from mdpseg import web
from mdpseg.data.open import open_dataset
from mdpseg.data.shards.cache import Cache
from mdpseg.data.shards.index import NAME, parse
from mdpseg.data.shards.pack import pack
from mdpseg.data.shards.reader import Shards
from mdpseg.data.shards.store import RemoteShards
from mdpseg.errors import BadFileError, UserError
from tests import web_server
from tests.data.readers.files import write_image, write_mask
from tests.data.shards.test_pack import folder, same
from tests.data.test_open import config


@pytest.fixture
def packed(tmp_path):
    reader = folder(tmp_path / "d")
    pack(reader, tmp_path / "out", shard_bytes=5000, workers=0)
    return reader, tmp_path / "out"


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(web, "WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(web, "TIMEOUT", (1.0, 0.5))


def member(tmp_path, seed=0):
    image = write_image(tmp_path / "i.jpg", seed=seed).read_bytes()
    return image, write_mask(tmp_path / "m.png", [0, 1, 255]).read_bytes()


def others(tmp_path, endings=("jpg", "png"), keys=("b", "a"), name="x-000.tar"):
    """Shards as the webdataset library writes them."""
    image, mask = member(tmp_path)
    (tmp_path / "s").mkdir(exist_ok=True)
    with webdataset.TarWriter(str(tmp_path / "s" / name), encoder=False) as writer:
        for key in keys:
            writer.write({"__key__": key, endings[0]: image, endings[1]: mask, "json": b"{}", "txt": b"caption"})
    return tmp_path / "s"


def plain_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def info(name, kind=tarfile.REGTYPE, link=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    "endings",
    [
        *[("jpg", "png"), ("image.png", "seg.png"), ("jpeg", "mask.png"), ("JPG", "label.png"), ("png", "mask.png")],
        *[("image.jpg", "png"), ("image.png", "png"), ("img.jpeg", "png"), ("img.webp", "png"), ("webp", "png")],
    ],
)
def test_shards_of_others_are_looked_through_once(tmp_path, endings):
    shards = others(tmp_path, endings)
    first = Shards(shards, ["a", "b"])
    assert [sample.id for sample in first] == ["a", "b"]
    index = parse((shards / NAME).read_bytes(), "index")
    assert [row.id for row in index.rows] == ["b", "a"]
    assert [(row.image.length, row.mask.length) for row in index.rows] == [tuple(map(len, member(tmp_path)))] * 2
    stamp = (shards / NAME).stat().st_mtime_ns
    same(Shards(shards, ["a", "b"]), first)
    assert (shards / NAME).stat().st_mtime_ns == stamp


def test_a_shard_that_comes_later_is_seen(tmp_path):
    shards = others(tmp_path)
    assert len(Shards(shards, ["a", "b"])) == 2
    others(tmp_path, keys=("c",), name="x-001.tar")
    assert len(Shards(shards, ["a", "b"])) == 3


def test_a_shard_that_was_replaced_by_one_of_the_same_size_is_seen(tmp_path):
    shards = others(tmp_path)
    assert [sample.id for sample in Shards(shards, ["a", "b"])] == ["a", "b"]
    size = (shards / "x-000.tar").stat().st_size
    others(tmp_path, keys=("d", "c"))
    made = (shards / NAME).stat().st_mtime_ns
    os.utime(shards / "x-000.tar", ns=(made, made + 1))
    assert (shards / "x-000.tar").stat().st_size == size
    assert [sample.id for sample in Shards(shards, ["a", "b"])] == ["c", "d"]
    assert (shards / NAME).stat().st_mtime_ns > made


def test_an_index_by_an_earlier_rule_is_made_anew(tmp_path):
    shards = others(tmp_path, ("webp", "png"))
    first = Shards(shards, ["a", "b"])

    def mask_for_image(index):
        del index["rule"]
        index["rows"] = [[*row[:2], *row[5:]] for row in index["rows"]]

    changed(shards, mask_for_image)
    same(Shards(shards, ["a", "b"]), first)


def test_shards_that_say_how_many_there_are(tmp_path):
    for number, key in enumerate("ab"):
        shards = others(tmp_path, keys=(key,), name=f"train-{number:05d}-of-00064.tar")
    assert [sample.id for sample in Shards(shards, ["a", "b"])] == ["a", "b"]
    others(tmp_path, keys=("c",), name="val-00000-of-00001.tar")
    with pytest.raises(UserError, match=r"several kinds \(train, val\)"):
        Shards(shards, ["a", "b"])


def test_where_no_index_can_be_written_it_stays_in_memory(tmp_path):
    shards = others(tmp_path)
    (shards / NAME).mkdir()  # nothing can be written over it
    assert len(Shards(shards, ["a", "b"])) == 2
    assert not [path for path in shards.iterdir() if path.name.startswith(".tmp")]


def test_classes_lie_beside_the_shards(tmp_path):
    shards = others(tmp_path)
    with pytest.raises(UserError, match=r"classes\.txt"):
        Shards(shards)
    (shards / "classes.txt").write_text("a\nb\n")
    assert Shards(shards).classes == ["a", "b"]
    with pytest.raises(UserError, match="id 1"):
        Shards(shards, ["a"])[0]


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda s: (s / "x-000.tar").write_bytes(b"no tar" * 200), "plain .tar"),
        (
            lambda s: (s / "x-000.tar").write_bytes((s / "x-000.tar").read_bytes()[:1000]),
            "plain .tar",
        ),
        (lambda s: others(s.parent, keys=("a",), name="x-001.tar"), "both hold the key 'a'"),
        (lambda s: others(s.parent, keys=("z",), name="val-000.tar"), "several kinds"),
        (lambda s: (s / "x-000.tar").unlink(), "no .tar files"),
        (lambda s: (s / NAME).write_text("{}"), "not the index"),
        (lambda s: (s / NAME).write_text("[" * 100000), "nested too deeply"),
    ],
)
def test_bad_shards_are_one_message(tmp_path, make, said):
    shards = others(tmp_path)
    make(shards)
    with pytest.raises(UserError, match=said):
        Shards(shards, ["a", "b"])


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    shards = others(tmp_path)
    whole = bytearray((shards / "x-000.tar").read_bytes())
    place = whole.index(b"a.jpg")
    whole[place : place + 5] = b"?????"
    (shards / "x-000.tar").write_bytes(whole)
    with pytest.raises(UserError, match="header"):
        Shards(shards, ["a", "b"])


def test_hostile_members_are_left_out(tmp_path):
    image, mask = member(tmp_path)
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(image)
    members = [
        (info("good.jpg"), image),
        (info("good.png"), mask),
        (info("../up.jpg"), image),
        (info("/abs.jpg"), image),
        (info("link.jpg", tarfile.SYMTYPE, str(secret)), b""),
        (info("hard.jpg", tarfile.LNKTYPE, "good.jpg"), b""),
        (info("pipe.jpg", tarfile.FIFOTYPE), b""),
        (info("empty.jpg"), b""),
    ]
    plain_tar(tmp_path / "s" / "h.tar", members)
    assert [sample.id for sample in Shards(tmp_path / "s", ["a", "b"])] == ["good"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.jpg", "m.png", "s", "secret.jpg"]


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path):
    header = info("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    header.size = 2**34
    path = tmp_path / "s" / "h.tar"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.truncate(2**34 + 1024)  # sparse: takes no room
    with pytest.raises(UserError, match="more than a megabyte"):
        Shards(tmp_path / "s", ["a"])


def changed(shards, change):
    index = json.loads((shards / NAME).read_text())
    change(index)
    (shards / NAME).write_text(json.dumps(index))


@pytest.mark.parametrize(
    "change",
    [
        lambda i: i["rows"][0].__setitem__(3, 2**40),
        lambda i: i["rows"][0].__setitem__(2, -1),
        lambda i: i["rows"][0].__setitem__(2, 10**30),
        lambda i: i["rows"][0].__setitem__(1, 99),
        lambda i: i["rows"][0].__setitem__(0, "../../etc/passwd"),
        lambda i: i["rows"][0].pop(),
        lambda i: i["rows"].append(i["rows"][0]),
        lambda i: i["shards"][0].__setitem__(0, "../shard.tar"),
        lambda i: i["shards"][0].__setitem__(0, "/etc/x.tar"),
        lambda i: i.__setitem__("classes", [1]),
        lambda i: i.pop("rows"),
    ],
)
def test_an_index_that_lies_is_refused(packed, change):
    changed(packed[1], change)
    with pytest.raises(UserError, match="not the index"):
        Shards(packed[1])


def test_an_index_that_knows_more_than_the_shards_is_not_to_be_removed(packed, tmp_path):
    shards = others(tmp_path)
    Shards(shards, ["a", "b"])
    for folder_, advice in ((packed[1], "copy it again"), (shards, "remove it")):
        changed(folder_, lambda i: i.pop("rows"))
        with pytest.raises(UserError, match="not the index") as raised:
            Shards(folder_, ["a", "b"])
        assert advice in str(raised.value)
        assert ("made anew" in str(raised.value)) == (advice == "remove it")


def test_keys_of_others_are_their_ids_and_no_escape_leads_out(tmp_path):
    image, mask = member(tmp_path)
    pairs = [("a%2Eb.jpg", image), ("a%2Eb.png", mask), ("%2E%2E/c.jpg", image), ("%2E%2E/c.png", mask)]
    plain_tar(tmp_path / "ours" / "shard-000000.tar", [(info(name), content) for name, content in pairs])
    assert [sample.id for sample in Shards(tmp_path / "ours", ["a", "b"])] == ["%2E%2E/c", "a.b"]
    plain_tar(tmp_path / "named" / "x-000000.tar", [(info(name), content) for name, content in pairs])
    assert [sample.id for sample in Shards(tmp_path / "named", ["a", "b"])] == ["%2E%2E/c", "a%2Eb"]
    theirs = others(tmp_path, keys=("a%2Eb",), name="shard-000000.tar")
    assert [sample.id for sample in Shards(theirs, ["a", "b"])] == ["a%2Eb"]


def test_a_shard_of_another_size_or_gone(packed):
    shard = packed[1] / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(UserError, match="copy it again"):
        Shards(packed[1])
    shard.unlink()
    with pytest.raises(UserError, match="is not there"):
        Shards(packed[1])


def test_a_damaged_member_is_a_bad_file(packed):
    reader, out = packed
    row = parse((out / NAME).read_bytes(), "").rows[0]
    with (out / "shard-000000.tar").open("r+b") as file:
        file.seek(row.image.offset + 300)
        file.write(b"\xff\xff\xff")
    shards = Shards(out)
    with pytest.raises(BadFileError, match="checksum"):
        shards[0]
    assert torch.equal(shards[1].image, reader[1].image)


def test_over_http_only_what_is_asked_for_is_moved(packed):
    reader, out = packed
    with web_server.serving(out) as server:
        remote = Shards(RemoteShards(server.url, "mine"))
        assert [path for path, _ in server.asked] == ["/index.json"]
        same(remote, reader)
        spans = [span for path, span in server.asked if path.endswith(".tar")]
        assert len(spans) == len(reader)  # image and mask lie side by side
        assert all(span for span in spans)


def test_a_url_in_a_recipe(packed, tmp_path):
    with web_server.serving(tmp_path) as server:
        entry = {"name": "mine", "reader": "shards", "url": f"{server.url}/out/", "cache": str(tmp_path / "cache")}
        same(open_dataset(config(**entry)), packed[0])
    for wrong in ({"path": "x"}, {"url": None}):
        with pytest.raises(ValueError, match="either `path` or `url`"):
            config(**{**entry, **wrong})


def test_the_split_of_a_url(packed, tmp_path):
    """As that of a path: a folder below it."""
    reader, out = packed
    (tmp_path / "www").mkdir()
    out.rename(tmp_path / "www" / "val")
    with web_server.serving(tmp_path / "www") as server:
        entry = {"name": "mine", "reader": "shards", "url": f"{server.url}/"}
        same(open_dataset(config(**entry, split="val")), reader)
        same(open_dataset(config(**entry | {"url": f"{server.url}/val"})), reader)
        with pytest.raises(UserError, match=rf"no {server.url}/test/index\.json; .*Leave `split` out"):
            open_dataset(config(**entry, split="test"))
        with pytest.raises(UserError, match=rf"no {server.url}/val/val/index\.json; .*split 'val'"):
            open_dataset(config(**entry | {"url": f"{server.url}/val"}, split="val"))
        with pytest.raises(UserError, match=rf"{server.url}/index\.json is not there"):
            open_dataset(config(**entry))
        (tmp_path / "www" / "val").rename(tmp_path / "www" / "train")
        same(open_dataset(config(**entry)), reader)


def test_the_recipe_that_a_run_writes_reads_the_same_shards(packed):
    """It has every setting, also a split that nobody asked for."""
    reader, out = packed
    with web_server.serving(out) as server:
        for place in ({"path": str(out)}, {"url": server.url}):
            written = config(name="mine", reader="shards", **place).model_dump(mode="json")
            assert written["split"] == "train"
            same(open_dataset(config(**written)), reader)


def test_classes_lie_beside_the_shards_on_the_server(tmp_path):
    shards = others(tmp_path)
    local = Shards(shards, ["a", "b"])  # makes the index, which names no classes
    with web_server.serving(shards) as server:
        with pytest.raises(UserError, match=rf"{server.url}/classes\.txt is not there"):
            Shards(RemoteShards(server.url, "theirs"))
        (shards / "classes.txt").write_bytes(b"\xef\xbb\xbf# of theirs\r\na\r\n\r\nb\r\n")
        remote = Shards(RemoteShards(server.url, "theirs"))
        assert remote.classes == ["a", "b"]
        same(remote, local)
        assert Shards(RemoteShards(server.url, "theirs"), ["c", "d"]).classes == ["c", "d"]
        (shards / "classes.txt").write_bytes(b"caf\xe9")
        with pytest.raises(UserError, match="not UTF-8"):
            Shards(RemoteShards(server.url, "theirs"))


def test_the_cache_starts_at_data_root(packed, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with web_server.serving(tmp_path) as server:
        for cache in ("cache", str(tmp_path / "absolute")):
            entry = config(name="mine", reader="shards", url=f"{server.url}/out", cache=cache)
            open_dataset(entry, tmp_path / "root")[0]
    assert list((tmp_path / "root" / "cache").glob("??/*"))
    assert list((tmp_path / "absolute").glob("??/*"))
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "fault",
    [
        web_server.answers(503),
        web_server.answers(500),
        web_server.breaks_off(20),
        web_server.hangs(1),
    ],
)
def test_faults_that_pass_are_tried_again(packed, fault):
    reader, out = packed
    with web_server.serving(out) as server:
        remote = Shards(RemoteShards(server.url, "mine"))
        server.faults = [web_server.times(2, fault)]
        assert torch.equal(remote[0].image, reader[0].image)


@pytest.mark.parametrize(
    "fault, said",
    [
        (web_server.answers(503), "4 attempts .status 503"),
        (web_server.answers(403), "status 403"),
        (web_server.answers(404), "status 404"),
        (web_server.ignores_ranges, "range requests"),
        (web_server.breaks_off(20), "4 attempts"),
        (web_server.redirects_to("/nowhere"), "status 404"),
    ],
)
def test_faults_that_stay_are_one_message_and_no_bad_file(packed, fault, said):
    with web_server.serving(packed[1]) as server:
        remote = Shards(RemoteShards(server.url, "mine"))
        server.faults = [fault]
        with pytest.raises(UserError, match=said) as raised:
            remote[0]
        assert not isinstance(raised.value, BadFileError)  # a run that skips bad files must not skip the network's


def test_a_server_without_index_or_that_is_gone(tmp_path):
    with web_server.serving(tmp_path) as server:
        with pytest.raises(UserError, match=r"index\.json is not there"):
            RemoteShards(server.url, "mine")
        url = server.url
    with pytest.raises(UserError, match=r"4 attempts .*refused"):
        RemoteShards(url, "mine")


def test_a_shard_that_changed_on_the_server(packed):
    _, out = packed
    with web_server.serving(out) as server:
        remote = Shards(RemoteShards(server.url, "mine"))
        with (out / "shard-000000.tar").open("ab") as file:
            file.write(bytes(512))
        with pytest.raises(UserError, match="its index says"):
            remote[0]


def test_the_cache_serves_again_and_stays_small(packed, tmp_path):
    reader, out = packed
    with web_server.serving(out) as server:
        remote = Shards(RemoteShards(server.url, "mine", Cache(tmp_path / "cache", 10**6)))
        same(remote, reader)
        asked = len(server.asked)
        same(remote, reader)
        assert len(server.asked) == asked
        for path in (tmp_path / "cache").glob("??/*"):  # damaged, it is asked for again
            path.write_bytes(bytes(path.stat().st_size))
        same(remote, reader)
        assert len(server.asked) == 2 * asked - 1  # all but the index
