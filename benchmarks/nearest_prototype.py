"""How good are frozen features before any fine-tuning? Each pixel takes the class of its nearest class prototype.

    python benchmarks/nearest_prototype.py runs/trials/learned-0.13/weights.safetensors ...

Prototypes are those of 100 labelled images of the target, of its validation images 60 are judged: what fine-tuning with
`classifier: prototypes` starts from.
"""

import sys
from pathlib import Path

import torch
from trials import DATA, SEED, dataset

TARGETS = ("msrc", "camvid", "facade")


def before_any_step(path, train, val, temperature, config, fabric):
    """mIoU % of a start on ``val`` with its classifier at the prototypes of ``train``, as fine-tuning begins."""
    from mdpseg.data.open import label_space_of
    from mdpseg.engine.evaluate import score_network
    from mdpseg.engine.prototype_classifier import start_at_prototypes
    from mdpseg.first_stage import start_network

    space = label_space_of([train], "class")
    torch.manual_seed(0)
    network = start_network(str(path), None)
    network.set_classifier(space.num_classes)
    start_at_prototypes(network, train, space, temperature, fabric.device)
    return 100 * score_network(network, val, config, fabric, 0).mean_iou


def main() -> None:
    from mdpseg.config import DatasetConfig, EvalConfig
    from mdpseg.data.open import open_dataset
    from mdpseg.engine.runtime import make_fabric

    fabric = make_fabric("cpu", "fp32")
    print(f"| weights | {' | '.join(f'{target} mIoU %' for target in TARGETS)} |\n|{'---|' * (len(TARGETS) + 1)}")
    for path in sys.argv[1:]:
        cells = []
        for target in TARGETS:
            train, val = (
                open_dataset(DatasetConfig.model_validate(dataset(target, split, subset=subset)), DATA)
                for split, subset in (("train", {"count": 100, "seed": 1000 * SEED}), ("val", {"count": 60, "seed": 7}))
            )
            cells.append(f"{before_any_step(path, train, val, 0.07, EvalConfig(), fabric):.2f}")
        print(f"| {Path(path).parent.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
