"""Does pretraining on VOC + MSRC + CamVid help MSRC with 100 labelled images?

    python benchmarks/msrc100.py run --seeds 0 1 2      # cell by cell; finished cells are not run again
    python benchmarks/msrc100.py show                   # Markdown table from msrc100.csv, and msrc100.png

Each seed has its own pretraining, its own 100 images and its own fine-tuning; the budget is the same for all starts.
`--processes 2` runs two cells at once with one thread each.
"""

import argparse
import csv
import datetime
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
RESULTS = HERE / "msrc100.csv"
RUNS = HERE.parent / "runs" / "msrc100"
PRETRAIN, FINETUNE = HERE.parent / "recipes/voc+msrc+camvid.yaml", HERE.parent / "recipes/finetune-msrc.yaml"
# Settings of each start beside the recipe's own; None: no pretraining.
STARTS = {
    "scratch": None,
    "supervised": [
        "method.objective=supervised",
        "optim.lr=0.1",
        "optim.clip=5",
    ],  # the best rate of 0.02, 0.05, 0.1, 0.15 on another seed
    "mdp": [],
    "mdp-paper": [
        "method.denominator=all",
        "method.momentum=0.99",
        "method.mixing=both",
        "method.supervised_share=0",
        "optim.lr=0.05",
        "optim.clip=5",
        "network.projection=mlp",
    ],
}
FIELDS = ["start", "seed", "iteration", "mean_iou", "pixel_accuracy", "commit", "date"]


def run_cell(start: str, seed: int, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    from mdpseg import finetune, pretrain

    init = "scratch"
    options = ["workers=0", "log_every=100", f"seed={seed}"]
    if STARTS[start] is not None:
        folder = RUNS / f"{start}-{seed}-pretrain"
        weights = folder / "weights.safetensors"
        if not weights.exists():
            resume = ["resume=true"] if (folder / "last.ckpt").exists() else []
            pretrain(PRETRAIN, [f"out={folder}", *options, *STARTS[start], *resume])
        init = str(weights)
    out = RUNS / f"{start}-{seed}-finetune"
    resume = ["resume=true"] if (out / "last.ckpt").exists() else []
    run = finetune(FINETUNE, [f"out={out}", f"init={init}", f"train.subset.seed={seed}", *options, *resume])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        for iteration, scores in run.scores.items():
            row = [start, seed, iteration, f"{scores.mean_iou:.5f}", f"{scores.pixel_accuracy:.5f}"]
            writer.writerow(dict(zip(FIELDS, [*row, commit.stdout.strip(), datetime.date.today()], strict=True)))


def read() -> list[dict]:
    return list(csv.DictReader(RESULTS.open())) if RESULTS.exists() else []


def show() -> None:
    rows = read()
    iterations = sorted({int(row["iteration"]) for row in rows})
    print("| start | " + " | ".join(f"mIoU % after {i} iterations" for i in iterations) + " | seeds |")
    print("|---|" + "---|" * (len(iterations) + 1))
    figure, axis = plt.subplots(figsize=(5, 3))
    for start in [s for s in STARTS if any(row["start"] == s for row in rows)]:
        cells, means, spreads = [], [], []
        for iteration in iterations:
            values = [
                100 * float(row["mean_iou"])
                for row in rows
                if row["start"] == start and int(row["iteration"]) == iteration
            ]
            means.append(statistics.mean(values))
            spreads.append(statistics.stdev(values) if len(values) > 1 else 0.0)
            each = ", ".join(f"{value:.1f}" for value in values)
            cells.append(f"{means[-1]:.2f} ± {spreads[-1]:.2f} ({each})")
        seeds = len({row["seed"] for row in rows if row["start"] == start})
        print(f"| {start} | " + " | ".join(cells) + f" | {seeds} |")
        axis.errorbar(iterations, means, spreads, marker="o", capsize=3, label=start)
    axis.set(xlabel="fine-tuning iteration", ylabel="mIoU % on MSRC", xscale="log")
    axis.legend()
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(HERE / "msrc100.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "cell", "show"])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=["scratch", "supervised", "mdp"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.what == "show":
        show()
        return
    if arguments.what == "cell":
        run_cell(arguments.starts[0], arguments.seeds[0], threads=1)
        return
    done = {(row["start"], int(row["seed"])) for row in read()}
    cells = [(start, seed) for seed in arguments.seeds for start in arguments.starts if (start, seed) not in done]
    with ThreadPoolExecutor(arguments.processes) as pool:
        for cell in cells:
            command = [sys.executable, __file__, "cell", "--starts", cell[0], "--seeds", str(cell[1])]
            pool.submit(subprocess.run, command, check=True)


if __name__ == "__main__":
    main()
