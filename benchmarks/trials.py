"""Trials on a seed that no reported row uses: what the small preset's settings were chosen by.

    python benchmarks/trials.py TRIAL... [--classifier random --head-lr 10] [--lr 0.02 --warmup 0] ...  # to trials.csv
    python benchmarks/trials.py --show

A trial pretrains once (20,000 image passes, runs/trials/TRIAL) and fine-tunes on 100 images of each target, twice with
other images. Fine-tuning stops after 30 of its 300 iterations unless --late is given.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest.mock import patch

from trial_changes import centred_projections, cross_entropy_in_the_encoder, several_prototypes, shared_rows

HERE = Path(__file__).parent
RESULTS, RUNS, DATA = HERE / "trials.csv", HERE.parent / "runs/trials", HERE.parent.parent / "shared/data"
FIELDS = ["trial", "classifier", "head_lr", "lr", "warmup", "target", "draw", "early", "late", "seed"]
SEED = 100  # unless another one is asked for; no reported row has it
TARGETS = {"voc2012": "voc", "msrc": "msrc", "camvid": "camvid", "facade": "facade"}
NETWORK = {"encoder": "tf_efficientnet_lite0", "decoder": "fpn", "decoder_channels": 64, "embedding_dim": 128}
SUPERVISED = ["method.objective=supervised", "optim.clip=5"]
PAPER = ["method.scheme=mdp-paper", "method.momentum=0.99", "optim.clip=5", "network.projection=mlp"]
BANK = ["method.prototypes=bank", "method.denominator=no_lookalikes"]
LEARNED = ["method.prototypes=learned", "method.denominator=own_dataset"]
ENCODER = "-encoder"  # behind a trial's name: of that pretraining the encoder alone is transferred
SHARED = "-shared"  # behind a trial's name: classes of one name share their row in the classifiers
SEVERAL = "-several"  # behind a trial's name: each class has several prototypes
BOTH = "-both"  # behind a trial's name: cross-entropy on the encoder's maps, too, not the contrast alone
DEEP = "method.auxiliary_weight=0.4"
PIXELS = ["method.bank=none", "optim.lr=0.13"]
RATES = (
    ("supervised", SUPERVISED, ("0.1", "0.2", "0.4")),
    ("multihead", ["method.objective=multihead", "optim.clip=5"], ("0.1", "0.2", "0.4")),
    ("paper", PAPER, ("0.05", "0.1", "0.2")),
    ("ours", LEARNED, ("0.065", "0.13", "0.26")),
)
IMAGENET_RATES = ("0.01", "0.02", "0.05", "0.1", "0.13", "0.2")
# Settings beside the defaults; None: no pretraining.
TRIALS: dict[str, list[str] | None] = {
    "scratch": None,
    "imagenet": None,
    **{f"supervised-{rate}": [*SUPERVISED, f"optim.lr={rate}"] for rate in ("0.05", "0.1", "0.2")},
    "paper-0.05": [*PAPER, "optim.lr=0.05", "method.bank_size=1024"],
    "paper-0.1": [*PAPER, "optim.lr=0.1"],
    "paper-0.1-centred": [*PAPER, "optim.lr=0.1"],
    # lags as short beside these 1,250 steps as the published ones beside 100 epochs of two large datasets, or nearly
    "paper-0.1-bank-256": [*PAPER, "optim.lr=0.1", "method.momentum=0", "method.bank_size=256"],
    **{f"bank-{rate}": [*BANK, f"optim.lr={rate}"] for rate in ("0.07", "0.13")},
    "bank-0.13-half-supervised": [*BANK, "optim.lr=0.13", "method.supervised_share=0.5"],
    **{f"learned-{rate}": [*LEARNED, f"optim.lr={rate}"] for rate in ("0.07", "0.13")},
    **{f"imagenet-supervised-{r}": ["init=imagenet", *SUPERVISED, f"optim.lr={r}"] for r in IMAGENET_RATES},
    **{f"imagenet-learned-{r}": ["init=imagenet", *LEARNED, f"optim.lr={r}"] for r in IMAGENET_RATES},
    **{f"imagenet-paper-{r}": ["init=imagenet", *PAPER, f"optim.lr={r}"] for r in IMAGENET_RATES},
    "learned-0.13-no-pull": [*LEARNED, "optim.lr=0.13", "method.sparse_coding=off"],
    "imagenet-learned-0.05-no-pull": ["init=imagenet", *LEARNED, "optim.lr=0.05", "method.sparse_coding=off"],
    **{f"imagenet-{one}{ENCODER}": [] for one in ("paper-0.02", "supervised-0.05")},
    "imagenet-bank-0.13": ["init=imagenet", *BANK, "optim.lr=0.13"],
    # the same effort for all: the rate of the small preset, half of it and twice
    **{f"rate-{method}-{rate}": [*settings, f"optim.lr={rate}"] for method, settings, rates in RATES for rate in rates},
    # pixels of the same image in the place of prototypes; the cross-entropy's share is the default, or less
    "pixels-0.13": PIXELS,
    "pixels-0.13-half-supervised": [*PIXELS, "method.supervised_share=0.5"],
    **{f"ours-0.13{ending}": [*LEARNED, "optim.lr=0.13"] for ending in (SHARED, SEVERAL)},
    f"supervised-0.2{SHARED}": [*SUPERVISED, "optim.lr=0.2"],
    # losses on the encoder's maps as well: at the rates of the small preset, and at half of them
    **{f"ours-{rate}-deep": [*LEARNED, f"optim.lr={rate}", DEEP] for rate in ("0.065", "0.13")},
    f"ours-0.13-deep{BOTH}": [*LEARNED, "optim.lr=0.13", DEEP],
    **{f"supervised-{rate}-deep": [*SUPERVISED, f"optim.lr={rate}", DEEP] for rate in ("0.1", "0.2")},
}


def dataset(folder: str, split: str, **more: object) -> dict[str, object]:
    return {"name": TARGETS[folder], "reader": "folder", "path": folder, "split": split, **more}


def pretraining(out: Path, datasets: list[dict[str, object]], iterations: int, seed: int = SEED) -> dict[str, object]:
    """The recipe that all trials share; the method is in their overrides."""
    return {
        "data_root": str(DATA),
        "out": str(out),
        "datasets": datasets,
        "iterations": iterations,
        "network": NETWORK,
        "augment": {"crop": 96},
        "workers": 0,
        "seed": seed,
    }


def first_steps(count: int) -> AbstractContextManager[object]:
    """While it lasts, runs end after so many steps of their schedule."""
    from mdpseg.engine import loop

    whole = loop.batches
    return patch.object(loop, "batches", lambda *args, **more: whole(*args, **{**more, "end": count}))


def append(file: Path, fields: list[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Adds rows to a CSV file, which gets its head with the first ones."""
    new = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fields, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def pretrained(trial: str, seed: int = SEED) -> str:
    """What fine-tuning starts from; pretrains where that is not done yet."""
    from mdpseg import pretrain
    from mdpseg.export import export

    overrides = TRIALS[trial]
    if overrides is None:
        return trial
    if trial.endswith(ENCODER):
        whole = trial.removesuffix(ENCODER)
        return str(export(Path(pretrained(whole, seed)).parent, "timm").path)
    out = RUNS / (trial if seed == SEED else f"{trial}-seed-{seed}")
    if not (out / "README.md").exists():  # written last
        resume = ["resume=true"] if (out / "last.ckpt").exists() else []
        voc = dataset("voc2012", "train", catch_all="background")
        datasets = [voc, dataset("msrc", "train"), dataset("camvid", "train")]
        pretrain(pretraining(out, datasets, 1250, seed), [*overrides, *resume])
    return str(out / "weights.safetensors")


