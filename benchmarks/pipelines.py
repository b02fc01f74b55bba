"""Pipelines that people use today, with the geometry and the colours of ours: files in, normalised crop out.

Each builder gets images and masks and gives a dataset of (image float32 [3, crop, crop], mask int64 [crop, crop]). All
draw the scale log-uniformly from 1/2 to 2, relative to a short side of ``crop`` pixels, mirror half of the images, and
change brightness, contrast and saturation by up to 0.4. Resizing follows each library's own habit: where it does not
antialias, a second builder asks it to.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRENGTH = 0.4
Pair = tuple[Path, Path]
Builder = Callable[[Sequence[Pair], int], Dataset[Any]]


class _Pairs(Dataset[Any]):
    def __init__(self, pairs: Sequence[Pair], load: Callable[[Path, Path], Any]) -> None:
        self.pairs, self.load = list(pairs), load

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Any:
        return self.load(*self.pairs[index])


class _Indexed(Dataset[Any]):
    """The image and mask of a dataset whose items are dictionaries."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        item = self.items[index]
        return item["image"], item["mask"]


def _scale() -> float:
    return float(2 ** random.uniform(-1, 1))


def _factor() -> float:
    return random.uniform(1 - STRENGTH, 1 + STRENGTH)


def mmsegmentation(pairs: Sequence[Pair], crop: int, *, area: bool = False, published: bool = False) -> Dataset[Any]:
    """MMSegmentation's ADE20K pipeline by mmcv: RandomResize, RandomCrop, RandomFlip, colours, Pad, normalisation.

    Its own PhotoMetricDistortion (each change with probability 1/2; saturation and hue in HSV) where ``published``.
    Its bilinear resizing does not antialias; ``area`` does where it shrinks.
    """
    import cv2
    import mmcv

    cv2.setNumThreads(0)
    mean, std = (torch.tensor(v).mul(255)[:, None, None] for v in (MEAN, STD))

    def colours(image: np.ndarray) -> np.ndarray:
        image = mmcv.adjust_brightness(image, _factor())
        image = mmcv.adjust_contrast(image, _factor())
        return mmcv.adjust_color(image, _factor(), backend="cv2")

    def load(image_file: Path, mask_file: Path) -> Any:
        image = mmcv.imread(image_file)
        mask = mmcv.imread(mask_file, flag="unchanged", backend="pillow")
        scale = _scale()
        longest = round(4 * crop * scale), round(crop * scale)
        shrinks = area and min(image.shape[:2]) > min(longest)
        image = mmcv.imrescale(image, longest, interpolation="area" if shrinks else "bilinear", backend="cv2")
        mask = mmcv.imrescale(mask, longest, interpolation="nearest", backend="cv2")
        place = _mmseg_place(mask, crop)
        for _ in range(10):  # cat_max_ratio 0.75: no class may fill the crop
            ids, counts = np.unique(mask[place], return_counts=True)
            counts = counts[ids != 255]
            if len(counts) > 1 and counts.max() / counts.sum() < 0.75:
                break
            place = _mmseg_place(mask, crop)
        image, mask = image[place], mask[place]
        if random.random() < 0.5:
            image, mask = mmcv.imflip(image), mmcv.imflip(mask)
        image = _photometric_distortion(image) if published else colours(image)
        image = mmcv.impad(image, shape=(crop, crop), pad_val=0)
        mask = mmcv.impad(mask, shape=(crop, crop), pad_val=255)
        # packed as channels first; its data preprocessor swaps to RGB and normalises
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return (tensor[[2, 1, 0]].float() - mean) / std, torch.from_numpy(mask.astype(np.int64))

    return _Pairs(pairs, load)


def _mmseg_place(mask: np.ndarray, crop: int) -> tuple[slice, slice]:
    top, left = (random.randint(0, max(side - crop, 0)) for side in mask.shape[:2])
    return slice(top, top + crop), slice(left, left + crop)


def _photometric_distortion(image: np.ndarray) -> np.ndarray:
    import mmcv

    def convert(values: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
        return np.clip(values.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)

    if random.random() < 0.5:
        image = convert(image, beta=random.uniform(-32, 32))
    contrast_first = random.random() < 0.5
    if contrast_first and random.random() < 0.5:
        image = convert(image, alpha=random.uniform(0.5, 1.5))
    if random.random() < 0.5:
        hsv = mmcv.bgr2hsv(image)
        hsv[:, :, 1] = convert(hsv[:, :, 1], alpha=random.uniform(0.5, 1.5))
        image = mmcv.hsv2bgr(hsv)
    if random.random() < 0.5:
        hsv = mmcv.bgr2hsv(image)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + random.randint(-18, 17)) % 180
        image = mmcv.hsv2bgr(hsv)
    if not contrast_first and random.random() < 0.5:
        image = convert(image, alpha=random.uniform(0.5, 1.5))
    return image


