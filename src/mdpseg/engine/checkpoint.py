"""What a run resumes from, and how it is put back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import torch

from mdpseg import ranks
from mdpseg.config import WITHOUT_EFFECT, FinetuneConfig, PretrainConfig, RunConfig
from mdpseg.engine.checkpoint_content import FORMAT, State, check, check_bank, is_layout
from mdpseg.engine.history import history_of, own_stage
from mdpseg.engine.random_state import random_state, seed_everything, set_random_state
from mdpseg.engine.run_folder import RunFolder, find_checkpoint
from mdpseg.errors import UserError
from mdpseg.first_stage import start_network
from mdpseg.history import History
from mdpseg.network import SegmentationNetwork

# The names of all classes, and how many images each dataset has.
DataKey: TypeAlias = tuple[list[str], list[int]]

_OF_STEPS = ("method", "optim", "augment", "sampling", "sampling_alpha", "precision")  # nothing, where no step is left
_FIXED = ("seed", "batch_size", "optim.optimiser", "method.objective")
_MOMENTS: dict[str, set[str]] = {"sgd": set(), "adamw": {"step", "exp_avg", "exp_avg_sq"}}  # no step without them


def start_of(config: PretrainConfig | FinetuneConfig) -> tuple[SegmentationNetwork, History]:
    """The network that a run begins with, without head, and what its weights will have been learned from.

    A run that has a checkpoint does not look at ``init``, which may be gone or be another by now: its weights are
    random here, and :func:`restore` replaces them all.

    Raises:
        UserError: the weights of ``init`` are not as they should be, or the checkpoint names another network than its
            own.
    """
    recipe = config.model_dump(mode="json")
    state = find_checkpoint(config.out, check)[1] if config.resume else None
    kept = State.model_validate(state) if state and state.get("format") == FORMAT else None
    if kept is None or kept.network is None or kept.history is None:
        network = start_network(config.init, config.network, allow_partial=config.init_allow_partial)
        return network, history_of(recipe, network.config.encoder)
    if config.network is None and not is_layout(kept.network, kept.objective):  # before it takes any memory
        raise UserError(
            f"The checkpoint in {config.out} names a network that is not the one it holds; start again in a new folder."
        )
    stages = [*kept.history.stages[:-1], own_stage(recipe)]  # the last one was its own
    network = SegmentationNetwork(config.network or kept.network)
    return network, History(start=kept.history.start, stages=stages)


def run_state(
    objective: torch.nn.Module,
    optimizer: Any,
    step: int,
    run: RunFolder,
    config: RunConfig,
    data: DataKey,
    device: torch.device,
) -> dict[str, Any]:
    """All that the steps after ``step`` depend on; every process of the run must ask for it."""
    return {
        "format": FORMAT,
        "step": step,
        "next_draw": step * config.batch_size,  # images, crops, colours and mixes follow from the draw's number
        "metrics_bytes": run.metrics_bytes(),
        "objective": objective.state_dict(),  # network, momentum network, bank
        "optimizer": optimizer.state_dict(),  # the schedule's rate follows from the step
        "random": ranks.objects(random_state(device)),
        "recipe": _flat(config.model_dump(mode="json")),
        "classes": data[0],
        "sizes": data[1],
        "network": objective.network.config.model_dump(mode="json"),  # type: ignore[union-attr, operator]
        "history": run.history and run.history.model_dump(mode="json"),
        "seconds": run.seconds(),
    }


def restore(
    objective: torch.nn.Module,
    optimizer: Any,
    run: RunFolder,
    config: RunConfig,
    data: DataKey,
    device: torch.device,
) -> int:
    """Puts everything back as the run's last checkpoint has it.

    Args:
        objective: what is trained.
        optimizer: its optimiser.
        run: the run's folder.
        config: the recipe that it is resumed with.
        data: the classes, and how many images each dataset has.
        device: where it is trained.

    Returns:
        The step to go on from; 0 where the run ended before its first checkpoint.

    Raises:
        UserError: the checkpoints are damaged, or belong to another run than the recipe's.
    """
    state = ranks.from_rank(run.load_checkpoint(check) if run.writes else None)
    if state is None:
        run.write_recipe(config)
        run.cut_metrics(0)
        run.log("there is no checkpoint yet: starting at step 0")
        return 0
    recipe = _flat(config.model_dump(mode="json"))
    _check_same_run(state, recipe, data, config)
    changed = _changed(state, recipe)
    in_vain = [name for name in changed if name.split(".")[0] in _OF_STEPS and name in state["recipe"]]
    if in_vain and state["step"] == config.iterations:
        raise UserError(
            f"The run in {config.out} has done all of its {config.iterations} iterations, so it cannot take up "
            f"{', '.join(in_vain)}; resume with more iterations, or start in another folder."
        )
    try:
        objective.load_state_dict(state["objective"])
        check_bank(objective)
        _load_optimizer(optimizer, state["optimizer"], _MOMENTS[recipe["optim.optimiser"]])
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(
            f"The run in {config.out} has another network or method than the recipe; resume with the same, or start in "
            "another folder."
        ) from error
    _check_same_network(state, objective, config)
    run.write_recipe(config)
    run.cut_metrics(state["metrics_bytes"])
    run.began -= state.get("seconds", 0.0)
    run.log(f"resumed at step {state['step']}")
    _tell_changes(state, recipe, changed, data, run)
    _restore_random(state["random"], run, config, device)
    return int(state["next_draw"]) // config.batch_size


def _load_optimizer(optimizer: Any, state: dict[str, Any], needed: set[str]) -> None:
    """Its moments as they were; weight decay and the like as this recipe has them, which may say something else."""
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        shapes = {moment.shape for name, moment in moments.items() if name != "step" and moment is not None}
        if shapes - {parameter.shape} or (moments and needed - moments.keys()):
            raise ValueError("moments of other parameters")
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def _flat(settings: Any, name: str = "") -> dict[str, Any]:
    """{"optim.lr": 0.1, ...}; lists are split too."""
    if isinstance(settings, dict | list) and settings:
        items = settings.items() if isinstance(settings, dict) else enumerate(settings)
        return {key: value for place, part in items for key, value in _flat(part, f"{name}.{place}").items()}
    return {name.removeprefix("."): settings}


def _check_same_run(state: dict[str, Any], recipe: dict[str, Any], data: DataKey, config: RunConfig) -> None:
    if state.get("format") != FORMAT:
        raise UserError(
            f"The checkpoint in {config.out} was written by another version of mdpseg; start again in a new folder."
        )
    _refuse_other(_FIXED, state["recipe"], recipe, config)
    if config.iterations < state["step"]:
        raise UserError(
            f"The run in {config.out} is at step {state['step']}, and the recipe has iterations {config.iterations}; "
            "resume with as many or more, or start in another folder."
        )
    if len(state["classes"]) == len(data[0]) and state["classes"] != data[0]:
        before, now = next(pair for pair in zip(state["classes"], data[0], strict=True) if pair[0] != pair[1])
        raise UserError(
            f"The run in {config.out} has the class {before!r} where the data now has {now!r}; resume with the same "
            "classes in the same order, or start in another folder."
        )


def _check_same_network(state: dict[str, Any], objective: torch.nn.Module, config: RunConfig) -> None:
    """Strides and tags of an encoder change no tensor's name or shape."""
    now = objective.network.config.model_dump(mode="json")  # type: ignore[union-attr, operator]
    kept = {**now, **(state.get("network") or {})}  # version 0.1 kept none
    if now.get("projection") is None:  # it has none, whatever an earlier checkpoint calls that
        kept["projection"] = None
    _refuse_other([f"network.{name}" for name in now], _flat({"network": kept}), _flat({"network": now}), config)


def _refuse_other(names: Iterable[str], before: dict[str, Any], now: dict[str, Any], config: RunConfig) -> None:
    for name in names:
        if before.get(name) != now.get(name):  # a fine-tuning has no method
            raise UserError(
                f"The run in {config.out} has {name} {before.get(name)}, the recipe {now.get(name)}; "
                "resume with the same, or start in another folder."
            )


def _changed(state: dict[str, Any], recipe: dict[str, Any]) -> list[str]:
    """The settings that make the resumed run another one than it would have been."""
    before = state["recipe"]
    names = [name for name in {**before, **recipe} if name.split(".")[0] not in WITHOUT_EFFECT]
    return [name for name in names if before.get(name) != recipe.get(name)]


def _tell_changes(
    state: dict[str, Any], recipe: dict[str, Any], changed: list[str], data: DataKey, run: RunFolder
) -> None:
    if changed:
        told = ", ".join(f"{name} {recipe.get(name)} (before: {state['recipe'].get(name)})" for name in changed)
        run.log(f"other settings from here on: {told}")
    if state["sizes"] != data[1]:
        run.log(f"other images from here on: {data[1]} in the datasets (before: {state['sizes']})")


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
