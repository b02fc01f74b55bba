"""The command line in processes of their own that do not import torch once more: they are forked from one that did."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # as the command does before it imports torch
_PORTS = itertools.count()
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["mdpseg.engine.pretrain", "mdpseg.engine.finetune", "mdpseg.engine.curves"])


def start(
    *arguments: object,
    stderr: Path,
    environment: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> BaseProcess:
    """Runs ``mdpseg ARGUMENTS``; its exit code is in ``.exitcode``, minus the signal's number where one killed it.

    Args:
        *arguments: of the command.
        stderr: file that it adds its messages to.
        environment: variables that are set besides.
        before: what is called in the process first.
    """
    texts = [str(argument) for argument in arguments]
    process = _CONTEXT.Process(target=_run, args=(texts, stderr, environment or {}, before))
    process.start()
    return process


def start_ranks(count: int, *arguments: object, stderr: Path, **more: Any) -> list[BaseProcess]:
    """Runs ``mdpseg ARGUMENTS`` in ``count`` processes of one run, as torchrun would, each with its ``stderr``."""
    port = free_port()
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
    }
    return [
        start(
            *arguments,
            "device=cpu",
            stderr=stderr.with_name(f"{stderr.name}-{rank}"),
            environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            **more,
        )
        for rank in range(count)
    ]


def together(count: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Calls ``function(*arguments)`` in ``count`` processes that have met by gloo, and returns what each returned."""
    port, processes = free_port(), []
    for rank in range(count):
        here, there = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_call, args=(rank, count, port, there, function, arguments))
        process.start()
        there.close()
        processes.append((process, here))
    results = [here.recv() for _, here in processes]
    for process, here in processes:
        here.send("all are done")
        process.join()
    return results


def finish(process: BaseProcess, seconds: float = 120) -> int:
    """Waits for a process and returns its exit code."""
    process.join(seconds)
    assert process.exitcode is not None, "it does not end"
    return process.exitcode


def wait_for(condition: Callable[[], object], process: BaseProcess | None = None, seconds: float = 120) -> None:
    """Waits until ``condition`` holds, or the process ended."""
    end = time.monotonic() + seconds
    while not condition() and (process is None or process.is_alive()):
        assert time.monotonic() < end, "in vain"
        time.sleep(0.0005)


def free_port() -> int:
    """A port that stays free until it is used.

    The system gives ports from 32768 on to any connection, so these may be gone by then; and tests run in several
    processes, so each process takes its own below them.
    """
    own = 20000 + os.getpid() % 100 * 100  # neighbours have neighbouring numbers
    for _ in range(100):
        port = own + next(_PORTS) % 100
        with socket.socket() as listener:
            if listener.connect_ex(("127.0.0.1", port)):  # nobody listens
                return port
    raise OSError(f"no port from {own} to {own + 99} is free")


def without_chance() -> None:
    """One process and several then differ by rounding alone.

    Several draw other pixels to drop than one does; and a last bit on the other side of a ReLU's kink is another
    gradient, which training makes grow tenfold every few steps.
    """
    import torch.nn.functional as F
    from torch import nn

    nn.Dropout2d.forward = lambda _, features: features  # type: ignore[method-assign]
    nn.ReLU.forward = lambda _, features: F.silu(features)  # type: ignore[method-assign]


def _run(arguments: list[str], stderr: Path, environment: dict[str, str], before: Callable[[], None] | None) -> None:
    os.setsid()
    os.environ.update(environment)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    from mdpseg import cli

    multiprocessing.set_start_method("fork", force=True)  # for the loader: as in a process that was not forked
    _one_thread()
    if before is not None:
        before()
    sys.argv = ["mdpseg", *arguments]
    cli.main()


def _call(rank: int, count: int, port: int, results: Any, function: Callable[..., Any], arguments: tuple[Any]) -> None:
    import torch.distributed as dist

    _one_thread()
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=count)
    results.send(function(*arguments))
    results.recv()
    if dist.is_initialized():
        dist.destroy_process_group()


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
