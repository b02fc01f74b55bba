"""Every setting, its default and its meaning: the one place where they are written.

Recipes are these models in YAML; :mod:`mdpseg.recipe` reads them. Marked (P): published; (ours): not in the paper.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", validate_default=True)


class SubsetConfig(Settings):
    """A part of a dataset."""

    list: Path | None = Field(None, description="Text file with one image id a line.")
    fraction: Fraction | None = Field(None, description="Share of the images, drawn by `seed`.")
    count: Positive | None = Field(None, description="Number of images, drawn by `seed`.")
    seed: int = 0


class DatasetConfig(Settings):
    """One dataset: where it lies and how it is read."""

    name: str = Field(pattern=r"^[\w.+-]+$", description="How its classes are called: `name/class`.")
    reader: Literal["voc2012", "ade20k", "cocostuff", "cityscapes", "folder", "toy"]
    path: Path | None = Field(None, description="The dataset's root; relative to `data_root`.")
    split: str = "train"
    images: Path | None = Field(None, description="`folder` only: images, where not path/images/split.")
    masks: Path | None = Field(None, description="`folder` only: masks, where not path/masks/split.")
    classes: Path | list[str] | None = Field(None, description="`folder` only: class list, where not path/classes.txt.")
    catch_all: str | None = Field(None, description="The class that collects the rest; readers know their own.")
    subset: SubsetConfig = SubsetConfig()
    world: str | None = Field(None, description="`toy` only: which embedded world.")
    size: Positive = Field(128, description="`toy` only: height and width of its images in pixels.")
    count: Positive = Field(500, description="`toy` only: how many images it has.")

    @model_validator(mode="after")
    def _has_what_its_reader_needs(self) -> Self:
        if self.reader == "toy":
            if self.world is None:
                raise ValueError(f"dataset {self.name!r} has reader toy and no `world`; name one, such as world: fine")
        elif self.path is None and not (self.reader == "folder" and self.images and self.masks and self.classes):
            needs = "`path` (or `images`, `masks` and `classes`)" if self.reader == "folder" else "`path`"
            raise ValueError(f"dataset {self.name!r} has reader {self.reader} and needs {needs}")
        return self


class NetworkConfig(Settings):
    """Encoder, decoder and embedding."""

    encoder: str = Field("mobilenetv3_small_100", description="Any timm model name that gives feature maps.")
    decoder: Literal[
        "deeplabv3",
        "deeplabv3plus",
        "fpn",
        "unet",
        "unetplusplus",
        "upernet",
        "segformer",
        "pspnet",
        "linknet",
        "pan",
    ] = "fpn"
    output_stride: Literal[8, 16] | None = Field(
        None,
        description="Stride of the encoder's last map (DeepLabV3 and DeepLabV3+); default: the decoder's own.",
    )
    decoder_channels: Positive | None = Field(
        None, description="Channels of the decoder's features (not Unet, Unet++, LinkNet); default: the decoder's own."
    )
    embedding_dim: Positive = Field(128, description="D, dimension of a pixel's embedding (ours).")
    projection: Literal["mlp", "linear"] = Field(
        "linear", description="Projection head: a single 1x1 conv; or 1x1 conv, norm, ReLU, 1x1 conv."
    )


class AugmentConfig(Settings):
    """Random geometry and colours of a training crop."""

    crop: Positive = Field(128, description="Side of the square crop in pixels, a multiple of 32.")
    scale: tuple[float, float] = Field((0.5, 2.0), description="Range of the random scale, log-uniform.")
    short_side: Positive | None = Field(
        None, description="Scale 1 means: the image's short side has this many pixels. Default: its own size."
    )
    flip: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="Probability of a horizontal flip.")
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.4
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.4
    saturation: Annotated[float, Field(ge=0, lt=1)] = 0.4

    @field_validator("crop")
    @classmethod
    def _multiple_of_32(cls, crop: int) -> int:
        if crop % 32:
            raise ValueError(
                f"crop is {crop}; encoders need a multiple of 32, such as {max(32, round(crop / 32) * 32)}"
            )
        return crop

    @field_validator("scale")
    @classmethod
    def _rising(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale is {list(scale)}; expected [low, high] with 0 < low <= high")
        return scale


class MethodConfig(Settings):
    """What is learned from a batch in pretraining.

    The defaults are what served short runs best here (docs/results.md); recipes/paper spells out the published setting.
    """

    objective: Literal["mdp", "supervised"] = "mdp"
    bank: Literal["class", "region", "none"] = Field(
        "class",
        description="Contrast with class prototypes (P), single region embeddings, or the image's own pixels.",
    )
    bank_size: Positive = Field(
        1024, description="Region embeddings held (P: 1024, 4096, 10560); a short run wants a small, fresh bank."
    )
    bank_policy: Literal["fifo", "per_class"] = Field("fifo", description="One ring (P), or a ring for each class.")
    prototypes: Literal["bank", "learned", "mixed"] = Field(
        "bank",
        description="The bank's means (P), a cosine classifier's rows, or the normalised sum of both (ours).",
    )
    denominator: Literal["all", "own_dataset", "no_lookalikes"] = Field(
        "no_lookalikes",
        description="Classes that a pixel is pushed away from: all (P), its own dataset's, all but look-alikes.",
    )
    lookalikes: Positive = Field(3, description="Classes of other datasets left out with `no_lookalikes` (ours).")
    temperature: Annotated[float, Field(gt=0)] = Field(0.07, description="tau (P).")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Of the momentum network (P: there is one); 0: the network's own embeddings fill the bank.",
    )
    sparse_coding: Literal["off", "pull", "no_push"] = "pull"
    sparse_k: Positive = Field(3, description="How many similar classes sparse coding counts.")
    sparse_weight: Annotated[float, Field(ge=0)] = Field(0.1, description="Weight of the pull (P: low).")
    supervised_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.75,
        description="Loss = share x union cross-entropy on decoder features + (1 - share) x contrast (ours; P: 0).",
    )
    mixing: Literal["off", "region", "pixel", "both"] = Field("region", description="Cross-image mixing (P: both).")
    mixing_probability: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="Of each kind, an image (ours).")
    catch_all_as: Literal["class", "ignore", "private"] = Field(
        "private",
        description="Catch-all classes: as any class, ignored, or never negatives of other datasets (ours).",
    )


class OptimConfig(Settings):
    """Optimiser and schedule."""

    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = 0.02
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="SGD's momentum.")
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: Annotated[float, Field(gt=0)] = Field(0.9, description="Exponent of the poly schedule.")
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="Share of the iterations with rising rate.")
    clip: Annotated[float, Field(gt=0)] | None = Field(None, description="Largest norm of the gradient.")
    head_lr: Annotated[float, Field(gt=0)] = Field(1.0, description="Factor on the rate of the head.")


class PretrainOptimConfig(OptimConfig):
    """Optimiser and schedule of a pretraining: the same settings, other defaults."""

    lr: Annotated[float, Field(gt=0)] = 0.13
    schedule: Literal["poly", "cosine", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(0.05, description="Share of the iterations with rising rate.")
    clip: Annotated[float, Field(gt=0)] | None = Field(4.0, description="Largest norm of the gradient.")


class FinetuneOptimConfig(OptimConfig):
    """Optimiser and schedule of a fine-tuning: the same settings, other defaults."""

    head_lr: Annotated[float, Field(gt=0)] = Field(10.0, description="Factor on the rate of the classifier.")


class EvalConfig(Settings):
    """How a network is judged: always at the labels' original resolution."""

    window: Positive | None = Field(None, description="Side of the sliding window in pixels; default: whole image.")
    stride: Positive | None = Field(None, description="Step of the window; default: 2/3 of it.")
    flip: bool = Field(False, description="Average with the mirrored image.")
    scales: list[Annotated[float, Field(gt=0)]] = Field([1.0], min_length=1, description="Average over these scales.")

    @model_validator(mode="after")
    def _windows_touch(self) -> Self:
        if self.window is not None and self.stride is not None and self.stride > self.window:
            raise ValueError(
                f"eval.stride is {self.stride}; expected at most window={self.window}, or gaps would be left"
            )
        return self


