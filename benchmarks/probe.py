"""How good are a pretraining's frozen features on MSRC? A linear classifier, trained to convergence, on 100 images.

    python benchmarks/probe.py runs/msrc100/mdp-0-pretrain/weights.safetensors ...

Prints mIoU and pixel accuracy in % on MSRC's validation images, at the decoder's stride, on a fixed sample of pixels.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from mdpseg import weights
from mdpseg.config import DatasetConfig
from mdpseg.data.open import open_dataset
from mdpseg.metrics import ConfusionMatrix
from mdpseg.objectives.pixels import at_size

DATA = Path("../shared/data")
TRAIN = DatasetConfig(name="msrc", reader="folder", path="msrc", subset={"count": 100, "seed": 0})
VAL = DatasetConfig(name="msrc", reader="folder", path="msrc", split="val")


@torch.no_grad()
def features(network, reader, pixels):
    """Decoder features [N, C] and labels [N] of `pixels` labelled pixels an image."""
    source = torch.Generator().manual_seed(0)
    rows, labels = [], []
    for sample in (reader[i] for i in range(len(reader))):
        height, width = (side // 32 * 32 for side in sample.mask.shape)
        maps = network.features(sample.image[None, :, :height, :width])
        targets = at_size(sample.mask[None, :height, :width], (maps.shape[2], maps.shape[3])).flatten()
        labelled = (targets != 255).nonzero()[:, 0]
        chosen = labelled[torch.randperm(len(labelled), generator=source)[:pixels]]
        rows.append(maps[0].flatten(1).T[chosen])
        labels.append(targets[chosen].long())
    return torch.cat(rows), torch.cat(labels)


def main() -> None:
    train, val = open_dataset(TRAIN, DATA), open_dataset(VAL, DATA)
    for path in sys.argv[1:]:
        network = weights.load(Path(path)).build()
        x, y = features(network, train, 300)
        x_val, y_val = features(network, val, 300)
        mean, std = x.mean(0), x.std(0) + 1e-6
        x, x_val = (x - mean) / std, (x_val - mean) / std
        weight = torch.zeros(len(train.classes), x.shape[1], requires_grad=True)
        bias = torch.zeros(len(train.classes), requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

        def loss(x=x, y=y, weight=weight, bias=bias, optimizer=optimizer):
            optimizer.zero_grad()
            value = F.cross_entropy(x @ weight.T + bias, y) + 1e-4 * weight.pow(2).sum()
            value.backward()
            return value

        optimizer.step(loss)
        confusion = ConfusionMatrix(len(train.classes))
        confusion.update((x_val @ weight.detach().T + bias.detach()).argmax(1), y_val)
        print(
            f"{path}  mIoU {100 * confusion.mean_iou():.2f}  accuracy {100 * confusion.pixel_accuracy():.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
