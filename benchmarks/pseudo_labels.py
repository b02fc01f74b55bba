"""How sure are prototypes of pixels that have no label, and how often are they right where they are sure?

    python benchmarks/pseudo_labels.py runs/tables/pretrain-KEY/weights.safetensors

For a pretraining on voc, msrc and camvid: the probability of each pixel's nearest prototype, in the softmax over all
classes that mining takes (`method.pseudo_label_threshold`). For each threshold the share of pixels above it on
photographs of other datasets (ccp, pets) and, with how many are right, on labelled validation images; then which
classes these pixels take.
"""

import sys
from collections.abc import Iterable

import torch
from torch import Tensor
from trials import DATA, TARGETS

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7)
LABELLED, UNLABELLED = ("voc2012", "msrc", "camvid"), ("ccp", "pets")
SURE, IMAGES = 0.3, 40


def sureness(model, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Of each pixel of some validation images: the nearest prototype's probability, its class, the truth (or -1)."""
    from mdpseg.config import DatasetConfig
    from mdpseg.data.open import open_dataset

    known, space = model.prototypes, model.prototypes.label_space
    role = TARGETS.get(name, name)
    content = {"name": role, "reader": "folder", "path": name, "split": "val", "subset": {"count": IMAGES, "seed": 7}}
    reader = open_dataset(DatasetConfig.model_validate(content), DATA)
    found = []
    for index in range(len(reader)):
        sample = reader[index]
        embeddings = model.embedder(sample.image)  # [D, h, w]
        rows = embeddings.flatten(1).T  # [h * w, D]
        logits = (rows @ known.vectors.T / known.temperature).masked_fill(~known.present, float("-inf"))
        probability, nearest = logits.softmax(1).max(1)
        truth = torch.full(embeddings.shape[1:], -1)
        if role in space.datasets:
            half = model.embedder.stride // 2
            centres = space.encode(sample.mask, role)[half :: 2 * half, half :: 2 * half]
            height, width = centres.shape  # the embeddings' rows and columns behind it lie outside the image
            truth[:height, :width] = centres[: truth.shape[0], : truth.shape[1]]
        found.append((probability, nearest, truth.flatten()))
    return tuple(map(torch.cat, zip(*found, strict=True)))


def line(cells: Iterable[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    from mdpseg import SegmentationModel

    for path in sys.argv[1:]:
        model = SegmentationModel.from_run(path, "cpu")
        space, names = model.prototypes.label_space, (*UNLABELLED, *LABELLED)
        classes = [f"{dataset}/{name}" for dataset in space.datasets for name in space.class_names(dataset)]
        seen = {name: sureness(model, name) for name in names}
        print(f"\n{path}: % of pixels above a threshold (of the labelled of these, % right)\n")
        line(["threshold", *names])
        line(["---"] * (1 + len(names)))
        for threshold in THRESHOLDS:
            cells = [f"{threshold}"]
            for name in names:
                probability, nearest, truth = seen[name]
                above = probability > threshold
                judged = above & (truth >= 0)
                right = f" ({100 * (nearest == truth)[judged].float().mean():.0f})" if judged.any() else ""
                cells.append(f"{100 * above.float().mean():.2f}{right}")
            line(cells)
        cells = [f"most often, above {SURE}"]
        for name in names:
            probability, nearest, _ = seen[name]
            counts = torch.bincount(nearest[probability > SURE], minlength=len(classes)) / len(nearest)
            shares, ids = counts.topk(2)
            cells.append(", ".join(f"{classes[i]} {100 * share:.1f} %" for share, i in zip(shares, ids, strict=True)))
        line(cells)


if __name__ == "__main__":
    main()
