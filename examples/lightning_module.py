"""MDP as a LightningModule: Lightning's Trainer loops, mdpseg's objective learns.

pip install lightning && python examples/lightning_module.py
"""

from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mdpseg import LabelSpace
from mdpseg.batch import Batch
from mdpseg.config import DatasetConfig, MethodConfig, NetworkConfig
from mdpseg.data.open import open_dataset
from mdpseg.mixing import mix_batch, region_box
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.mdp import MDP


class Union(Dataset[tuple[Tensor, Tensor, int]]):
    """Images of several datasets with global ids."""

    def __init__(self, names: tuple[str, ...] = ("coarse", "fine"), count: int = 64) -> None:
        toys = [DatasetConfig(name=name, reader="toy", world=name, size=64, count=count) for name in names]
        self.parts, self.names, self.count = [open_dataset(toy) for toy in toys], names, count
        self.space = LabelSpace.concatenate({n: part.classes for n, part in zip(names, self.parts, strict=True)})

    def __len__(self) -> int:
        return len(self.parts) * self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        dataset, image = divmod(index, self.count)
        sample = self.parts[dataset][image]
        return sample.image, self.space.encode(sample.mask, self.names[dataset]), dataset


class Pretraining(L.LightningModule):
    """Loss and momentum network are the objective's business."""

    def __init__(self, space: LabelSpace, network: NetworkConfig, method: MethodConfig) -> None:
        super().__init__()
        self.objective, self.losses = MDP(SegmentationNetwork(network), space, method), list[float]()

    def training_step(self, batch: list[Tensor]) -> Tensor:
        images, targets, datasets = batch
        count, _, height, width = images.shape
        boxes = [region_box(height, width, lam) for lam in torch.rand(count).tolist()]
        whole, shuffled = torch.ones(count), torch.randperm(count)  # whole: no blending
        batch = Batch(images, targets, datasets, torch.tensor(boxes), shuffled, whole, torch.arange(count))
        mixed = mix_batch(batch.to(images.device))
        parts = self.objective(mixed)
        self.log_dict({name: value.detach() for name, value in parts.items()})
        self.losses.append(float(parts["loss"].detach()))
        return parts["loss"]

    def on_train_batch_end(self, *_: Any) -> None:
        self.objective.after_step()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 2e-3)


def train(steps: int = 40, **trainer: Any) -> list[float]:
    L.seed_everything(0, verbose=False)
    data = Union()
    network = NetworkConfig(encoder="test_efficientnet", decoder="fpn", decoder_channels=32, embedding_dim=32)
    module = Pretraining(data.space, network, MethodConfig())
    loader = DataLoader(data, batch_size=8, shuffle=True)
    L.Trainer(max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False, **trainer).fit(module, loader)
    return module.losses


if __name__ == "__main__":
    history = train()
    print(f"loss {history[0]:.2f} -> {history[-1]:.2f}")
