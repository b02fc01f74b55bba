"""Encoder, decoder, embedding."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mdpseg.config.base import Settings

# Bounded, since a weights file says it too, and torch's sizes overflow.
Width = Annotated[int, Field(ge=1, le=2**16)]


class NetworkConfig(Settings):
    """Encoder, decoder and embedding."""

    encoder: str = Field(
        "mobilenetv3_small_100", max_length=100, description="Any timm model name that gives feature maps."
    )
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
    ] = Field("fpn", description="Of segmentation-models-pytorch.")
    output_stride: Literal[8, 16] | None = Field(
        None,
        description="Stride of the encoder's last map (DeepLabV3 and DeepLabV3+); default: the decoder's own.",
    )
    decoder_channels: Width | None = Field(
        None, description="Channels of the decoder's features (not Unet, Unet++, LinkNet); default: the decoder's own."
    )
    embedding_dim: Width | None = Field(
        None,
        description="D, dimension of a pixel's embedding; default: 128 (ours), or as many as the decoder's features "
        "have channels, if fewer.",
    )
    projection: Literal["linear", "mlp"] | None = Field(
        None,
        description="Projection head; linear: a single 1x1 conv; mlp: 1x1 conv, norm, ReLU, 1x1 conv. Default: that of "
        "`init`'s network, where `network` is left out; else mlp with `method: mdp-paper`, linear otherwise.",
    )
