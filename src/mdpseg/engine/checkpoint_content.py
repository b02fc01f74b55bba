"""Whether a file holds what a run wrote; looked at before anything of it is put back."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from mdpseg.bank import RegionBank
from mdpseg.config import NetworkConfig
from mdpseg.engine.random_state import random_state, set_random_state
from mdpseg.history import History
from mdpseg.network import SegmentationNetwork

FORMAT = 4
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Optimizer(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    state: dict[int, dict[str, Tensor | None]]
    param_groups: list[dict[str, Any]]


class State(BaseModel):
    """What :func:`mdpseg.engine.checkpoint.run_state` gives."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True)

    step: _Count
    next_draw: _Count
    metrics_bytes: _Count
    objective: dict[str, Tensor]
    optimizer: Annotated[_Optimizer, Field(strict=False)]
    random: list[dict[str, Any]]
    recipe: dict[str, str | bool | int | float | list[Any] | dict[str, Any] | None]
    classes: list[str]
    sizes: list[int]
    network: Annotated[NetworkConfig, Field(strict=False)] | None = None  # version 0.1 kept neither of these
    history: Annotated[History, Field(strict=False)] | None = None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


def check(state: Any) -> None:
    """Refuses (ValueError) what is no state of a run; what another version made is told apart later."""
    if not isinstance(state, dict) or not isinstance(state.get("format", 0), int):
        raise ValueError("it holds no state of a run")
    if state.get("format") != FORMAT:
        return
    try:
        found = State.model_validate(state)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    for states in found.random:
        check_random(states)


def is_layout(network: NetworkConfig, objective: dict[str, Tensor]) -> bool:
    """Whether these are the tensors of that network, which is laid out without memory."""
    shapes = {name: tensor.shape for name, tensor in objective.items()}
    with torch.device("meta"):
        body = SegmentationNetwork(network).state_dict()
    return all(shapes.get(f"network.{name}") == tensor.shape for name, tensor in body.items())


def first_fault(error: ValidationError) -> str:
    """What is wrong with a file's content, in a few words."""
    fault = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, fault["loc"])) or "content"
    return f"its {where:.80} is {'missing' if fault['type'] == 'missing' else 'not that of a run'}"


def check_bank(objective: torch.nn.Module) -> None:
    """Refuses (ValueError) classes in a bank's state that there are not: the next push would index with them."""
    bank = getattr(objective, "bank", None)
    if isinstance(bank, RegionBank) and not ((bank.classes >= -1) & (bank.classes < bank.num_classes)).all():
        raise ValueError("its bank holds classes that there are not")


def check_random(state: Any) -> None:
    """Refuses (ValueError) what :func:`random_state` did not give: sets it, then this process's own again."""
    cpu = torch.device("cpu")
    own = random_state(cpu)
    try:
        set_random_state(state, cpu)
        fits = state["device"] is None or isinstance(state["device"], Tensor)
        fits = fits and 0 <= state["numpy"]["state"]["pos"] <= 624  # numpy itself would read what lies behind its key
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        fits = False
    finally:
        set_random_state(own, cpu)
    if not fits:
        raise ValueError("its random is not that of a run")
