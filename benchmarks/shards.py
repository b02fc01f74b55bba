"""Reading by number: files, shards on the same disk, shards over http from this machine, with and without a cache.

    python -m benchmarks.shards ../shared/data/voc2012

The four are read in turns, every fourth image, five times; medians of milliseconds an image with its mask. The http
server is Python's, in the same process.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests import web_server

from mdpseg.data.readers import Folder
from mdpseg.data.shards.cache import Cache
from mdpseg.data.shards.pack import pack
from mdpseg.data.shards.reader import Shards
from mdpseg.data.shards.store import RemoteShards

TURNS, STEP = 5, 4


def main(root: Path) -> None:
    files = Folder(root / "images" / "val", root / "masks" / "val", root / "classes.txt", name="mine")
    with tempfile.TemporaryDirectory() as folder, web_server.serving(Path(folder)) as server:
        pack(files, Path(folder), workers=0)
        cache = Cache(Path(folder) / "cache", 10**10)
        readers = {
            "files": files,
            "shards": Shards(folder, name="mine"),
            "http": Shards(RemoteShards(server.url, "mine"), name="mine"),
            "http, cached": Shards(RemoteShards(server.url, "mine", cache), name="mine"),
        }
        places = range(0, len(files), STEP)
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for turn in range(-1, TURNS):  # the first one warms up
            for name, reader in readers.items():
                begin = time.perf_counter()
                for place in places:
                    reader[place]
                if turn >= 0:
                    seconds[name].append((time.perf_counter() - begin) / len(places))
    for name, values in seconds.items():
        low, high = min(values) * 1e3, max(values) * 1e3
        print(f"{name:<14} {statistics.median(values) * 1e3:6.1f} ms ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
