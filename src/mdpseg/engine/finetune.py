"""Fine-tunes a network on one target dataset, and judges it on the way."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdpseg import ranks, weights
from mdpseg.config import FinetuneConfig
from mdpseg.data.bad_files import BadFiles
from mdpseg.data.draws import Draws
from mdpseg.data.open import label_space_of, open_dataset
from mdpseg.engine.batch_norm import refuse_lone_values
from mdpseg.engine.checkpoint import start_of
from mdpseg.engine.evaluate import score_network
from mdpseg.engine.loop import train
from mdpseg.engine.pictures import draw_predictions
from mdpseg.engine.prototype_classifier import start_at_prototypes
from mdpseg.engine.random_state import seed_everything
from mdpseg.engine.readme import finetune_readme
from mdpseg.engine.run_folder import open_run
from mdpseg.engine.runtime import launch, make_training_fabric, rank_of
from mdpseg.engine.scores import Scores, read_scores, write_scores
from mdpseg.errors import UserError
from mdpseg.files import write_text
from mdpseg.objectives.finetune import Finetune
from mdpseg.recipe import load

_NAMED = 10  # classes in a line of the log


@dataclass(frozen=True)
class Finetuned:
    """What a fine-tuning leaves behind.

    Attributes:
        out: the run's folder.
        weights: its weights file.
        scores: iteration -> scores on ``val``, for each evaluation.
        seconds: how long it took, over all its resumptions.
    """

    out: Path
    weights: Path
    scores: dict[int, Scores]
    seconds: float


def finetune(config: FinetuneConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> Finetuned:
    """Fine-tunes on the target: encoder and decoder are kept, the head becomes a fresh classifier.

    Args:
        config: a configuration, a dict, or the path of a YAML recipe.
        overrides: ``key=value``, as on the command line.

    Raises:
        UserError: the recipe, the data, the weights or the output folder are not as they should be.
    """
    config = load(config, FinetuneConfig, overrides)
    began = time.perf_counter()
    fabric = make_training_fabric(config)
    reader = open_dataset(config.train, config.data_root)
    judge = open_dataset(config.val, config.data_root) if config.val else None
    if judge is not None and judge.classes != reader.classes:
        raise UserError(f"`val` ({judge.name}) and `train` ({reader.name}) have different classes; they must be equal.")
    label_space = label_space_of([reader], "class")  # in fine-tuning a catch-all is a class like any other

    seed_everything(config.seed)  # start weights and dropout follow from it
    network, history = start_of(config)
    objective = Finetune(network, label_space)
    refuse_lone_values(network, config.augment.crop, config.batch_size, fabric.world_size, config.sync_batchnorm)
    scores: dict[int, Scores] = {}

    with open_run(config, rank_of(fabric), began=began) as run:
        launch(fabric)
        run.history = history
        run.log(f"fine-tuning on {len(reader)} images of {reader.name}, from {config.init}, into {run.path}")
        if network.origin:
            run.log(network.origin)

        def evaluate_after(step: int) -> None:
            if judge is None:
                return
            scores[step] = score_network(network, judge, config.eval, fabric, config.workers)
            run.log(f"step {step}: mIoU {scores[step].mean_iou:.2%}, pixel accuracy {scores[step].pixel_accuracy:.2%}")
            run.record(step=step, mean_iou=scores[step].mean_iou, pixel_accuracy=scores[step].pixel_accuracy)
            if run.writes:
                write_scores(run.path / f"scores-{step}.json", scores[step])
            if run.loggers:
                run.loggers.picture(step, "predictions", lambda: draw_predictions(network, judge, config.eval, fabric))

        earlier = read_scores(run.path) if config.resume else {}
        # of the first process: the other machines need not have the folder
        has_weights = ranks.from_rank(config.resume and (run.checkpoint.exists() or run.earlier_checkpoint.exists()))
        if config.classifier == "prototypes" and not has_weights:
            bad_files = BadFiles.of_run(config.on_bad_file, [reader], run.path, run.log_from_any)
            temperature = config.classifier_temperature
            run.log("finding each class's prototype in the labelled images, where the classifier starts")
            window = config.eval.window
            absent = start_at_prototypes(network, reader, label_space, temperature, fabric.device, window, bad_files)
            if absent:
                run.log(_without_example(absent, label_space.num_classes))
        start = train(
            objective,
            [reader],
            label_space,
            Draws([len(reader)], config.seed),
            run,
            fabric,
            config,
            augmentation=config.augment,
            optim=config.optim,
            after_step=dict.fromkeys(config.evaluation_steps(), evaluate_after),
        )
        scores = {**{step: score for step, score in earlier.items() if step <= start}, **scores}
        if not run.writes:
            return Finetuned(run.path, run.weights, scores, run.seconds())
        state = network.state_dict()
        stored = weights.Weights(network.config, state, label_space, "classifier", history=history)
        weights.save(run.weights, stored)
        seconds = run.seconds()
        write_text(run.path / "README.md", finetune_readme(config, reader, scores, seconds))
        if scores:
            run.console.print(scores[max(scores)].table())
        run.log(f"done in {seconds:.0f} s: {run.weights}")
    return Finetuned(run.path, run.weights, scores, seconds)


def _without_example(absent: Sequence[str], classes: int) -> str:
    """What the log says of classes that no label shows."""
    if len(absent) == classes:
        return "found no example of any class: is everything ignored in the masks?"
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    return f"found no example of {', '.join(absent[:_NAMED])}{more}"