def torchvision_reference(pairs: Sequence[Pair], crop: int) -> Dataset[Any]:
    """torchvision's reference training preset on PIL images (which antialias), with its ColorJitter."""
    from PIL import Image
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as transform

    jitter = transforms.ColorJitter(STRENGTH, STRENGTH, STRENGTH)

    def pad(image: Image.Image, fill: int) -> Image.Image:
        width, height = image.size
        return transform.pad(image, [0, 0, max(0, crop - width), max(0, crop - height)], fill=fill)

    def load(image_file: Path, mask_file: Path) -> Any:
        image, mask = Image.open(image_file).convert("RGB"), Image.open(mask_file)
        side = round(crop * _scale())
        image, mask = transform.resize(image, side), transform.resize(mask, side, InterpolationMode.NEAREST)
        if random.random() < 0.5:
            image, mask = transform.hflip(image), transform.hflip(mask)
        image, mask = pad(image, 0), pad(mask, 255)
        place = transforms.RandomCrop.get_params(image, (crop, crop))
        image, mask = jitter(transform.crop(image, *place)), transform.crop(mask, *place)
        pixels = transform.convert_image_dtype(transform.pil_to_tensor(image), torch.float32)
        return transform.normalize(pixels, MEAN, STD), torch.as_tensor(np.array(mask), dtype=torch.int64)

    return _Pairs(pairs, load)


def albumentations(pairs: Sequence[Pair], crop: int, *, area: bool = False) -> Dataset[Any]:
    """Albumentations as its documentation composes it; ``area`` antialiases where it shrinks."""
    import albumentations as album
    import cv2
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    rest = album.Compose(
        [
            album.PadIfNeeded(crop, crop, fill=0, fill_mask=255),
            album.RandomCrop(crop, crop),
            album.HorizontalFlip(p=0.5),
            album.ColorJitter(*([(1 - STRENGTH, 1 + STRENGTH)] * 3), hue=(0, 0), p=1),
            album.Normalize(MEAN, STD),
            ToTensorV2(),
        ]
    )
    sides = [round(crop * 2 ** (i / 8 - 1)) for i in range(17)]  # SmallestMaxSize chooses one of a list
    plain = album.SmallestMaxSize(sides, interpolation=cv2.INTER_LINEAR)
    shrink = album.SmallestMaxSize([s for s in sides if s < crop], interpolation=cv2.INTER_AREA)
    grow = album.SmallestMaxSize([s for s in sides if s >= crop], interpolation=cv2.INTER_LINEAR)

    def load(image_file: Path, mask_file: Path) -> Any:
        image = cv2.cvtColor(cv2.imread(str(image_file)), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(str(mask_file), cv2.IMREAD_UNCHANGED)
        resize = (shrink if random.random() < 0.5 else grow) if area else plain
        made = rest(**resize(image=image, mask=mask))
        return made["image"], made["mask"].long()

    return _Pairs(pairs, load)


def lightly_train(pairs: Sequence[Pair], crop: int) -> Dataset[Any]:
    """lightly-train's own dataset and transform; it scales every image to a square, and does not antialias."""
    from lightly_train._data import mask_semantic_segmentation_dataset as dataset
    from lightly_train._task_models.linear_semantic_segmentation import transforms as task
    from lightly_train._transforms.eomt_transforms.semantic_segmentation import EoMTSemanticSegmentationTransform

    jitter = task.LinearSemanticSegmentationColorJitterArgs(
        prob=1.0, brightness=STRENGTH, contrast=STRENGTH, saturation=STRENGTH, hue=0.0
    )
    arguments = task.LinearSemanticSegmentationTrainTransformArgs(
        image_size=(crop, crop), color_jitter=jitter, ignore_index=-100
    )
    arguments.resolve_auto(model_init_args={})
    arguments.resolve_incompatible()
    names = {i: dataset.SingleChannelClassInfo(name=f"class {i}", labels={i}) for i in range(150)}
    made = dataset.MaskSemanticSegmentationDataset(
        dataset.MaskSemanticSegmentationDatasetArgs(
            image_dir=pairs[0][0].parent, mask_dir_or_file=str(pairs[0][1].parent), classes=names, ignore_index=-100
        ),
        [{"image_filepaths": str(image), "mask_filepaths": str(mask)} for image, mask in pairs],
        EoMTSemanticSegmentationTransform(arguments),
    )
    return _Indexed(made)


PEERS: dict[str, Builder] = {
    "torchvision reference": torchvision_reference,
    "MMSegmentation's steps, antialiased (area)": partial(mmsegmentation, area=True),
    "albumentations, antialiased (area)": partial(albumentations, area=True),
    "MMSegmentation's steps": mmsegmentation,
    "MMSegmentation's steps and colours": partial(mmsegmentation, published=True),
    "albumentations": albumentations,
    "lightly-train": lightly_train,
}
ANTIALIAS = list(PEERS)[:3]
