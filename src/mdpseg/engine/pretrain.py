"""Several datasets in, one pretrained network out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mdpseg import weights
from mdpseg.config import PretrainConfig
from mdpseg.data.draws import Draws
from mdpseg.data.merge import merge_readers, read_mapping
from mdpseg.data.open import label_space_of, open_dataset
from mdpseg.data.share import MixingDraws
from mdpseg.engine.batch_norm import refuse_lone_values
from mdpseg.engine.checkpoint import start_of
from mdpseg.engine.loop import train
from mdpseg.engine.pictures import draw_similarity
from mdpseg.engine.random_state import seed_everything
from mdpseg.engine.readme import pretrain_readme
from mdpseg.engine.run_folder import open_run
from mdpseg.engine.runtime import launch, make_training_fabric, rank_of
from mdpseg.files import write_text
from mdpseg.label_space import LabelSpace
from mdpseg.objectives.choose import pretraining_objective
from mdpseg.objectives.mdp import MDP
from mdpseg.recipe import load


@dataclass(frozen=True)
class Pretrained:
    """What a pretraining leaves behind.

    Attributes:
        out: the run's folder.
        weights: its weights file.
        label_space: the classes of all its datasets.
        seconds: how long it took, over all its resumptions.
    """

    out: Path
    weights: Path
    label_space: LabelSpace
    seconds: float


def pretrain(config: PretrainConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> Pretrained:
    """Trains one network on several datasets whose label sets need not agree.

    Args:
        config: a configuration, a dict, or the path of a YAML recipe.
        overrides: ``key=value``, as on the command line.

    Raises:
        UserError: the recipe, the data, the first stage's weights or the output folder are not as they should be.
    """
    config = load(config, PretrainConfig, overrides)
    began = time.perf_counter()
    fabric = make_training_fabric(config)
    datasets = [open_dataset(dataset, config.data_root) for dataset in config.datasets]
    mapping = read_mapping(config.merge, datasets) if config.merge else None
    readers = merge_readers(datasets, mapping, config.method.catch_all_as) if mapping else datasets
    label_space = label_space_of(readers, config.method.catch_all_as)
    draws = Draws([len(reader) for reader in readers], config.seed, config.sampling, config.sampling_alpha)

    seed_everything(config.seed)  # start weights and dropout follow from it
    network, history = start_of(config)
    unlabelled = any(dataset.unlabelled for dataset in config.datasets)
    objective = pretraining_objective(network, label_space, config.method, unlabelled=unlabelled)
    refuse_lone_values(network, config.augment.crop, config.batch_size, fabric.world_size, config.sync_batchnorm)

    with open_run(config, rank_of(fabric), began=began) as run:
        launch(fabric)
        run.history = history
        run.log(f"pretraining on {label_space}, from {config.init}, into {run.path}")
        if network.origin:
            run.log(network.origin)
        if mapping:
            run.log(f"{sum(map(len, mapping.values()))} classes, merged into {len(mapping)} by {config.merge}")
        train(
            objective,
            readers,
            label_space,
            draws,
            run,
            fabric,
            config,
            augmentation=config.augment,
            optim=config.optim,
            mixing=MixingDraws(config.method.mixing, config.method.mixing_probability),
        )
        if not run.writes:
            return Pretrained(run.path, run.weights, label_space, run.seconds())
        if unlabelled and not any(record.get("mined") for record in run.records()):
            run.log(
                "no pixel without label got one, at any line of the log: no prototype was surer of one than "
                f"method.pseudo_label_threshold ({config.method.pseudo_label_threshold:g}), so the unlabelled images "
                "taught nothing"
            )
        prototypes, present = objective.prototypes() if isinstance(objective, MDP) else (None, None)
        head = "projection" if isinstance(objective, MDP) else "classifier"
        state = network.state_dict()
        temperature = config.method.temperature if isinstance(objective, MDP) else None
        stored = weights.Weights(
            network.config, state, label_space, head, prototypes, present, temperature=temperature, history=history
        )
        weights.save(run.weights, stored)
        seconds = run.seconds()
        write_text(run.path / "README.md", pretrain_readme(config, label_space, datasets, mapping, seconds))
        if run.loggers and prototypes is not None and present is not None:  # after what the run is for
            similarity = partial(draw_similarity, prototypes, present, label_space.names)
            run.loggers.picture(config.iterations, "prototypes", similarity)
        run.log(f"done in {seconds:.0f} s: {run.weights}")
    return Pretrained(run.path, run.weights, label_space, seconds)
