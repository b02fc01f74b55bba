"""MDP in a bare PyTorch loop: your network and your data; label space, bank and losses from mdpseg.

python examples/bare_loop.py
"""

import torch
import torch.nn.functional as F
from torch import nn

from mdpseg import LabelSpace
from mdpseg.bank import RegionBank, region_means
from mdpseg.config import DatasetConfig
from mdpseg.data.open import open_dataset
from mdpseg.losses import pixel_to_prototype, sparse_coding
from mdpseg.mixing import region_box, region_mix


def train(steps: int = 60, batch: int = 4, dim: int = 32, tau: float = 0.07) -> list[float]:
    torch.manual_seed(0)
    # any data: images uint8 [3, H, W], masks of local ids [H, W], one label set a dataset
    toys = [DatasetConfig(name=name, reader="toy", world=name, size=64, count=64) for name in ("coarse", "fine")]
    data = {toy.name: open_dataset(toy) for toy in toys}
    space = LabelSpace.concatenate({name: dataset.classes for name, dataset in data.items()})
    draws = [(name, index) for name in data for index in range(64)]
    # any network: [B, 3, H, W] -> [B, D, h, w]
    network = nn.Sequential(nn.Conv2d(3, 32, 7, 4, 3), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU())
    network.append(nn.Conv2d(64, dim, 1))
    bank, denominator = RegionBank(512, dim, space.num_classes), space.denominator("own_dataset")
    optimizer, losses = torch.optim.AdamW(network.parameters(), 2e-3), []
    for _ in range(steps):
        drawn = [draws[i] for i in torch.randint(len(draws), (batch,)).tolist()]
        samples = [(data[name][index], name) for name, index in drawn]
        images = torch.stack([sample.image for sample, _ in samples])  # [B, 3, H, W]
        targets = torch.stack([space.encode(sample.mask, name) for sample, name in samples])  # [B, H, W]
        boxes = torch.tensor([region_box(64, 64, lam) for lam in torch.rand(batch).tolist()])
        images, targets = region_mix(images, targets, boxes, torch.randperm(batch))

        embeddings = F.normalize(network(images / 255 - 0.5), dim=1)  # [B, D, h, w]
        labels = targets[:, 2::4, 2::4]  # at the embeddings' stride, [B, h, w]
        bank.push(*region_means(embeddings.detach(), labels, space.num_classes))
        prototypes, present = bank.prototypes()  # [K, D], [K]
        pixels = embeddings.permute(0, 2, 3, 1).flatten(0, 2), labels.flatten()  # [N, D], [N]
        contrast = pixel_to_prototype(*pixels, prototypes, present, tau, denominator=denominator)
        loss = contrast + 0.1 * sparse_coding(*pixels, prototypes, present, tau, 3, denominator=denominator)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


if __name__ == "__main__":
    history = train()
    print(f"loss {history[0]:.2f} -> {history[-1]:.2f}")
