"""What prototypes give without any training: label sets that the network knows, classes taken out and put back from
examples, and a label set that it never saw, from a few labelled images.

    python benchmarks/few_shot.py known    --runs F4-0=RUN F4-1=RUN ... [--data-root DATA]  # rows go to few-shot.csv
    python benchmarks/few_shot.py returned --runs ...
    python benchmarks/few_shot.py unseen   --runs ... --dataset facade
    python benchmarks/few_shot.py finetune --runs ... --dataset facade     # beside it: the same images, trained on
    python benchmarks/few_shot.py show

RUN is a pretraining's folder with prototypes, NAME=RUN what it is called. `known` judges all of a dataset's validation
images, the others 60 of them. A row that is there is not measured again.
"""

import argparse
import csv
import datetime
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "few-shot.csv"
KEYS = ["part", "run", "dataset", "what", "images", "draw"]
FIELDS = [*KEYS, "percent", "date"]
KNOWN = {"msrc": "msrc", "camvid": "camvid", "voc2012": "voc"}  # folder -> name in the pretraining
COUNTS, DRAWS = (1, 5, 10), range(5)
JUDGED = {"count": 60, "seed": 7}


def reader(folder: str, split: str, root: Path, subset: dict[str, int] | None = None) -> Any:
    from mdpseg.config import DatasetConfig
    from mdpseg.data.open import open_dataset

    more = {"catch_all": "background"} if folder == "voc2012" else {}
    given = {"name": KNOWN.get(folder, folder), "reader": "folder", "path": folder, "split": split, **more}
    return open_dataset(DatasetConfig.model_validate({**given, "subset": subset or {}}), root)


def judge(model: Any, judged: Any, heads: dict[str, Any]) -> dict[str, Any]:
    """Judges several heads on one pass of the network: name -> confusion matrix."""
    import torch
    import torch.nn.functional as F

    from mdpseg.engine.inference import enlarged_argmax
    from mdpseg.engine.quick_convolutions import quick_pointwise
    from mdpseg.metrics import ConfusionMatrix

    found = {name: ConfusionMatrix(len(judged.classes), torch.device("cpu")) for name in heads}
    with torch.no_grad(), quick_pointwise(model.network):
        for index in range(len(judged)):
            sample = judged[index]
            padded = model.network.pad(sample.image[None])
            embeddings = model.network.head.projection(model.network.features(padded))  # [1, D, h, w]
            height, width = sample.mask.shape
            for name, head in heads.items():
                logits = F.conv2d(embeddings, head.weight, head.bias)
                mask = enlarged_argmax(logits, (padded.shape[2], padded.shape[3]))[0, :height, :width]
                found[name].update(mask, sample.mask)
    return found


def known(runs: dict[str, Path], root: Path, write: Callable[..., None]) -> None:
    """Prototypes only, on the label sets of the pretraining."""
    for folder, name in KNOWN.items():
        judged = reader(folder, "val", root)
        for run, model in missing(runs, ("known", folder, "prototypes only", "", "")):
            view = model.with_taxonomy(name)
            assert view.classes == judged.classes
            confusion = judge(view, judged, {"": view.network.head})[""]
            write("known", run, folder, "prototypes only", "", "", confusion.mean_iou())


def returned(runs: dict[str, Path], root: Path, write: Callable[..., None]) -> None:
    """Each class of MSRC taken out and put back from examples, beside the trained ones."""
    import torch

    train, judged = reader("msrc", "train", root), reader("msrc", "val", root, JUDGED)
    samples = [train[index] for index in range(len(train))]
    for run, model in missing(runs, ("returned", "msrc", "class, trained", "", "")):
        view = model.with_taxonomy("msrc")
        space, heads = view.prototypes.label_space, {"trained": view.network.head}
        for number, name in enumerate(judged.classes):
            shown = [sample for sample in samples if int((sample.mask == number).sum()) > 500]
            present = view.prototypes.present.clone()
            present[space.offset("msrc") + number] = False
            without = view._with(replace(view.prototypes, present=present), "msrc")
            for count in (1, 5):
                picked = torch.randperm(len(shown), generator=torch.Generator().manual_seed(number))[:count].tolist()
                if len(picked) < count:
                    continue
                examples = [
                    (shown[i].image.permute(1, 2, 0).numpy(), (shown[i].mask == number).numpy()) for i in picked
                ]
                grown = without.add_class(name, examples, "msrc")
                heads[f"offset {count} {number}"] = grown.network.head
                plain = replace(grown.prototypes, offsets=torch.zeros_like(grown.prototypes.offsets))
                heads[f"plain {count} {number}"] = grown._with(plain, "msrc").network.head
        iou = {name: confusion.iou() for name, confusion in judge(view, judged, heads).items()}
        for count in (1, 5):
            for kind in ("plain", "offset"):
                pairs = [
                    (number, iou[key])
                    for number in range(len(judged.classes))
                    if (key := f"{kind} {count} {number}") in iou and not iou["trained"][number].isnan()
                ]
                one = statistics.mean(float(values[number]) for number, values in pairs)
                rest = statistics.mean(
                    float((values - iou["trained"])[torch.arange(len(values)) != number].nanmean())
                    for number, values in pairs
                )
                write("returned", run, "msrc", f"class, {kind}", count, "", one)
                write("returned", run, "msrc", f"others, change, {kind}", count, "", rest)
        write("returned", run, "msrc", "class, trained", "", "", float(iou["trained"].nanmean()))


