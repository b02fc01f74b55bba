"""Encoder, decoder and head; the momentum copy."""

from __future__ import annotations

import copy
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from mdpseg import encoders
from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError

# Below it a vector is as good as 0, and stays short: F.normalize's bound on the length, squared.
_LEAST_SQUARE = 1e-24
_EMBEDDING_DIM = 128  # at most, unless the configuration says so
# Sides of the input are padded to a multiple of this: the largest stride of an encoder.
STRIDE = 32
# PAN halves its map, at stride 16, three times.
LEAST_SIDE = {"pan": 128}


class SegmentationNetwork(nn.Module):
    """A timm encoder and a segmentation-models-pytorch decoder, with a head that is swapped between stages.

    Args:
        config: which encoder and decoder.

    Attributes:
        encoder, decoder: what fine-tuning keeps.
        head: maps decoder features to embeddings or logits; see :meth:`set_projection` and :meth:`set_classifier`.
        mean, std: float32 [1, 3, 1, 1], the encoder's own pixel normalisation for pixels from 0 to 1.
        feature_channels: channels of the decoder's features.
        origin: a line for the log about where its first weights came from, where there is something to say.

    Raises:
        UserError: timm has no such encoder, or the decoder does not go with it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.encoder.removeprefix("tu-")
        encoders.check_known(encoder)
        options = decoder_options(config)
        try:
            model = encoders.create_model(config.decoder, encoder, options)
        except (ValueError, TypeError, LookupError, RuntimeError, AttributeError, AssertionError) as error:
            asked = f"Encoder {encoder} does not go with decoder {config.decoder}"
            if config.decoder_channels is not None:  # the number may be at fault, or the pair; the message shows which
                asked = (
                    f"decoder_channels={config.decoder_channels}, decoder {config.decoder} and encoder {encoder} do "
                    "not go together"
                )
            reason = " ".join(str(error).split()) or type(error).__name__  # an assertion may have no text
            raise UserError(f"{asked}: {reason}") from error
        self.encoder, self.decoder = model.encoder, model.decoder
        self.feature_channels: int = model.segmentation_head[0].in_channels
        self.head: nn.Module = nn.Identity()
        self.origin = ""
        statistics = timm.get_pretrained_cfg(encoder)
        self.register_buffer("mean", torch.tensor(statistics.mean)[None, :, None, None])
        self.register_buffer("std", torch.tensor(statistics.std)[None, :, None, None])

    @property
    def embedding_dim(self) -> int:
        """D, dimension of a pixel's embedding: a projection cannot spread few channels over more dimensions."""
        return self.config.embedding_dim or min(_EMBEDDING_DIM, self.feature_channels)

    @property
    def least_side(self) -> int:
        """Smaller sides are padded up to it: the decoder's least, or the only one of the encoder; 0: there is none."""
        fixed = encoders.traits(self.config.encoder.removeprefix("tu-")).fixed
        return max(LEAST_SIDE.get(self.config.decoder, 0), fixed)

    def set_projection(self, default: Literal["linear", "mlp"] = "linear") -> None:
        """Makes the head a projection to embeddings of unit length, as pretraining needs it.

        Args:
            default: its kind, where the configuration names none; which it does from then on.
        """
        kind = self.config.projection or default
        self.config = self.config.model_copy(update={"projection": kind})
        self.head = Projection(self.feature_channels, self.embedding_dim, kind)

    def set_classifier(self, num_classes: int) -> None:
        """Makes the head a fresh :class:`Classifier`."""
        self.head = Classifier(self.feature_channels, num_classes)

    @property
    def classifier(self) -> Classifier:
        """The head, where it is a classifier."""
        assert isinstance(self.head, Classifier)
        return self.head

    def with_head(self, head: nn.Module) -> SegmentationNetwork:
        """The same encoder and decoder (shared, not copied) under another head."""
        other = copy.copy(self)
        other._modules = {**self._modules, "head": head}
        return other

    def features(self, images: Tensor) -> Tensor:
        """Decoder features [B, C, h, w] of uint8 (or 0..255 float) images [B, 3, H, W]; H and W multiples of 32.

        Raises:
            UserError: the encoder is made for one size alone, and it is not this one; or the decoder takes no image
                as small as this.
        """
        return self.decode(self.encode(images))

    def encode(self, images: Tensor) -> list[Tensor]:
        """The encoder's maps of images, see :meth:`features`, from the largest to the smallest."""
        least = LEAST_SIDE.get(self.config.decoder, 0)
        if min(images.shape[-2:]) < least:
            raise UserError(
                f"Decoder {self.config.decoder} takes no image under {least} x {least} pixels, and this one has "
                f"{images.shape[-2]} x {images.shape[-1]}; set augment.crop={least} or more, or choose another decoder."
            )
        # in place: one allocation instead of three
        pixels = images.to(torch.float32, copy=True).sub_(255 * self.mean).div_(255 * self.std)
        try:
            maps: list[Tensor] = self.encoder(pixels)
        except (AssertionError, RuntimeError) as error:
            side = encoders.traits(self.config.encoder.removeprefix("tu-")).fixed
            if not side or images.shape[-2:] == (side, side):
                raise
            raise UserError(
                f"Encoder {self.config.encoder} is made for {side} x {side} pixels and did not take {images.shape[-2]} "
                f"x {images.shape[-1]}; set augment.crop={side} (and eval.window={side}), or choose another encoder."
            ) from error
        return maps

    def decode(self, maps: list[Tensor]) -> Tensor:
        """Decoder features [B, C, h, w] of the encoder's maps, of which the first are the images themselves."""
        try:
            features: Tensor = self.decoder(maps)
        except RuntimeError as error:
            if "Adaptive pool MPS" not in str(error):
                raise
            raise UserError(
                f"Decoder {self.config.decoder} pools its maps in a way that MPS has for few sizes only, and not for "
                f"an image of {maps[0].shape[-2]} x {maps[0].shape[-1]}; set device=cpu, or choose another decoder."
            ) from error
        if maps[-1].is_contiguous(memory_format=torch.channels_last):  # some decoders' sums forget it
            features = features.contiguous(memory_format=torch.channels_last)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """The head's output at the decoder's stride, [B, embedding_dim or num_classes, h, w]."""
        output: Tensor = self.head(self.features(images))
        return output

    def logits(self, images: Tensor) -> Tensor:
        """The head's output at the images' own resolution; any height and width.

        Args:
            images: uint8 or float 0..255, [B, 3, H, W].

        Returns:
            float32 [B, num_classes, H, W].
        """
        height, width = images.shape[-2:]
        padded = self.pad(images)
        output = self(padded).float()
        output = F.interpolate(output, padded.shape[-2:], mode="bilinear", align_corners=False)
        return output[..., :height, :width]

    def pad(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] as float32, with grey below and to the right up to sides that the network takes."""
        least = self.least_side
        below, right = (least - side if side <= least else -side % STRIDE for side in images.shape[-2:])
        if images.shape[-2] + below == images.shape[-1] + right == STRIDE:
            right += STRIDE  # a group norm refuses maps of a single value
        return F.pad(images.float(), (0, right, 0, below), value=float(self.mean.mean() * 255))


def decoder_options(config: NetworkConfig) -> dict[str, Any]:
    """What segmentation-models-pytorch calls the decoder's settings."""
    options: dict[str, Any] = {}
    if config.output_stride is not None:
        if config.decoder not in ("deeplabv3", "deeplabv3plus"):
            raise UserError(f"output_stride is for deeplabv3 and deeplabv3plus; decoder {config.decoder} has its own.")
        options["encoder_output_stride"] = config.output_stride
    width = config.decoder_channels
    if width is not None:
        match config.decoder:
            case "fpn":  # its pyramid is twice as wide as what it gives, as in its defaults
                options |= {"decoder_pyramid_channels": 2 * width, "decoder_segmentation_channels": width}
            case "segformer":
                options["decoder_segmentation_channels"] = width
            case "pspnet":
                options["psp_out_channels"] = width
            case "deeplabv3" | "deeplabv3plus" | "upernet" | "pan":
                options["decoder_channels"] = width
            case _:
                raise UserError(f"decoder_channels cannot be set for {config.decoder}: its stages have their own.")
    return options


