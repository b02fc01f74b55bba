"""The download command against a real server that fails in every way it can, with real archives."""

import errno
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import scipy.io

from mdpseg import web
from mdpseg.data.download import sources
from mdpseg.data.download.fetch import fetch
from mdpseg.data.download.get import MIRROR
from mdpseg.data.open import open_dataset
from mdpseg.errors import UserError
from mdpseg.files import lock
from tests import web_server
from tests.data.readers.files import original, write_image, write_lines, write_mask
from tests.data.test_open import config


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(web, "WAITS", (0.01, 0.01))
    monkeypatch.setattr(web, "TIMEOUT", (1.0, 0.4))


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "www").mkdir()
    with web_server.serving(tmp_path / "www") as server:
        monkeypatch.setenv(MIRROR, server.url)
        yield server


def tar(path, folder, mode="w"):
    with tarfile.open(path, mode) as archive:
        for entry in sorted(folder.iterdir()):
            archive.add(entry, entry.name)


def zipped(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for entry in sorted(folder.rglob("*")):
            archive.write(entry, entry.relative_to(folder))


def published(monkeypatch, server, name):
    """The dataset with checksums of the archives that the server has, where some are published."""
    source = sources.SOURCES[name]
    archives = []
    for archive in source.archives:
        checksum = archive.checksum
        if checksum:
            kind = checksum.partition(":")[0]
            content = (server.root / archive.url.rpartition("/")[2]).read_bytes()
            checksum = f"{kind}:{hashlib.new(kind, content).hexdigest()}"
        archives.append(replace(archive, checksum=checksum, bytes=10**7, unpacked=10**7))
    monkeypatch.setitem(sources.SOURCES, name, replace(source, archives=tuple(archives)))
    return archives


@pytest.fixture
def ade(tmp_path, server, monkeypatch):
    """A small ADE20K on the server."""
    root = tmp_path / "ade" / "ADEChallengeData2016"
    for split in ("training", "validation"):
        for i in range(3):
            write_image(root / "images" / split / f"{i}.jpg", 200, 300, seed=i)
            write_mask(root / "annotations" / split / f"{i}.png", [0, 1, 150], 200, 300)
    zipped(server.root / "ADEChallengeData2016.zip", tmp_path / "ade")
    published(monkeypatch, server, "ade20k")
    return server


def listing(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_ade20k_is_got_unpacked_and_read(ade, tmp_path, mdpseg_command):
    out = tmp_path / "data"
    code, said, _ = mdpseg_command("data", "get", "ade20k", "--out", out)
    assert code == 0
    assert said.splitlines()[0].startswith("Terms of use: ADE20K")
    assert listing(out) == ["ADEChallengeData2016", "LICENCE.txt", "downloads.json"]
    assert len(open_dataset(config(name="a", reader="ade20k", path=str(out), split="training"))) == 3
    (record,) = json.loads((out / "downloads.json").read_text())
    content = (ade.root / "ADEChallengeData2016.zip").read_bytes()
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["bytes"] == len(content)
    assert record["checked_against"].startswith("sha1:")
    asked = len(ade.asked)
    assert mdpseg_command("data", "get", "ade20k", "--out", out)[0] == 0
    assert len(ade.asked) == asked  # all is there


def test_voc2012_and_sbd(tmp_path, server, monkeypatch, mdpseg_command):
    shutil.copytree(original("voc2012"), tmp_path / "voc")
    lists = tmp_path / "voc" / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    val = (lists / "val.txt").read_text().split()
    train = (lists / "train.txt").read_text().split()
    tar(server.root / "VOCtrainval_11-May-2012.tar", tmp_path / "voc")
    # SBD as its release has it: one more photograph of VOC, one of VOC's val, one of VOC's train
    extra = write_image(tmp_path / "voc" / "VOCdevkit" / "VOC2012" / "JPEGImages" / "2008_000002.jpg")
    tar(server.root / "VOCtrainval_11-May-2012.tar", tmp_path / "voc")
    for key in ("2008_000002", val[0], train[0]):
        mask = np.full((8, 10), 20, np.uint8)
        path = tmp_path / "sbd" / "benchmark_RELEASE" / "dataset" / "cls" / f"{key}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(path, {"GTcls": {"Segmentation": mask, "Boundaries": 0}})
    tar(server.root / "benchmark.tgz", tmp_path / "sbd", "w:gz")
    published(monkeypatch, server, "voc2012")
    published(monkeypatch, server, "sbd")
    out = tmp_path / "data"
    code, _, err = mdpseg_command("data", "get", "sbd", "--out", out)
    assert code == 2
    assert "first `mdpseg data get voc2012" in err
    for name in ("voc2012", "sbd"):
        code, said, err = mdpseg_command("data", "get", name, "--out", out)
        assert code == 0, err
    assert f"{len(train)} masks of VOC, 1 of SBD" in said
    ids = [sample.id for sample in open_dataset(config(name="v", reader="voc2012", path=str(out), split="train_aug"))]
    assert ids == sorted([*train, extra.stem])
    aug = open_dataset(config(name="v", reader="voc2012", path=str(out), split="train_aug"))
    assert aug[ids.index(extra.stem)].mask.unique().tolist() == [20]
    assert (out / "LICENCE.txt").read_text().count("\n") == 2


def test_cocostuff(tmp_path, server, monkeypatch, mdpseg_command):
    root = original("cocostuff")
    for split in ("train2017", "val2017"):
        shutil.copytree(root / "images" / split, tmp_path / split / split)
        shutil.copytree(root / "annotations" / split, tmp_path / "maps" / split)
        zipped(server.root / f"{split}.zip", tmp_path / split)
    zipped(server.root / "stuffthingmaps_trainval2017.zip", tmp_path / "maps")
    published(monkeypatch, server, "cocostuff")
    code, said, _ = mdpseg_command("data", "get", "cocostuff", "--out", tmp_path / "data")
    assert code == 0
    assert "no checksum is published" in said
    assert sorted(listing(tmp_path / "data")) == ["LICENCE.txt", "downloads.json", "images", "stuffthingmaps"]
    for split, count in (("train2017", 13), ("val2017", 8)):
        reader = open_dataset(config(name="c", reader="cocostuff", path=str(tmp_path / "data"), split=split))
        assert (len(reader), reader[0].mask.ndim) == (count, 2)


def test_oxford_pets(tmp_path, server, monkeypatch, mdpseg_command):
    write_image(tmp_path / "a" / "images" / "Abyssinian_1.jpg")
    write_mask(tmp_path / "b" / "annotations" / "trimaps" / "Abyssinian_1.png", [1, 2, 3])
    write_lines(tmp_path / "b" / "annotations" / "trainval.txt", ["Abyssinian_1 1 1 1"])
    tar(server.root / "images.tar.gz", tmp_path / "a", "w:gz")
    tar(server.root / "annotations.tar.gz", tmp_path / "b", "w:gz")
    published(monkeypatch, server, "oxford-pets")
    assert mdpseg_command("data", "get", "oxford-pets", "--out", tmp_path / "data")[0] == 0
    assert (tmp_path / "data" / "annotations" / "trimaps" / "Abyssinian_1.png").is_file()
    assert (tmp_path / "data" / "images" / "Abyssinian_1.jpg").is_file()


@pytest.mark.parametrize(
    "fault",
    [
        web_server.times(2, web_server.answers(500)),
        web_server.times(2, web_server.answers(503)),
        web_server.times(5, web_server.breaks_off(70_000)),
        web_server.times(2, web_server.hangs(0.8)),
        web_server.times(1, web_server.says_length(1000)),
        web_server.redirects_to("/other.zip"),
    ],
)
def test_faults_that_pass(ade, tmp_path, mdpseg_command, fault):
    shutil.copy(ade.root / "ADEChallengeData2016.zip", ade.root / "other.zip")
    ade.faults = [fault]
    code, _, err = mdpseg_command("data", "get", "ade20k", "--out", tmp_path / "data")
    assert (code, err) == (0, "")
    assert listing(tmp_path / "data") == ["ADEChallengeData2016", "LICENCE.txt", "downloads.json"]


@pytest.mark.parametrize(
    "fault, said, resumes",
    [
        (web_server.answers(404), "status 404", False),
        (web_server.answers(500), "after 3 attempts (status 500)", False),
        (web_server.hangs(0.8), "after 3 attempts", False),
        (web_server.breaks_off(0), "0 bytes are here", False),
        (web_server.says_length(-50), "is published; it is removed", False),
        (web_server.redirects_to("/nowhere"), "status 404", False),
    ],
)
def test_faults_that_stay(ade, tmp_path, mdpseg_command, fault, said, resumes):
    out = tmp_path / "data"
    ade.faults = [fault]
    code, _, err = mdpseg_command("data", "get", "ade20k", "--out", out)
    assert code == 2
    assert err.count("\n") == 1
    assert said in err
    assert not (out / "ADEChallengeData2016").exists()
    assert not [name for name in listing(out) if name.endswith(".zip") or name.startswith(".")]
    ade.faults = []
    assert mdpseg_command("data", "get", "ade20k", "--out", out)[0] == 0
    assert listing(out) == ["ADEChallengeData2016", "LICENCE.txt", "downloads.json"]


def test_an_interrupted_file_is_gone_on_with(ade, tmp_path, mdpseg_command):
    out = tmp_path / "data"
    content = (ade.root / "ADEChallengeData2016.zip").read_bytes()
    # the first connection brings two pieces and a half, then the server is down
    ade.faults = [web_server.times(1, web_server.breaks_off(150_000)), web_server.answers(503)]
    code, _, err = mdpseg_command("data", "get", "ade20k", "--out", out)
    assert code == 2
    assert "131072 bytes are here" in err
    assert (out / "ADEChallengeData2016.zip.part").read_bytes() == content[:131072]
    ade.faults, ade.asked[:] = [], []
    assert mdpseg_command("data", "get", "ade20k", "--out", out)[0] == 0
    assert ade.asked == [("/ADEChallengeData2016.zip", "bytes=131072-")]


def test_a_server_that_ignores_ranges_sends_all_again(ade, tmp_path, mdpseg_command):
    ade.faults = [web_server.times(1, web_server.breaks_off(150_000)), web_server.ignores_ranges]
    assert mdpseg_command("data", "get", "ade20k", "--out", tmp_path / "data")[0] == 0


def test_a_file_that_changed_on_the_server_is_got_anew(ade, tmp_path):
    path = ade.root / "ADEChallengeData2016.zip"
    ade.faults = [web_server.times(1, web_server.breaks_off(150_000)), web_server.times(4, web_server.answers(503))]
    arguments = {"most": 10**7, "progress": lambda done, total: None}
    with pytest.raises(UserError):
        fetch(f"{ade.url}/{path.name}", tmp_path / "got", **arguments)
    new = path.read_bytes()[::-1]
    path.write_bytes(new)
    ade.faults = [lambda handler: bool(handler.serve(etag='"two"')) or True]
    fetch(f"{ade.url}/{path.name}", tmp_path / "got", **arguments)
    assert (tmp_path / "got").read_bytes() == new
    assert listing(tmp_path)[-1] == "www"
    assert not list(tmp_path.glob("got.*"))


def test_other_parts_than_asked_for_are_no_file(ade, tmp_path):
    """A range that begins elsewhere: the part is dropped, and the whole file comes."""
    content = (ade.root / "ADEChallengeData2016.zip").read_bytes()

    def elsewhere(handler):
        if not handler.headers.get("Range"):
            return False
        handler.send(206, content[10:], '"one"', f"bytes 10-{len(content) - 1}/{len(content)}")
        return True

    ade.faults = [web_server.times(1, web_server.breaks_off(150_000)), elsewhere]
    fetch(f"{ade.url}/ADEChallengeData2016.zip", tmp_path / "got", most=10**7, progress=lambda done, total: None)
    assert (tmp_path / "got").read_bytes() == content


def test_wrong_bytes_are_removed(ade, tmp_path, mdpseg_command):
    path = ade.root / "ADEChallengeData2016.zip"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"?")
    code, _, err = mdpseg_command("data", "get", "ade20k", "--out", tmp_path / "data")
    assert code == 2
    assert "has sha1" in err
    assert listing(tmp_path / "data") == []
    path.write_bytes(good)
    assert mdpseg_command("data", "get", "ade20k", "--out", tmp_path / "data")[0] == 0


def test_an_archive_put_there_by_hand_is_checked(ade, tmp_path, mdpseg_command):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ADEChallengeData2016.zip").write_bytes(b"something else")
    assert mdpseg_command("data", "get", "ade20k", "--out", tmp_path / "data")[0] == 2
    shutil.copy(ade.root / "ADEChallengeData2016.zip", tmp_path / "data")
    ade.asked[:] = []
    assert mdpseg_command("data", "get", "ade20k", "--out", tmp_path / "data")[0] == 0
    assert not ade.asked


def test_two_at_once_into_one_folder(ade, tmp_path, mdpseg_command):
    out = tmp_path / "data"
    (out / ".unpacking-x").mkdir(parents=True)
    with (out / ".getting").open("w") as held:
        lock(held)
        code, _, err = mdpseg_command("data", "get", "ade20k", "--out", out)
        assert code == 2
        assert "Another `mdpseg data get`" in err
        assert err.count("\n") == 1
        assert listing(out) == [".getting", ".unpacking-x"]
        assert not ade.asked
    assert mdpseg_command("data", "get", "ade20k", "--out", out)[0] == 0  # what a killed one left is no hindrance
    assert listing(out) == ["ADEChallengeData2016", "LICENCE.txt", "downloads.json"]


@pytest.mark.parametrize("record", [b"{", b"{}", b"\xff", b"[" * 100_000])
def test_a_damaged_record_and_a_licence_of_another_encoding(ade, tmp_path, mdpseg_command, record):
    out = tmp_path / "data"
    out.mkdir()
    (out / "downloads.json").write_bytes(record)
    (out / "LICENCE.txt").write_bytes(b"caf\xe9\n")
    for _ in range(2):
        code, _, err = mdpseg_command("data", "get", "ade20k", "--out", out)
        assert (code, err) == (0, "")
    assert len(json.loads((out / "downloads.json").read_text())) == 1
    assert (out / "LICENCE.txt").read_bytes().startswith(b"caf\xe9\n")
    assert (out / "LICENCE.txt").read_bytes().count(b"ADE20K") == sources.SOURCES["ade20k"].licence.count("ADE20K")


def test_more_than_is_expected_is_not_got(ade, tmp_path, monkeypatch, mdpseg_command):
    source = sources.SOURCES["ade20k"]
    small = replace(source.archives[0], bytes=1000)
    monkeypatch.setitem(sources.SOURCES, "ade20k", replace(source, archives=(small,)))
    code, _, err = mdpseg_command("data", "get", "ade20k", "--out", tmp_path / "data")
    assert code == 2
    assert "at most 2000 are expected" in err


def test_no_room_is_told_before_anything_is_got(ade, tmp_path, monkeypatch, mdpseg_command):
    source = sources.SOURCES["ade20k"]
    huge = replace(source.archives[0], unpacked=10**18)
    monkeypatch.setitem(sources.SOURCES, "ade20k", replace(source, archives=(huge,)))
    code, _, err = mdpseg_command("data", "get", "ade20k", "--out", tmp_path / "data")
    assert code == 2
    assert "are needed; make room" in err
    assert not ade.asked


def test_a_disk_that_gets_full(ade, tmp_path):
    with pytest.raises(UserError, match="disk is full"):
        fetch(
            f"{ade.url}/ADEChallengeData2016.zip",
            tmp_path / "got",
            most=10**7,
            progress=lambda done, total: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")),
        )


def link_in_tar(path):
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("VOCdevkit/VOC2012/link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)


def member_in_tar(name, size=4):
    def make(path):
        with tarfile.open(path, "w") as archive:
            good = tarfile.TarInfo("VOCdevkit/VOC2012/good")
            archive.addfile(good)
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))

    return make


