"""Every labelled pixel against prototypes or regions, beside ContrastiveSeg's 1,024 anchors against a pixel memory.

    python benchmarks/contrastiveseg.py [--rounds 3] [--quick]

ContrastiveSeg (arXiv 2101.11939) keeps 5,000 entries a class and contrasts up to 1,024 anchors of a batch with all of
them. Written out plainly here: at 342 classes its logits are 1,024 x 1,710,000. One such matrix is 7 GB and several
are held, so it runs with fewer anchors, and time and memory beyond the memory bank are scaled by the anchors' number (a
row each). The choice of anchors and the writing of entries are not counted, in its favour.
"""

from functools import partial

import region_loss
import torch
import torch.nn.functional as F
from measure import arguments, compare, finish, peak_memory, ratio_row
from prototype_loss import TAU, inputs, ours, taken
from torch import Tensor

ANCHORS, CLASSES, DIM = 1024, 342, 128


def contrastiveseg(anchors: Tensor, anchor_classes: Tensor, memory: Tensor) -> object:
    """The published loss: log-probability of each positive, against it and all negatives.

    Args:
        anchors: [A, D].
        anchor_classes: int64 [A].
        memory: [C, entries, D], a queue for each class.
    """
    entries = memory.flatten(0, 1)  # [C * entries, D]
    entry_classes = torch.arange(len(memory)).repeat_interleave(memory.shape[1])
    positive = (anchor_classes[:, None] == entry_classes[None]).float()  # [A, C * entries]
    logits = anchors @ entries.T / TAU
    logits = logits - logits.max(1, keepdim=True).values.detach()
    exponential = logits.exp()
    negatives = (exponential * (1 - positive)).sum(1, keepdim=True)
    log_probability = logits - torch.log(exponential + negatives)
    (-(positive * log_probability).sum(1) / positive.sum(1)).mean().backward()
    return taken(anchors)


def main() -> None:
    given = arguments(__doc__, rounds=3)
    queue, few, pixels, entries = (50, 32, 2048, 400) if given.quick else (5000, 32, 262_144, 10_560)
    torch.manual_seed(0)
    memory = F.normalize(torch.randn(CLASSES, queue, DIM), dim=2)
    anchors = F.normalize(torch.randn(few, DIM), dim=1).requires_grad_()
    theirs = partial(contrastiveseg, anchors, torch.randint(0, CLASSES, (few,)), memory)
    prototypes = partial(ours, *inputs(pixels, CLASSES, DIM))
    regions = partial(region_loss.ours, *region_loss.inputs(pixels // 4, entries, CLASSES, DIM))

    scale = ANCHORS / few
    room = [peak_memory(theirs) * scale + memory.nbytes / 1e6]
    seconds = compare({"theirs": theirs, "prototypes": prototypes, "regions": regions}, given.rounds)
    slow = [scale * second for second in seconds["theirs"]]
    against = f"ContrastiveSeg, {ANCHORS:,} anchors x {CLASSES * queue:,} ({few} anchors measured, x {scale:.0f})"
    what = f"pixel-to-prototype, {pixels:,} pixels x {CLASSES}"
    other = f"pixel-to-region, {pixels // 4:,} pixels x {entries:,}"
    bank = entries * DIM * 4 / 1e6
    rows = [
        ratio_row(what, against, seconds["prototypes"], slow, "at least 1"),
        ratio_row(f"{what}: memory", against, [peak_memory(prototypes) + bank], room, "at least 1", "MB"),
        ratio_row(other, against, seconds["regions"], slow),
        ratio_row(f"{other}: memory", against, [peak_memory(regions) + bank], room, "", "MB"),
    ]
    finish("contrastiveseg", rows, given.quick)


if __name__ == "__main__":
    main()
