"""A batch whose loss was not finite: written to a file, and run again from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.table import Table
from torch import Tensor, nn

from mdpseg import torch_file
from mdpseg.batch import Batch
from mdpseg.config import FinetuneConfig, NetworkConfig, PretrainConfig, RunConfig
from mdpseg.engine.batch_norm import refuse_lone_values
from mdpseg.engine.checkpoint_content import check_bank, check_random, first_fault
from mdpseg.engine.quick_convolutions import quick_pointwise
from mdpseg.engine.quick_depthwise import quick_depthwise
from mdpseg.engine.random_state import set_random_state
from mdpseg.engine.runtime import Device, make_fabric
from mdpseg.errors import UserError
from mdpseg.label_space import UNLABELLED, LabelSpace
from mdpseg.mixing import mix_batch
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.choose import pretraining_objective
from mdpseg.objectives.finetune import Finetune

_FORMAT = "mdpseg-replay-1"


class _Content(BaseModel):
    """What :func:`write_replay` writes."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True)

    kind: str
    recipe: dict[str, Any]
    step: int
    names: list[str]
    parts: dict[str, float]
    objective: dict[str, Tensor]
    random: dict[str, Any]
    batch: dict[str, Any]
    label_space: str
    network: dict[str, Any]


@dataclass(frozen=True)
class Replay:
    """What a replay showed.

    Attributes:
        step: of the run.
        names: "dataset/image id" of each image of the batch.
        recorded: the parts of the loss and the gradient's norm, as the run had them.
        now: the same, as they came out again.
        culprit: the first thing that is not finite, or empty.
    """

    step: int
    names: list[str]
    recorded: dict[str, float]
    now: dict[str, float]
    culprit: str

    def table(self) -> Table:
        """Both beside each other."""
        table = Table("part", "in the run", "now")
        for name, value in self.recorded.items():
            table.add_row(name, f"{value:.6g}", f"{self.now[name]:.6g}" if name in self.now else "")
        return table


def write_replay(
    path: Path, step: int, names: tuple[str, ...], parts: dict[str, float], evidence: dict[str, Any], config: RunConfig
) -> None:
    """Writes what :func:`replay` needs: weights, bank, random states, the batch itself and the recipe; no data."""
    kind = "pretrain" if isinstance(config, PretrainConfig) else "finetune"
    content = {
        "format": _FORMAT,
        "kind": kind,
        "recipe": config.model_dump(mode="json"),
        "step": step,
        "names": list(names),
        "parts": parts,
        **evidence,
    }
    torch_file.write(path, content)


def replay(path: Path, device: Device | None = None) -> Replay:
    """Runs the batch of a replay file forward and backward; on the CPU every bit of the loss comes out as in the run.

    Args:
        path: ``replay-STEP.pt`` of a run's folder.
        device: default: as the recipe says.

    Raises:
        UserError: there is no such file, or it is not one.
    """
    raw = _read(path)
    try:
        content = _Content.model_validate(raw)
        config = (PretrainConfig if content.kind == "pretrain" else FinetuneConfig).model_validate(content.recipe)
        label_space = LabelSpace.from_json(content.label_space)
        network = SegmentationNetwork(NetworkConfig.model_validate(content.network))
        objective = _objective(network, label_space, config)
        objective.load_state_dict(content.objective)
        check_bank(objective)
        check_random(content.random)
        batch = Batch.from_state(content.batch)
        _check_batch(batch, label_space.num_classes, config)
        own = batch.own or len(batch)
        if not config.sync_batchnorm:  # else it was one of many processes, which had more values together
            refuse_lone_values(network, config.augment.crop, own, processes=1)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise UserError(f"{path} is damaged ({fault:.200}); expected a replay-STEP.pt as a run wrote it.") from error
    refuse_lone_values(network, config.augment.crop, own, processes=1)
    fabric = make_fabric(device or config.device, config.precision)
    if config.channels_last:
        objective.to(memory_format=torch.channels_last)
    wrapped = fabric.setup_module(objective).train()
    set_random_state(content.random, fabric.device)

    culprits = _watch(objective)
    with quick_pointwise(objective), quick_depthwise(objective):  # as in training: the same bits
        losses = wrapped(mix_batch(batch.to(fabric.device)))
        culprits += [f"the loss's part {name!r}" for name, value in losses.items() if not value.isfinite()]
        fabric.backward(losses["loss"])
    culprits += [
        f"the gradient of {name}"
        for name, parameter in objective.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]
    gradients = [parameter.grad for parameter in objective.parameters() if parameter.grad is not None]
    now = {name: float(value.detach()) for name, value in losses.items()}
    now["gradient norm"] = float(nn.utils.get_total_norm(gradients))
    return Replay(content.step, content.names, content.parts, now, next(iter(culprits), ""))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"No file at {path}; expected a replay-STEP.pt of a run's folder.")
    try:
        content = torch_file.read(path)
    except PermissionError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); correct its permissions.") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}); expected a replay-STEP.pt.") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise UserError(f"{path} is no replay file ({_FORMAT}); expected a replay-STEP.pt of a run's folder.")
    return content


def _objective(
    network: SegmentationNetwork, label_space: LabelSpace, config: PretrainConfig | FinetuneConfig
) -> nn.Module:
    if isinstance(config, FinetuneConfig):
        return Finetune(network, label_space)
    return pretraining_objective(network, label_space, config.method, unlabelled=_has_unlabelled(config))


def _has_unlabelled(config: PretrainConfig | FinetuneConfig) -> bool:
    return isinstance(config, PretrainConfig) and any(dataset.unlabelled for dataset in config.datasets)


def _check_batch(batch: Batch, classes: int, config: PretrainConfig | FinetuneConfig) -> None:
    """Refuses (ValueError) what no loader makes: mixing, network and loss index with it."""
    count, crop = len(batch.images), config.augment.crop
    datasets = len(config.datasets) if isinstance(config, PretrainConfig) else 1
    for name, dtype, shape, low, high in (
        ("images", torch.uint8, (3, crop, crop), 0, 255),
        ("targets", torch.int64, (crop, crop), UNLABELLED if _has_unlabelled(config) else -1, classes - 1),
        ("datasets", torch.int64, (), 0, datasets - 1),
        ("boxes", torch.int64, (4,), 0, crop),
        ("region_partners", torch.int64, (), 0, count - 1),
        ("lam", torch.float32, (), 0, 1),
        ("pixel_partners", torch.int64, (), 0, count - 1),
    ):
        tensor = getattr(batch, name)
        if not isinstance(tensor, Tensor) or tensor.dtype != dtype or tensor.shape != (count, *shape):
            raise ValueError(f"its batch's {name} should be {dtype} of shape {[count, *shape]}")
        if not ((tensor >= low) & (tensor <= high)).all():
            raise ValueError(f"its batch has {name} outside {low} to {high}")
    own = count if batch.own is None else batch.own
    if not isinstance(own, int) or not 1 <= own <= count:
        raise ValueError(f"its batch has {count} images, and {own} of its own")
    if batch.partner_targets is not None or not isinstance(batch.names, tuple):
        raise ValueError("its batch is mixed already, or has no names")


def _watch(objective: nn.Module) -> list[str]:
    """Collects what is not finite, in the order of the forward pass: weights first, then outputs."""
    culprits = [
        f"the weights {name}" for name, parameter in objective.named_parameters() if not parameter.isfinite().all()
    ]

    def look(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and not output.isfinite().all():
                culprits.append(f"the output of {name}")

        return hook

    for name, module in objective.named_modules():
        if not list(module.children()):
            module.register_forward_hook(look(name))
    return culprits
