"""The cache of what was read from a server."""

from pathlib import Path

import pytest

from mdpseg.data.shards.cache import Cache


def test_processes_of_the_same_number_share_a_cache(tmp_path, monkeypatch):
    """On several machines; whoever loses the race has its content all the same."""
    caches, replace, names = [Cache(tmp_path, 10**6) for _ in range(2)], Path.replace, []

    def second_in_between(temporary, path):
        names.append(temporary.name)
        if len(names) == 1:
            caches[1].put("0", b"whole")
        return replace(temporary, path)

    monkeypatch.setattr(Path, "replace", second_in_between)
    caches[0].put("0", b"whole")
    assert len(set(names)) == 2
    assert caches[0].get("0") == b"whole"
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(FileNotFoundError(2, "gone", "x")))
    caches[0].put("0", b"whole")
    with pytest.raises(FileNotFoundError):
        caches[0].put("1", b"whole")
    assert [path.suffix for path in tmp_path.glob("??/*")] == [".part"]


def test_the_oldest_go_from_a_full_cache(tmp_path):
    cache = Cache(tmp_path, 3200)
    for number in range(20):
        cache.put(f"{number}", bytes(400))
        cache.get("0")
    left = sum(path.stat().st_size for path in tmp_path.glob("??/*"))
    assert left <= 3200
    assert cache.get("0") is not None
    assert cache.get("19") is not None
    assert cache.get("1") is None
