"""The README.md of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

import mdpseg
from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.data.loader import Reader
from mdpseg.engine.scores import Scores
from mdpseg.label_space import LabelSpace

_FILES = """## Files

| file | what it is |
|---|---|
| `recipe.yaml` | every setting of this run; `mdpseg {command} recipe.yaml out=NEW` runs it again |
| `log.txt` | what happened, with times |
| `metrics.jsonl` | losses, rate and speed, one line of JSON each |
| `curves.png` | the same as a picture |
| `last.ckpt` | the state to resume from: `mdpseg {command} recipe.yaml --resume` |
| `previous.ckpt` | the state before that, should `last.ckpt` be damaged |
| `weights.safetensors` | the network; its metadata hold architecture, pixel normalisation and classes |
"""


def pretrain_readme(
    config: PretrainConfig,
    label_space: LabelSpace,
    readers: Sequence[Reader],
    mapping: Mapping[str, Sequence[str]] | None,
    seconds: float,
) -> str:
    """What this pretraining was, and what to do next; ``readers`` as they are before ``mapping`` merges them."""
    rows = "\n".join(
        f"| {r.name} | {len(r)} | {len(r.classes) or 'unlabelled'} | {r.catch_all or ''} |" for r in readers
    )
    classes = f"{label_space.num_classes} classes in the concatenated label space."
    if mapping is not None:
        before = sum(len(members) for members in mapping.values())
        merged = "\n".join(f"| {name} | {', '.join(full)} |" for name, full in mapping.items() if full != [name])
        classes = f"""{before} classes, merged by hand into {len(mapping)} (`{config.merge}`):

| merged class | its classes |
|---|---|
{merged}"""
    return f"""# A pretraining by mdpseg {mdpseg.__version__}

Objective `{config.method.objective}`, {config.iterations} iterations of {config.batch_size} images from
`{config.init}`, seed {config.seed}; {seconds:.0f} s with torch {torch.__version__}.

| dataset | images | classes | catch-all |
|---|---|---|---|
{rows}

{classes}

Next: `mdpseg finetune RECIPE init={config.out}/weights.safetensors`

{_FILES.format(command="pretrain")}"""


def finetune_readme(config: FinetuneConfig, reader: Reader, scores: Mapping[int, Scores], seconds: float) -> str:
    """What this fine-tuning was, and how good it got."""
    rows = "\n".join(
        f"| {step} | {100 * s.mean_iou:.2f} | {100 * s.pixel_accuracy:.2f} |" for step, s in sorted(scores.items())
    )
    table = f"| iteration | mIoU % | pixel accuracy % |\n|---|---|---|\n{rows}\n" if scores else "Not evaluated.\n"
    return f"""# A fine-tuning by mdpseg {mdpseg.__version__}

{len(reader)} images of `{reader.name}` ({len(reader.classes)} classes), {config.iterations} iterations of
{config.batch_size} from `{config.init}`, seed {config.seed}; {seconds:.0f} s with torch {torch.__version__}.

{table}
Next: `mdpseg predict {config.out}/weights.safetensors IMAGES... --out FOLDER`

{_FILES.format(command="finetune")}| `scores-N.json` | per-class IoU after N iterations |
"""