def unseen(runs: dict[str, Path], root: Path, write: Callable[..., None], dataset: str) -> None:
    """A dataset of no pretraining: prototypes from a few labelled images alone."""
    judged = reader(dataset, "val", root, JUDGED)
    for run, model in missing(runs, ("unseen", dataset, "prototypes only", COUNTS[-1], DRAWS[-1])):
        heads = {}
        for count in COUNTS:
            for draw in DRAWS:
                few = reader(dataset, "train", root, {"count": count, "seed": draw})
                samples, grown = [few[index] for index in range(count)], model
                for number, name in enumerate(judged.classes):
                    shown = [sample for sample in samples if bool((sample.mask == number).any())]
                    examples = [(s.image.permute(1, 2, 0).numpy(), (s.mask == number).numpy()) for s in shown]
                    # a class that no image shows gets its place all the same, and never wins
                    grown = (
                        grown.add_class(name, examples, dataset)
                        if shown
                        else grown._with(grown.prototypes._with_room(dataset, name)[0], None)
                    )
                heads[f"{count} {draw}"] = grown.with_taxonomy(dataset).network.head
        for name, confusion in judge(model, judged, heads).items():
            write("unseen", run, dataset, "prototypes only", *name.split(), confusion.mean_iou())


def finetune(
    runs: dict[str, Path], root: Path, write: Callable[..., None], dataset: str, iterations: int, draws: int
) -> None:
    """The same few images, trained on: from the same weights, and from scratch."""
    import mdpseg

    entry = {"name": dataset, "reader": "folder", "path": dataset}
    old = {tuple(row[key] for key in KEYS) for row in read()}
    network = {"encoder": "tf_efficientnet_lite0", "decoder": "fpn", "decoder_channels": 64, "embedding_dim": 128}
    for run, folder in {**runs, "scratch": None}.items():
        for count in COUNTS:
            for draw in range(draws):
                what = f"fine-tuned, {iterations} steps"
                if ("unseen", run, dataset, what, str(count), str(draw)) in old:
                    continue
                with tempfile.TemporaryDirectory() as out:
                    recipe = {
                        **{"out": f"{out}/run", "data_root": str(root), "seed": draw, "workers": 0},
                        "train": {**entry, "split": "train", "subset": {"count": count, "seed": draw}},
                        "val": {**entry, "split": "val", "subset": JUDGED},
                        **{"iterations": iterations, "augment": {"crop": 96}, "evaluate_at": [1.0]},
                        "init": str(folder / "weights.safetensors") if folder else "scratch",
                        "network": network,
                    }
                    scores = mdpseg.finetune(recipe).scores[iterations]
                write("unseen", run, dataset, what, count, draw, scores.mean_iou)


def missing(runs: dict[str, Path], last: tuple[object, ...]) -> Iterable[tuple[str, Any]]:
    """The runs without their last row, opened one by one."""
    from mdpseg import SegmentationModel

    part, *rest = map(str, last)
    old = {tuple(row[key] for key in KEYS) for row in read()}
    for name, folder in runs.items():
        if (part, name, *rest) not in old:
            yield name, SegmentationModel.from_run(folder, "cpu")


def write(*values: object) -> None:
    *keys, share = values
    row = dict(zip(KEYS, map(str, keys), strict=True))
    row |= {"percent": f"{100 * float(share):.2f}", "date": datetime.date.today().isoformat()}
    rows = [old for old in read() if any(old[key] != row[key] for key in KEYS)]
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, row])


def read() -> list[dict[str, str]]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return list(csv.DictReader(file))


def show() -> None:
    """One line a measurement: mean, spread and number over its rows; runs of one name but another seed together."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for row in read():
        kind = row["run"].rsplit("-", 1)[0]
        key = (row["part"], kind, row["dataset"], row["what"], row["images"])
        groups.setdefault(key, []).append(float(row["percent"]))
    print("| part | pretraining | dataset | what | images | mean % | sd | rows |\n|---|---|---|---|---|---|---|---|")
    for key, values in sorted(groups.items(), key=lambda item: (*item[0][:4], int(item[0][4] or 0))):
        spread = f"{statistics.stdev(values):.2f}" if len(values) > 1 else ""
        print(f"| {' | '.join(key)} | {statistics.mean(values):.2f} | {spread} | {len(values)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["known", "returned", "unseen", "finetune", "show"])
    parser.add_argument("--runs", nargs="+", default=[], metavar="NAME=RUN")
    parser.add_argument("--data-root", type=Path, default=HERE.parent.parent / "shared/data")
    parser.add_argument("--dataset", default="facade")
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    runs = {name: Path(folder) for name, _, folder in (text.partition("=") for text in given.runs)}
    match given.part:
        case "known":
            known(runs, given.data_root, write)
        case "returned":
            returned(runs, given.data_root, write)
        case "unseen":
            unseen(runs, given.data_root, write, given.dataset)
        case "finetune":
            finetune(runs, given.data_root, write, given.dataset, given.iterations, given.draws)
        case "show":
            show()