class RunConfig(Settings):
    """What every training run has."""

    out: Path = Field(description="The run's folder; must not hold a run yet, unless it is resumed.")
    seed: int = Field(0, ge=0, description="Fixes everything: start weights, draws, crops, mixing.")
    iterations: Positive
    batch_size: int = Field(16, ge=2, description="Images a step; batch norm needs two.")
    workers: Annotated[int, Field(ge=0)] = Field(2, description="Processes that read and augment images.")
    data_root: Path = Field(Path(), description="Where relative dataset paths start; default: the current folder.")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on CUDA, fp32 elsewhere.")
    channels_last: bool = True
    compile: bool = Field(False, description="torch.compile the network (does not pay on the CPU).")
    log_every: Positive = 20
    checkpoint_every: Positive = 500
    resume: bool = Field(False, description="Continue the run in `out`.")


class PretrainConfig(RunConfig):
    """`mdpseg pretrain`: several datasets in, one network out."""

    datasets: list[DatasetConfig] = Field(min_length=1)
    iterations: Positive = 2000
    sampling: Literal["size", "equal", "temperature"] = Field(
        "temperature",
        description="Share of a dataset's draws: by its size, equal, or size ** sampling_alpha.",
    )
    sampling_alpha: Annotated[float, Field(ge=0)] = 0.5
    init: str = Field("scratch", description="First stage: scratch, imagenet, or a weights file of another run.")
    network: NetworkConfig | None = Field(None, description="Default: the small one, or the one of `init`'s weights.")
    augment: AugmentConfig = AugmentConfig()
    method: MethodConfig = MethodConfig()
    optim: PretrainOptimConfig = PretrainOptimConfig()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [dataset.name for dataset in self.datasets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two datasets are named {name!r}; their classes are told apart by the dataset's name")
        return self


class FinetuneConfig(RunConfig):
    """`mdpseg finetune`: a network, one target dataset; classifier new, encoder and decoder kept."""

    train: DatasetConfig
    val: DatasetConfig | None = Field(None, description="What is evaluated; default: nothing.")
    iterations: Positive = 1000
    init: str = Field("scratch", description="scratch, imagenet, or a weights file (weights.safetensors of a run).")
    network: NetworkConfig | None = Field(None, description="Default: the small one, or the one of `init`'s weights.")
    augment: AugmentConfig = AugmentConfig()
    optim: FinetuneOptimConfig = FinetuneOptimConfig()
    evaluate_at: list[float] = Field(
        [0.1, 1.0], description="When to evaluate: iterations, or shares of them (numbers up to 1.0)."
    )
    eval: EvalConfig = EvalConfig()

    def evaluation_steps(self) -> list[int]:
        """The iterations after which the network is evaluated, in order."""
        steps = {round(at * self.iterations) if at <= 1 else round(at) for at in self.evaluate_at}
        return sorted(max(1, step) for step in steps)

    @model_validator(mode="after")
    def _evaluations_happen(self) -> Self:
        late = [at for at in self.evaluate_at if at <= 0 or at > max(1, self.iterations)]
        if late:
            raise ValueError(f"evaluate_at holds {late[0]:g}; expected a share (0..1] or at most {self.iterations}")
        return self


class EvaluateConfig(Settings):
    """`mdpseg evaluate`: a fine-tuned network on a labelled dataset."""

    weights: Path
    dataset: DatasetConfig
    data_root: Path = Path()
    out: Path | None = Field(None, description="JSON file for the results; default: none is written.")
    eval: EvalConfig = EvalConfig()
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 2


class PredictConfig(Settings):
    """`mdpseg predict`: masks for images without labels."""

    weights: Path
    images: list[str] = Field(min_length=1, description="Image files, folders or globs.")
    out: Path = Field(description="Folder for NAME.png (palette mask) and NAME_overlay.jpg.")
    opacity: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="Of the classes' colours in the overlay.")
    eval: EvalConfig = EvalConfig()
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
