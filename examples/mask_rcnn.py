"""An encoder pretrained with mdpseg becomes the backbone of torchvision's Mask R-CNN, and trains two steps.

python examples/mask_rcnn.py RUN        # the folder of a run whose encoder is one of torchvision's ResNets, not dilated
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from mdpseg.errors import UserError
from mdpseg.export import export
from mdpseg.export.source import open_source


def build(run: Path, num_classes: int) -> MaskRCNN:
    """Mask R-CNN over the run's encoder, with a feature pyramid that is new.

    Raises:
        UserError: torchvision has no such encoder, or the run's decoder had it dilated.
    """
    file = export(run, "torchvision").path
    source = open_source(run)
    if source.stride < 32:  # the tensors would load all the same
        raise UserError(
            f"Decoder {source.network.config.decoder} has {source.encoder} dilated, and Mask R-CNN's pyramid wants "
            "maps of strides 4, 8, 16 and 32, for which its weights were not trained; pretrain with a decoder that does"
            " not dilate, such as fpn."
        )
    name = source.encoder.split(".")[0]  # timm's: the architecture, as torchvision calls it, and the weights' tag
    backbone = resnet_fpn_backbone(backbone_name=name, weights=None, trainable_layers=5)
    state = torch.load(file, weights_only=True)
    backbone.body.load_state_dict(state)  # strict: every tensor finds its place, and every place its tensor
    return MaskRCNN(backbone, num_classes, min_size=96, max_size=160)


def squares(count: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Images with one bright square each, and its box, label and mask."""
    generator = torch.Generator().manual_seed(0)
    images, targets = [], []
    for _ in range(count):
        image, mask = 0.3 * torch.rand(3, 96, 128, generator=generator), torch.zeros(1, 96, 128, dtype=torch.uint8)
        top, left = (int(torch.randint(60, (1,), generator=generator)) for _ in range(2))
        image[:, top : top + 32, left : left + 32] += 0.6
        mask[:, top : top + 32, left : left + 32] = 1
        box = torch.tensor([[left, top, left + 32, top + 32]], dtype=torch.float32)
        images.append(image)
        targets.append({"boxes": box, "labels": torch.tensor([1]), "masks": mask})
    return images, targets


def main(run: Path) -> list[float]:
    """Trains two steps and returns their losses."""
    torch.manual_seed(0)
    model = build(run, num_classes=2).train()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.005, momentum=0.9)
    losses = []
    for step in range(2):
        loss = sum(model(*squares(2)).values())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # the new pyramid's first gradients are large
        optimiser.step()
        losses.append(float(loss.detach()))
        print(f"step {step + 1}: loss {losses[-1]:.3f}")
    return losses


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