def judge(trial: str, arguments: argparse.Namespace) -> None:
    from mdpseg import finetune

    classifier, late, settings = (
        arguments.classifier,
        arguments.late,
        (arguments.head_lr, arguments.lr, arguments.warmup),
    )
    init = pretrained(trial, arguments.seed)
    for folder in arguments.targets:
        for draw in range(arguments.draws):
            seed = 1000 * arguments.seed + draw
            out = RUNS / "-".join(map(str, (trial, classifier, *settings, folder, seed, "late" if late else "early")))
            recipe = {
                "data_root": str(DATA),
                "out": str(out),
                "train": dataset(folder, "train", subset={"count": 100, "seed": seed}),
                "val": dataset(folder, "val", subset={"count": 100, "seed": 7}),
                "network": NETWORK,
                "init": init,
                "iterations": 300,
                "evaluate_at": [0.1, 1.0] if late else [0.1],
                "augment": {"crop": 96},
                "workers": 0,
                "seed": seed,
                "classifier": classifier,
                "optim": dict(zip(("head_lr", "lr", "warmup"), settings, strict=True)),
            }
            with nullcontext() if late else first_steps(30):
                tuned = finetune(recipe)
            scores = {step: f"{100 * score.mean_iou:.2f}" for step, score in tuned.scores.items()}
            row = [
                trial,
                classifier,
                *(f"{value:g}" for value in settings),
                folder,
                draw,
                scores.get(30, ""),
                scores.get(300, ""),
                arguments.seed,
            ]
            append(RESULTS, FIELDS, [dict(zip(FIELDS, row, strict=True))])


def show() -> None:
    """Early mIoU %, both draws of each target, the mean over the targets that were judged, and late where it was."""
    trials: dict[tuple[str, ...], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in csv.DictReader(RESULTS.open()):
        for when in ("early", "late"):
            if row[when]:
                key = *(row[name] for name in (*FIELDS[:5], "seed")), when
                trials[key][row["target"]][row["draw"]] = float(row[when])
    settings = " | ".join((*FIELDS[:5], "seed"))
    print(f"| {settings} | when | {' | '.join(TARGETS)} | mean |\n|{'---|' * (len(TARGETS) + 8)}")
    for key, targets in sorted(trials.items()):
        cells = [" / ".join(f"{value:.1f}" for value in targets[folder].values()) for folder in TARGETS]
        mean = statistics.fmean(statistics.fmean(values.values()) for values in targets.values() if values)
        print(f"| {' | '.join(key)} | {' | '.join(cells)} | {mean:.2f}{'' if all(targets.values()) else ' *'} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=", ".join(TRIALS))
    parser.add_argument("--classifier", choices=["random", "prototypes"], default="random")
    parser.add_argument("--head-lr", type=float, default=10)
    parser.add_argument("--lr", type=float, default=0.02, help="of the fine-tuning")
    parser.add_argument("--warmup", type=float, default=0.0, help="share of the iterations with rising rate")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--draws", type=int, default=2, help="of 100 labelled images a target")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--late", action="store_true")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    if unknown := set(arguments.trials) - set(TRIALS):
        parser.error(f"no trial {unknown.pop()}; there are {', '.join(TRIALS)}")
    for trial in arguments.trials:
        changes = {
            "-centred": centred_projections,
            SHARED: shared_rows,
            SEVERAL: several_prototypes,
            BOTH: cross_entropy_in_the_encoder,
        }
        with next((change() for ending, change in changes.items() if trial.endswith(ending)), nullcontext()):
            judge(trial, arguments)
    if arguments.show:
        show()


if __name__ == "__main__":
    main()
