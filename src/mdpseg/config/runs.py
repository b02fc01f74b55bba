"""Training runs: pretraining and fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from mdpseg.config.base import Device, Positive, Precision, Settings, Temperature
from mdpseg.config.data import AugmentConfig, DatasetConfig, LabelledDataset
from mdpseg.config.evaluation import EvalConfig
from mdpseg.config.method import MethodConfig
from mdpseg.config.network import NetworkConfig
from mdpseg.config.optim import FinetuneOptimConfig, PretrainOptimConfig

# Settings that another machine, or a look at the run, may need otherwise: what is learned does not depend on them.
WITHOUT_EFFECT = frozenset(
    {
        *("out", "resume", "data_root", "workers", "device", "devices", "nodes", "rank_timeout"),
        *("log_every", "checkpoint_every", "loggers"),
    }
)


class RunConfig(Settings):
    """What every training run has."""

    out: Path = Field(description="The run's folder; must not hold a run yet, unless it is resumed.")
    seed: int = Field(0, ge=0, le=2**62, description="Fixes everything: start weights, draws, crops, mixing.")
    iterations: Positive = Field(description="Steps.")
    batch_size: Positive = Field(16, description="Images a step, over all devices.")
    workers: Annotated[int, Field(ge=0)] = Field(2, description="Processes that read and augment images.")
    data_root: Path = Field(Path(), description="Where relative dataset paths start; default: the current folder.")
    device: Device = "auto"
    precision: Precision = "auto"
    channels_last: bool = Field(True, description="Memory layout (NHWC) in which convolutions are faster.")
    compile: bool = Field(False, description="torch.compile the network (does not pay on the CPU).")
    deterministic: bool = Field(
        False, description="Ask torch for kernels that give the same bits each time (a GPU gets slower)."
    )
    devices: Positive | None = Field(
        None, description="Devices a machine, one process each; default: as torchrun says, or one."
    )
    nodes: Positive | None = Field(None, description="Machines; default: as torchrun says, or one.")
    sync_batchnorm: bool = Field(
        False, description="Batch statistics over all devices instead of each device's own images (CUDA only)."
    )
    rank_timeout: Positive | None = Field(
        None, description="Seconds that a process waits for the others before it gives up; default: 600."
    )
    init_allow_partial: bool = Field(
        False, description="Start from another library's file even if it has less than 90 % of the encoder's tensors."
    )
    on_bad_file: Literal["stop", "skip"] = Field(
        "stop",
        description="skip: another image takes the place of one that cannot be read; the log names each bad file once, "
        "and more than 1 % of a dataset stop the run. A file that is missing stops it in any case, before it starts.",
    )
    log_every: Positive = Field(20, description="Steps from one line of the log to the next.")
    loggers: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = Field(
        [], description="Where metrics and pictures go beside the run's own files (docs/logging.md)."
    )
    checkpoint_every: Positive = Field(500, description="Steps from one checkpoint to the next; what a kill can cost.")
    resume: bool = Field(False, description="Continue the run in `out`.")


class PretrainConfig(RunConfig):
    """`mdpseg pretrain`: several datasets in, one network out."""

    datasets: list[DatasetConfig] = Field(min_length=1, description="What is learned from, all at once.")
    merge: Path | None = Field(
        None, description="Mapping file (YAML) that merges label sets by hand; relative to the current folder."
    )
    iterations: Positive = Field(2000, description="Steps.")
    sampling: Literal["size", "equal", "temperature"] = Field(
        "temperature",
        description="Share of a dataset's draws: by its size, equal, or size ** sampling_alpha.",
    )
    sampling_alpha: Annotated[float, Field(ge=0, le=100)] = Field(0.5, description="0: equal; 1: by size.")
    init: str = Field("scratch", description="First stage: scratch, imagenet, a run's weights, or another library's.")
    network: NetworkConfig | None = Field(None, description="Default: the small one, or the one of `init`'s weights.")
    augment: AugmentConfig = Field(AugmentConfig(), description="Random crops and colours.")
    method: MethodConfig = Field(MethodConfig(), description="What is learned.")
    optim: PretrainOptimConfig = Field(PretrainOptimConfig(), description="Optimiser and schedule.")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [dataset.name for dataset in self.datasets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two datasets are named {name!r}; their classes are told apart by the dataset's name")
        return self

    @model_validator(mode="after")
    def _labels_can_be_mined(self) -> Self:
        names = [dataset.name for dataset in self.datasets if dataset.unlabelled]
        if len(names) == len(self.datasets):
            raise ValueError(
                f"all datasets are unlabelled ({', '.join(names)}); their labels are mined with the prototypes of "
                "labelled ones: add one"
            )
        if names and (self.method.objective != "mdp" or self.method.bank == "none"):
            setting = "objective" if self.method.objective != "mdp" else "bank"
            raise ValueError(
                f"dataset {names[0]!r} is unlabelled, and method.{setting} {getattr(self.method, setting)!r} has no "
                "prototypes to mine labels with; expected objective mdp with bank class or region, or labelled "
                "datasets only"
            )
        return self


class FinetuneConfig(RunConfig):
    """`mdpseg finetune`: a network, one target dataset; classifier new, encoder and decoder kept."""

    train: LabelledDataset = Field(description="What is learned from.")
    val: LabelledDataset | None = Field(None, description="What is evaluated; default: nothing.")
    iterations: Positive = Field(1000, description="Steps.")
    init: str = Field("scratch", description="scratch, imagenet, weights.safetensors of a run, or another library's.")
    network: NetworkConfig | None = Field(None, description="Default: the small one, or the one of `init`'s weights.")
    classifier: Literal["prototypes", "random"] = Field(
        "prototypes", description="Start of the classifier: at the labelled images' class prototypes (ours); or random."
    )
    classifier_temperature: Temperature = Field(
        0.07, description="Of the first logits: cosine with the prototype over this."
    )
    augment: AugmentConfig = Field(AugmentConfig(), description="Random crops and colours.")
    optim: FinetuneOptimConfig = Field(FinetuneOptimConfig(), description="Optimiser and schedule.")
    evaluate_at: list[float] = Field(
        [0.1, 1.0], description="When to evaluate: iterations, or shares of them (numbers up to 1.0)."
    )
    eval: EvalConfig = Field(EvalConfig(), description="How `val` is judged.")

    def evaluation_steps(self) -> list[int]:
        """The iterations after which the network is evaluated, in order."""
        steps = {round(at * self.iterations) if at <= 1 else round(at) for at in self.evaluate_at}
        return sorted(max(1, step) for step in steps)

    @model_validator(mode="after")
    def _evaluations_happen(self) -> Self:
        late = [at for at in self.evaluate_at if at <= 0 or at > max(1, self.iterations)]
        if late:
            raise ValueError(f"evaluate_at holds {late[0]:g}; expected a share (0..1] or at most {self.iterations}")
        between = [at for at in self.evaluate_at if at > 1 and at != round(at)]
        if between:
            raise ValueError(
                f"evaluate_at holds {between[0]:g}; expected a share (0..1] or a whole number of iterations"
            )
        return self


# The recipes that a run's folder may hold, by a key that the other kind lacks.
RUN_RECIPES: dict[str, type[BaseModel]] = {"datasets": PretrainConfig, "train": FinetuneConfig}
