"""Two network namespaces stand for two machines; torchrun runs on each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import torch

from tests import processes, tiny
from tests.engine.test_many_processes import pretraining, said

ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def machines():
    """Two namespaces, joined by a cable: their names, and each end's."""
    if shutil.which("ip") is None:
        pytest.skip("there is no ip command here")
    names, cables = [[f"mdp{os.getpid()}{end}{side}" for side in "ab"] for end in ("n", "c")]
    commands = [
        *(["netns", "add", name] for name in names),
        ["link", "add", cables[0], "netns", names[0], "type", "veth", "peer", "name", cables[1], "netns", names[1]],
        *(
            ["-n", name, *rest]
            for name, cable, address in zip(names, cables, ADDRESSES, strict=True)
            for rest in (["addr", "add", f"{address}/24", "dev", cable], ["link", "set", cable, "up"])
        ),
        *(["-n", name, "link", "set", "lo", "up"] for name in names),
    ]
    try:
        for command in commands:
            done = ip(*command)
            if done.returncode:
                pytest.skip(f"this system does not let us make network namespaces: {done.stderr.strip()}")
        yield list(zip(names, cables, strict=True))
    finally:
        for name in names:
            ip("netns", "delete", name)


@pytest.mark.slow
def test_a_run_on_two_machines(machines, tmp_path):
    """The command of docs/running.md; the run is that of two processes on one machine, bit for bit."""
    file = tiny.write_recipe(tmp_path / "recipe.yaml", pretraining(tmp_path / "run", iterations=4))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", 2, "--nproc-per-node", 1]
    torchrun += ["--master-addr", ADDRESSES[0], "--master-port", 29577]
    started = [
        subprocess.Popen(
            [
                *("ip", "netns", "exec", name),
                *map(str, [*torchrun, "--node-rank", rank, "-m", "mdpseg", "pretrain", file, "device=cpu"]),
            ],
            env={**os.environ, "GLOO_SOCKET_IFNAME": cable, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=(tmp_path / f"stderr-of-2-{rank}").open("w"),
        )
        for rank, (name, cable) in enumerate(machines)
    ]
    try:
        codes = [process.wait(120) for process in started]
    finally:
        for process in started:
            process.kill()
    assert codes == [0, 0], said(tmp_path, 2)
    assert len(torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["random"]) == 2
    assert "".join(said(tmp_path, 2)).count("done in") == 1

    again = tiny.write_recipe(tmp_path / "again.yaml", pretraining(tmp_path / "again", iterations=4))
    ranks = processes.start_ranks(2, "pretrain", again, stderr=tmp_path / "stderr-again")
    assert [processes.finish(process) for process in ranks] == [0, 0]
    assert tiny.same(tiny.tensors(tmp_path / "run"), tiny.tensors(tmp_path / "again"))
    assert tiny.losses(tmp_path / "run") == tiny.losses(tmp_path / "again")
