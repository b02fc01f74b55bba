"""A loss or gradient that is not finite stops the run before it reaches the weights, and leaves a file to replay it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mdpseg import ranks
from mdpseg.batch import Batch
from mdpseg.config import RunConfig
from mdpseg.engine.random_state import random_state
from mdpseg.engine.replay import write_replay
from mdpseg.engine.run_folder import RunFolder
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace

_SHOWN = 16  # names in the message; the file has all


class FiniteGuard:
    """Remembers what a step changes before its loss is known: the bank, running statistics, random states.

    Args:
        objective: what is trained, on its device.
        label_space: its classes.
        run: where the replay file goes.
        config: the run's recipe.
        device: where it is trained.
    """

    def __init__(
        self,
        objective: torch.nn.Module,
        label_space: LabelSpace,
        run: RunFolder,
        config: RunConfig,
        device: torch.device,
    ) -> None:
        self.objective, self.label_space, self.run, self.config, self.device = (
            objective,
            label_space,
            run,
            config,
            device,
        )
        saved = objective.state_dict()
        self.buffers = {name: buffer for name, buffer in objective.named_buffers() if name in saved}
        self.before = {name: buffer.clone() for name, buffer in self.buffers.items()}
        self.random: dict[str, Any] = {}

    def remember(self) -> None:
        """Call it before the forward pass."""
        torch._foreach_copy_(list(self.before.values()), list(self.buffers.values()))
        self.random = random_state(self.device)

    def check(self, step: int, batch: Batch, losses: dict[str, Tensor], gradient_norm: Tensor) -> None:
        """Call it before the optimiser's step, with the batch as it was before it was mixed.

        Raises:
            UserError: the loss or the gradient is not finite, in any process of the run.
        """
        numbers = torch.stack([losses["loss"].detach().float(), gradient_norm.float()])  # one wait for the device
        finite = ranks.rows(numbers.isfinite()[None]).all(1).tolist()
        if all(finite):
            return
        parts = {name: float(value.detach()) for name, value in losses.items()}
        parts["gradient norm"] = float(gradient_norm)
        found = step, batch.names, parts, self._evidence(batch)
        step, names, parts, evidence = ranks.from_rank(found, _first_cause(ranks.objects(parts["loss"])))
        file = self.run.path / f"replay-{step}.pt"
        if self.run.writes:
            write_replay(file, step, names, parts, evidence, self.config)
        ranks.objects(None)  # nobody ends before the file is written
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        if ranks.count() > 1 and math.isfinite(parts["loss"]):  # the gradient is the mean of all processes'
            shown += f", or those of another of {ranks.count()} processes"
        values = ", ".join(f"{name} {value:.4g}" for name, value in parts.items() if name != "loss")
        if not self.run.writes:
            raise ranks.leave(2)  # one message, not one a process
        raise UserError(
            f"The loss is {parts['loss']:.4g} at step {step} ({values}; images {shown}). Lower optim.lr, or set "
            f"optim.clip; `mdpseg replay {file}` runs this batch again and names the first layer that is not finite."
        )

    def _evidence(self, batch: Batch) -> dict[str, Any]:
        return {
            "objective": {
                name: tensor.cpu() for name, tensor in {**self.objective.state_dict(), **self.before}.items()
            },
            "random": self.random,
            "batch": batch.to(torch.device("cpu")).state(),
            "label_space": self.label_space.to_json(),
            "network": self.objective.network.config.model_dump(mode="json"),  # type: ignore[union-attr, operator]
        }


def _first_cause(losses: list[float]) -> int:
    """The first process whose own loss is not finite; its neighbours only have its gradient."""
    return next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), 0)