def fifo_in_tar(path):
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("VOCdevkit/VOC2012/pipe")
        info.type = tarfile.FIFOTYPE
        archive.addfile(info)


def link_in_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("VOCdevkit/VOC2012/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")


def escape_in_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside", "x")


def cut_in_half(path):
    member_in_tar("VOCdevkit/VOC2012/a", 100_000)(path)
    path.write_bytes(path.read_bytes()[:50_000])


@pytest.mark.parametrize(
    "make, said",
    [
        (member_in_tar("../../outside"), "leads out of its folder"),
        (member_in_tar("/tmp/mdpseg-outside"), "leads out of its folder"),
        (member_in_tar("VOCdevkit/VOC2012/big", 21 * 10**6), "more than 20000000 bytes"),
        (link_in_tar, "a link or device"),
        (fifo_in_tar, "a link or device"),
        (link_in_zip, "a link or device"),
        (escape_in_zip, "leads out of its folder"),
        (cut_in_half, "damaged or no archive"),
        (lambda path: path.write_bytes(b"<html>moved</html>"), "damaged or no archive"),
        (member_in_tar("other/a"), ""),
    ],
)
def test_an_archive_that_is_not_what_it_should_be(server, tmp_path, monkeypatch, mdpseg_command, make, said):
    """Even where it has the published checksum."""
    make(server.root / "VOCtrainval_11-May-2012.tar")
    published(monkeypatch, server, "voc2012")
    if said.startswith("more than"):
        source = sources.SOURCES["voc2012"]
        roomy = replace(source.archives[0], bytes=30 * 10**6)
        monkeypatch.setitem(sources.SOURCES, "voc2012", replace(source, archives=(roomy,)))
    code, _, err = mdpseg_command("data", "get", "voc2012", "--out", tmp_path / "data")
    if not said:  # what is expected is there, and something besides: that stays out
        assert code == 0
        assert not (tmp_path / "data" / "other").exists()
        return
    assert code == 2
    assert said in err
    assert listing(tmp_path / "data") == ["downloads.json"]
    assert listing(tmp_path) == ["data", "www"]


def test_an_unknown_name(mdpseg_command, tmp_path):
    code, _, err = mdpseg_command("data", "get", "imagenet", "--out", tmp_path)
    assert code == 2
    assert "voc2012, sbd, ade20k, oxford-pets, cocostuff" in err


def test_addresses_and_checksums_are_whole():
    for source in sources.SOURCES.values():
        for archive in source.archives:
            assert archive.url.startswith(("http://", "https://"))
            kind, _, digest = (archive.checksum or f"md5:{'0' * 32}").partition(":")
            assert len(bytes.fromhex(digest)) == hashlib.new(kind).digest_size