class Projection(nn.Module):
    """1x1 conv, norm, ReLU, 1x1 conv (or one linear 1x1 conv), then an L2 norm in float32.

    Shape: [B, C, h, w] -> [B, D, h, w] of unit length along D.
    """

    def __init__(self, channels: int, dim: int, kind: str) -> None:
        super().__init__()
        self.layers = (
            nn.Conv2d(channels, dim, 1)
            if kind == "linear"
            else nn.Sequential(
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(channels, dim, 1),
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        """Projects and normalises."""
        vectors: Tensor = self.layers(features).float()
        # as F.normalize, at a quarter of its time there and back: products are quicker than quotients
        return vectors * vectors.square().sum(1, keepdim=True).clamp_min(_LEAST_SQUARE).rsqrt()


class Classifier(nn.Sequential):
    """Layer norm, then a linear map of each pixel.

    The norm matters: a contrast of unit vectors leaves the scale of the features open, and a bare linear classifier's
    learning rate would have to be tuned to each pretraining.

    Shape: [B, C, h, w] -> [B, num_classes, h, w].
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(LayerNorm2d(channels, affine=False), nn.Conv2d(channels, num_classes, kernel_size=1))

    def normalised(self, features: Tensor) -> Tensor:
        """What the linear map is applied to, [B, C, h, w]."""
        rows: Tensor = self[0](features)
        return rows

    @property
    def rows(self) -> tuple[Tensor, Tensor]:
        """The linear map's weight [num_classes, C] and bias [num_classes]."""
        weight, bias = self.parameters()
        return weight.flatten(1), bias


class PrototypeClassifier(nn.Module):
    """Logits of a pixel: the cosines of its embedding with class prototypes, over the temperature.

    Args:
        projection: the head of a pretraining.
        vectors: float32 [K, D], prototypes of unit length.
        present: bool [K]; the others never win, and their probability is 0.
        temperature: tau.
        offsets: float32 [K], taken off the logits.

    Shape: [B, C, h, w] -> [B, K, h, w].
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, projection: nn.Module, vectors: Tensor, present: Tensor, temperature: float, offsets: Tensor
    ) -> None:
        super().__init__()
        self.projection = projection
        self.register_buffer("weight", (vectors * present[:, None] / temperature)[:, :, None, None])
        self.register_buffer("bias", (-offsets).masked_fill(~present, -1e4 / temperature))

    def forward(self, features: Tensor) -> Tensor:
        """Projects, and compares."""
        embeddings = self.projection(features).float()
        with torch.autocast(embeddings.device.type, enabled=False):  # look-alikes would tie in bfloat16
            return F.conv2d(embeddings, self.weight, self.bias)


def momentum_copy(network: SegmentationNetwork) -> SegmentationNetwork:
    """A copy that follows ``network`` by :func:`update_momentum` and has no gradient."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def update_momentum(follower: nn.Module, network: nn.Module, momentum: float) -> None:
    """Exponential moving average: follower = momentum * follower + (1 - momentum) * network, for every parameter.

    Buffers (running statistics) are the follower's own: it runs in training mode on the same images.
    """
    torch._foreach_lerp_(list(follower.parameters()), list(network.parameters()), 1.0 - momentum)
