"""The training loop. It does not know which objective runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import torch
from lightning_fabric import Fabric

from mdpseg import ranks
from mdpseg.config import AugmentConfig, OptimConfig, RunConfig
from mdpseg.data.bad_files import BadFiles
from mdpseg.data.draws import Draws
from mdpseg.data.loader import Reader, batches
from mdpseg.data.share import MixingDraws
from mdpseg.engine.agreement import refuse_disagreement
from mdpseg.engine.batch_norm import even_out_statistics, sync_batchnorm
from mdpseg.engine.checkpoint import restore, run_state
from mdpseg.engine.curves import draw_curves
from mdpseg.engine.finite import FiniteGuard
from mdpseg.engine.optim import learning_rate, make_optimizer, set_learning_rate
from mdpseg.engine.progress import StepProgress
from mdpseg.engine.quick_convolutions import quick_pointwise
from mdpseg.engine.quick_depthwise import quick_depthwise
from mdpseg.engine.random_state import seed_everything
from mdpseg.engine.run_folder import RunFolder
from mdpseg.engine.stopping import StopSignals, ending
from mdpseg.label_space import LabelSpace
from mdpseg.mixing import mix_batch


def train(
    objective: torch.nn.Module,
    readers: Sequence[Reader],
    label_space: LabelSpace,
    draws: Draws,
    run: RunFolder,
    fabric: Fabric,
    config: RunConfig,
    *,
    augmentation: AugmentConfig,
    optim: OptimConfig,
    mixing: MixingDraws | None = None,
    after_step: dict[int, Callable[[int], None]] | None = None,
) -> int:
    """Trains ``objective`` in place, from the run's checkpoint where it is resumed.

    Args:
        objective: objective(batch) -> {"loss": scalar, parts...}, with ``network`` and ``after_step()``.
        readers: datasets, in the order of ``draws.sizes``.
        label_space: encodes their masks.
        draws: which image each number means.
        run: where log, metrics and checkpoints go.
        fabric: device, precision, and the processes of the run.
        config: iterations, batch size and the like.
        augmentation: crops and colours.
        optim: optimiser and schedule.
        mixing: which mixes are drawn.
        after_step: what is called once that many steps are done (evaluation).

    Returns:
        The step that it started from.

    Raises:
        UserError: a file of the data is bad, the loss is not finite, or another process of the run ended.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM, after a checkpoint.
    """
    after_step = after_step or {}
    data = list(label_space.names), [len(reader) for reader in readers]
    refuse_disagreement(config, data)
    plain = objective
    objective, optimizer = _prepare(plain, fabric, config, optim)
    device = fabric.device

    if ranks.rank() > 0:
        seed_everything(config.seed, ranks.rank())  # start weights were the same everywhere; dropout should not be
    start = restore(plain, optimizer, run, config, data, device) if config.resume else 0

    objective.train()
    stream = batches(
        readers,
        label_space,
        draws,
        augmentation,
        start=start,
        end=config.iterations,
        batch_size=config.batch_size,
        workers=config.workers,
        mixing=mixing,
        rank=ranks.rank(),
        ranks=ranks.count(),
        bad_files=BadFiles.of_run(config.on_bad_file, readers, run.path, run.log_from_any),
    )
    guard = FiniteGuard(plain, label_space, run, config, device)
    progress = StepProgress(run, start, config.iterations, config.batch_size)
    with StopSignals() as stop, closing(stream), progress, quick_pointwise(plain), quick_depthwise(plain):
        if start in after_step:  # its checkpoint was written before
            _evaluate(after_step[start], start, plain, stop)
        for done, batch in enumerate(stream, start + 1):
            # learning rate of this step
            rate = learning_rate(done - 1, config.iterations, optim)
            set_learning_rate(optimizer, rate)

            # mix, forward, backward
            guard.remember()
            losses = objective(mix_batch(batch.to(device)))
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(losses["loss"])

            # clip; what is not finite must not reach the weights
            largest = optim.clip or math.inf
            norm = fabric.clip_gradients(objective, optimizer, max_norm=largest, error_if_nonfinite=False)
            guard.check(done, batch, losses, norm)

            # step, momentum network
            optimizer.step()
            plain.after_step()  # type: ignore[operator]
            progress.step(done)

            # log
            last = done == config.iterations
            if last or done % config.log_every == 0:
                values = {name: ranks.mean(value) for name, value in losses.items()}
                speed = progress.report(done, values)
                run.record(step=done, **values, lr=rate, images_per_second=round(speed, 1))

            # checkpoint, and the end where a signal asks for it
            stopping = stop.agreed(device)
            saves = last or done % config.checkpoint_every == 0 or done in after_step
            if saves or stopping:
                with stop.patient():
                    even_out_statistics(plain)
                    run.save_checkpoint(run_state(plain, optimizer, done, run, config, data, device))
                    ranks.objects(None)  # nobody ends before it is written: launchers then kill the others
            if stopping:
                run.log(f"saved after step {done}")
                raise ending(stopping) if run.writes else ranks.leave(128 + stopping)

            # evaluate, draw
            if done in after_step:
                _evaluate(after_step[done], done, plain, stop)
            if saves and run.writes:
                draw_curves(run)
    return start


def _prepare(objective: torch.nn.Module, fabric: Fabric, config: RunConfig, optim: OptimConfig) -> tuple[Any, Any]:
    """The objective as it is called, on its device, and its optimiser."""
    if config.sync_batchnorm:
        objective = sync_batchnorm(objective)
    optimizer = make_optimizer(objective, optim)
    if config.channels_last:
        objective.to(memory_format=torch.channels_last)
    if config.compile:
        objective.network.encoder.compile()  # type: ignore[union-attr]
        objective.network.decoder.compile()  # type: ignore[union-attr]
    prepared: tuple[Any, Any] = fabric.setup(objective, optimizer)
    return prepared


def _evaluate(evaluation: Callable[[int], None], done: int, objective: torch.nn.Module, stop: StopSignals) -> None:
    even_out_statistics(objective)
    with stop.at_once():
        evaluation(done)
    objective.train()
