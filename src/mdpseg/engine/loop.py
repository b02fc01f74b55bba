"""The training loop. It does not know which objective runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric

from mdpseg.config import AugmentConfig, OptimConfig, RunConfig
from mdpseg.data.draws import Draws
from mdpseg.data.loader import MixingDraws, Reader, batches
from mdpseg.engine.curves import draw_curves
from mdpseg.engine.optim import learning_rate, make_optimizer, set_learning_rate
from mdpseg.engine.progress import StepProgress
from mdpseg.engine.run_folder import RunFolder
from mdpseg.errors import UserError
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
) -> None:
    """Trains ``objective`` in place, from the run's checkpoint where it is resumed.

    Args:
        objective: objective(batch) -> {"loss": scalar, parts...}, with ``network`` and ``after_step()``.
        readers: datasets, in the order of ``draws.sizes``.
        label_space: encodes their masks.
        draws: which image each number means.
        run: where log, metrics and checkpoints go.
        fabric: device and precision.
        config: iterations, batch size and the like.
        augmentation: crops and colours.
        optim: optimiser and schedule.
        mixing: which mixes are drawn.
        after_step: what is called once that many steps are done (evaluation).

    Raises:
        UserError: a file of the data is bad, or the loss is not finite.
    """
    after_step = after_step or {}
    optimizer = make_optimizer(objective, optim)
    plain = objective
    if config.channels_last:
        plain.to(memory_format=torch.channels_last)
    if config.compile:
        plain.network.encoder.compile()  # type: ignore[union-attr]
        plain.network.decoder.compile()  # type: ignore[union-attr]
    objective, optimizer = fabric.setup(objective, optimizer)

    start = 0
    if config.resume:
        state = run.load_checkpoint()
        start = _restore(plain, optimizer, state, config, optim)
        run.write_recipe(config)
        run.forget_after(start)
        run.log(f"resumed at step {start}")

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
        mixing=mixing or MixingDraws(),
    )
    with StepProgress(run, start, config.iterations, config.batch_size) as progress:
        for done, batch in enumerate(stream, start + 1):
            # learning rate of this step
            rate = learning_rate(done - 1, config.iterations, optim)
            set_learning_rate(optimizer, rate)

            # mix, forward, backward
            losses = objective(mix_batch(batch.to(fabric.device)))
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(losses["loss"])

            # clip, step, momentum network
            if optim.clip is not None:
                fabric.clip_gradients(objective, optimizer, max_norm=optim.clip, error_if_nonfinite=False)
            optimizer.step()
            plain.after_step()  # type: ignore[operator]
            progress.step(done)

            # log; a checkpoint is only ever written after a finite loss
            last = done == config.iterations
            logs, saves = last or done % config.log_every == 0, last or done % config.checkpoint_every == 0
            if logs or saves:
                values = {name: float(value.detach()) for name, value in losses.items()}
                if not math.isfinite(values["loss"]):
                    raise UserError(
                        f"The loss is {values['loss']} at step {done} (images {', '.join(batch.names[:4])} ...). "
                        "Lower optim.lr, or set optim.clip."
                    )
            if logs:
                speed = progress.report(done, values)
                run.record(step=done, **values, lr=rate, images_per_second=round(speed, 1))

            # evaluate, checkpoint
            if done in after_step:
                after_step[done](done)
                objective.train()
            if saves:
                run.save_checkpoint(_state(plain, optimizer, done, config, optim))
                draw_curves(run)


def _state(
    objective: torch.nn.Module, optimizer: Any, done: int, config: RunConfig, optim: OptimConfig
) -> dict[str, Any]:
    return {
        "step": done,
        "objective": objective.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "seed": config.seed,
        "batch_size": config.batch_size,
        "optimiser": optim.optimiser,
    }


def _restore(
    objective: torch.nn.Module, optimizer: Any, state: dict[str, Any], config: RunConfig, optim: OptimConfig
) -> int:
    wanted = {"seed": config.seed, "batch_size": config.batch_size, "optimiser": optim.optimiser}
    for setting, value in wanted.items():
        if state[setting] != value:
            raise UserError(
                f"The run in {config.out} has {setting} {state[setting]}, the recipe {value}; "
                "resume with the same, or start in another folder."
            )
    try:
        objective.load_state_dict(state["objective"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"The run in {config.out} has another network or method than the recipe; resume with the same, or start in "
            "another folder."
        ) from error
    torch.set_rng_state(state["random"])
    return int(state["step"])
