"""What a run resumes from, and how it is put back."""

from __future__ import annotations

from typing import Any

import torch

from mdpseg import ranks
from mdpseg.config import OptimConfig, RunConfig
from mdpseg.engine.random_state import random_state, seed_everything, set_random_state
from mdpseg.engine.run_folder import RunFolder
from mdpseg.errors import UserError

_FORMAT = 2


def run_state(
    objective: torch.nn.Module,
    optimizer: Any,
    step: int,
    run: RunFolder,
    config: RunConfig,
    optim: OptimConfig,
    device: torch.device,
) -> dict[str, Any]:
    """All that the steps after ``step`` depend on; every process of the run must ask for it."""
    return {
        "format": _FORMAT,
        "step": step,
        "next_draw": step * config.batch_size,  # images, crops, colours and mixes follow from the draw's number
        "metrics_bytes": run.metrics_bytes(),
        "objective": objective.state_dict(),  # network, momentum network, bank
        "optimizer": optimizer.state_dict(),
        "schedule": {
            "iterations": config.iterations,
            **optim.model_dump(mode="json"),
        },  # the rate follows from the step
        "random": ranks.objects(random_state(device)),
        "seed": config.seed,
        "batch_size": config.batch_size,
    }


def restore(
    objective: torch.nn.Module,
    optimizer: Any,
    run: RunFolder,
    config: RunConfig,
    optim: OptimConfig,
    device: torch.device,
) -> int:
    """Puts everything back as the run's last checkpoint has it.

    Returns:
        The step to go on from; 0 where the run ended before its first checkpoint.

    Raises:
        UserError: the checkpoints are damaged, or belong to another run than the recipe's.
    """
    state = ranks.from_rank(run.load_checkpoint() if run.writes else None)
    if state is None:
        run.write_recipe(config)
        run.cut_metrics(0)
        run.log("there is no checkpoint yet: starting at step 0")
        return 0
    _check_same_run(state, config, optim)
    try:
        objective.load_state_dict(state["objective"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"The run in {config.out} has another network or method than the recipe; resume with the same, or start in "
            "another folder."
        ) from error
    run.write_recipe(config)
    run.cut_metrics(state["metrics_bytes"])
    run.log(f"resumed at step {state['step']}")
    _tell_other_schedule(state["schedule"], run, config, optim)
    _restore_random(state["random"], run, config, device)
    return int(state["next_draw"]) // config.batch_size


def _check_same_run(state: dict[str, Any], config: RunConfig, optim: OptimConfig) -> None:
    if state.get("format") != _FORMAT:
        raise UserError(
            f"The checkpoint in {config.out} was written by another version of mdpseg; start again in a new folder."
        )
    has = {**state, "optimiser": state["schedule"]["optimiser"]}
    wanted = {"seed": config.seed, "batch_size": config.batch_size, "optimiser": optim.optimiser}
    for setting, value in wanted.items():
        if has[setting] != value:
            raise UserError(
                f"The run in {config.out} has {setting} {has[setting]}, the recipe {value}; "
                "resume with the same, or start in another folder."
            )


def _tell_other_schedule(before: dict[str, Any], run: RunFolder, config: RunConfig, optim: OptimConfig) -> None:
    now = {"iterations": config.iterations, **optim.model_dump(mode="json")}
    changed = [f"{name} {now[name]} (before: {before.get(name)})" for name in now if now[name] != before.get(name)]
    if changed:
        run.log(f"another schedule from here on: {', '.join(changed)}")


def _restore_random(states: list[dict[str, Any]], run: RunFolder, config: RunConfig, device: torch.device) -> None:
    if len(states) != ranks.count():
        run.log(
            f"resumed by {ranks.count()} processes, before there were {len(states)}: images, mixes, means and bank are "
            "those of before; dropout, batch statistics of each process and the last bits of sums are not"
        )
    if ranks.rank() < len(states):
        set_random_state(states[ranks.rank()], device)
    else:
        seed_everything(config.seed, ranks.rank())
