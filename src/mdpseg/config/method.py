"""What is learned from a batch in pretraining."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from mdpseg.config.base import Positive, Settings, Temperature

# The published scheme (P), as far as the text states it; the momentum's size and the mixing probability are ours. So is
# the projection head that goes with it, unless the network's setting names another.
_PAPER: dict[str, Any] = {
    "objective": "mdp",
    "bank": "class",
    "bank_size": 4096,
    "bank_policy": "fifo",
    "prototypes": "bank",
    "denominator": "all",
    "temperature": 0.07,
    "momentum": 0.99,
    "sparse_coding": "pull",
    "supervised_share": 0.0,
    "mixing": "both",
}


class MethodConfig(Settings):
    """What is learned from a batch in pretraining.

    The defaults are what served short runs best here (docs/results.md); ``method: mdp-paper`` is the published scheme.
    """

    scheme: Literal["mdp", "mdp-paper"] = Field(
        "mdp", description="Where the settings below start: our defaults, or the published ones (`method: mdp-paper`)."
    )
    objective: Literal["mdp", "supervised", "multihead"] = Field(
        "mdp",
        description="The method, or a baseline: union cross-entropy (each pixel's softmax over its own dataset's "
        "classes), or one classifier a dataset, which all count the same.",
    )
    bank: Literal["class", "region", "none"] = Field(
        "class",
        description="Contrast with class prototypes (P), single region embeddings, or the image's own pixels.",
    )
    bank_size: Positive = Field(
        1024,
        description="Region embeddings held (P: 1024, 4096, 10560); a short run wants a small, fresh bank. "
        "With `bank: class` there is none where prototypes are `learned`.",
    )
    bank_policy: Literal["fifo", "per_class"] = Field("fifo", description="One ring (P), or a ring for each class.")
    prototypes: Literal["bank", "learned", "mixed"] = Field(
        "learned",
        description="The bank's means (P), a cosine classifier's rows, or the normalised sum of both (ours); "
        "with another `bank` than `class` always the bank's means.",
    )
    denominator: Literal["all", "own_dataset", "no_lookalikes"] = Field(
        "own_dataset",
        description="Classes that a pixel is pushed away from: all (P), its own dataset's, all but look-alikes.",
    )
    lookalikes: Positive = Field(3, description="Classes of other datasets left out with `no_lookalikes` (ours).")
    temperature: Temperature = Field(0.07, description="tau (P).")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Of the momentum network (P: there is one), which fills the bank and labels images without labels; "
        "0: the network itself does. There is none where prototypes are `learned` and every image has labels. "
        "`method: mdp-paper` has 0.99, for short runs; full length wants 0.999 (ours).",
    )
    sparse_coding: Literal["off", "pull", "no_push"] = Field(
        "off",
        description="Similar other classes: as any, a little attractive (P; formula ours), or never pushed (ours; with "
        "`bank: class` alone).",
    )
    sparse_k: Positive = Field(3, description="How many similar classes sparse coding counts.")
    sparse_weight: Annotated[float, Field(ge=0)] = Field(0.1, description="Weight of the pull (P: low).")
    supervised_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.75,
        description="Loss = share x union cross-entropy on decoder features + (1 - share) x contrast (ours; P: 0).",
    )
    auxiliary_weight: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="Weight of the loss on each of the encoder's last three maps (strides 8, 16, 32 in most), beside 1 "
        "on the decoder's features: contrast with the same prototypes, or a baseline's own loss (ours).",
    )
    mixing: Literal["off", "region", "pixel", "both"] = Field("region", description="Cross-image mixing (P: both).")
    mixing_probability: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="Of each kind, an image (ours).")
    catch_all_as: Literal["class", "ignore", "private"] = Field(
        "private",
        description="Catch-all classes: as any class, ignored, or never negatives of other datasets (ours).",
    )
    pseudo_label_threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        0.7, description="A pixel without label takes its nearest prototype's class above this probability (ours)."
    )

    @field_validator("sparse_coding", "mixing", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # as YAML reads a bare off

    @model_validator(mode="before")
    @classmethod
    def _start_from_scheme(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {"scheme": given}
        if isinstance(given, dict) and given.get("scheme") == "mdp-paper":
            return {**_PAPER, **given}
        return given
