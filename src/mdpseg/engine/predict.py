"""Masks for images without labels."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from mdpseg.config import PredictConfig
from mdpseg.data.image import as_pixels
from mdpseg.data.readers.decode import IMAGE_SUFFIXES
from mdpseg.data.readers.tiff import TIFF_SUFFIXES
from mdpseg.engine.quick_inference import quick_inference
from mdpseg.errors import UserError
from mdpseg.files import make_folder, write_text, write_whole
from mdpseg.model import SegmentationModel
from mdpseg.palette import colour_mask, palette
from mdpseg.recipe import load

_SUFFIXES = (*IMAGE_SUFFIXES, *TIFF_SUFFIXES)


def predict(config: PredictConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> list[Path]:
    """Writes NAME.png (palette mask, pixel value = class id) and NAME_overlay.jpg for every image, and classes.txt.

    Photographs are turned upright as their camera noted, and so are their masks. TIFFs are read as the run read them,
    or as ``tiff`` says.

    Args:
        config: a configuration, a dict, or the path of a YAML recipe.
        overrides: ``key=value``, as on the command line.

    Returns:
        The masks' paths, in the order of the images.

    Raises:
        UserError: no image matches, two images have the same name, an image cannot be read, or the weights are wrong.
    """
    config = load(config, PredictConfig, overrides)
    model = _open(config)
    images = find_images(config.images)
    classes = "".join(f"{name}\n" for name in model.classes)
    _refuse_to_overwrite(images, config.out, classes)
    masks: list[Path] = []
    with quick_inference(model.network):
        for path in track(images, "predicting", disable=len(images) < 2):
            try:
                image = as_pixels(path, model.bands)  # [3, H, W]
                seen = model.predict(image.permute(1, 2, 0).numpy(), eval=config.eval, probabilities=False)
            except UserError as error:
                done = f" {len(masks)} of {len(images)} masks were written before." if masks else ""
                raise UserError(f"{error}{done}") from error
            if not masks:  # from here on there is something to tell the classes of
                make_folder(config.out)
                write_text(config.out / "classes.txt", classes)
            mask = torch.from_numpy(seen.mask)
            masks.append(config.out / f"{path.stem}.png")
            shown = image.float().lerp(colour_mask(mask).float(), config.opacity).to(torch.uint8)
            _write_picture(_overlay_of(masks[-1]), shown)  # first: a mask without one is not taken for ours
            write_mask(masks[-1], mask)
    return masks


def _overlay_of(mask: Path) -> Path:
    return mask.with_name(f"{mask.stem}_overlay.jpg")


def _refuse_to_overwrite(images: Sequence[Path], out: Path, classes: str) -> None:
    """Refuses a folder that holds the images themselves, or masks and classes that are no earlier prediction's."""
    given = {path.resolve(): path for path in images}
    for path in images:
        mask = out / f"{path.stem}.png"
        for written in (mask, _overlay_of(mask)):
            if written.resolve() in given:
                lost = given[written.resolve()]
                raise UserError(f"{lost} would be overwritten by a mask; choose another out folder than {out}.")
        if mask.exists() and not _overlay_of(mask).exists():
            raise UserError(f"{mask} is there, and no earlier prediction's; choose another out folder than {out}.")
    listed = out / "classes.txt"
    earlier = {file.name.removesuffix("_overlay.jpg") for file in out.glob("*_overlay.jpg")}
    replaced = earlier and earlier <= {path.stem for path in images}  # masks and their classes go together
    if listed.is_file() and listed.read_bytes() != classes.encode() and not replaced:
        raise UserError(f"{listed} names other classes than the network's; choose another out folder than {out}.")


def _open(config: PredictConfig) -> SegmentationModel:
    model = SegmentationModel.from_run(
        config.weights, config.device, config.taxonomy, precision=config.precision, tiff=config.tiff
    )
    if model.taxonomies and not config.prototypes:
        raise UserError(
            f"{config.weights} holds a pretrained network; fine-tune it first (mdpseg finetune ... init=...), or "
            f"segment by its prototypes (--prototypes, with --taxonomy one of {', '.join(model.taxonomies)})."
        )
    if config.prototypes and not model.taxonomies:
        raise UserError(f"{config.weights} is fine-tuned and has no prototypes; leave --prototypes out.")
    if len(model.classes) > 255:
        raise UserError(
            f"The datasets have {len(model.classes)} classes together, and a mask holds 255; choose one by --taxonomy: "
            f"{', '.join(model.taxonomies)}."
        )
    return model


def find_images(patterns: Sequence[str]) -> list[Path]:
    """The image files that files, folders and globs mean, sorted within each.

    Raises:
        UserError: a pattern means no image, or two files would write the same mask.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            matches = sorted(p for p in path.glob("[!.]*") if p.suffix.lower() in _SUFFIXES)
        elif path.is_file():
            matches = [path]
        else:
            matches = sorted(Path(p) for p in glob.glob(pattern, recursive=True) if Path(p).is_file())
        if not matches:
            known = f"give image files, a folder or a glob of {', '.join(_SUFFIXES)}"
            raise UserError(f"No image at {pattern!r}; {known}.{left_out(pattern)}")
        found += matches
    stems: dict[str, Path] = {}
    for path in found:
        other = stems.setdefault(path.stem, path)
        if other != path:
            raise UserError(f"{other} and {path} would both write {path.stem}.png; predict them into two folders.")
    return list(stems.values())


def left_out(pattern: str) -> str:
    """A sentence on the images in the sub-folders of a folder, which the folder does not mean; empty without any."""
    below = sorted(p for p in Path(pattern).glob("[!.]*/**/[!.]*") if p.suffix.lower() in _SUFFIXES)
    if not below:
        return ""
    images = "1 image in its sub-folders is" if len(below) == 1 else f"{len(below)} images in its sub-folders are"
    return f" {images} left out; '{Path(pattern) / '**'}/*{below[0].suffix}' means these, too."


def write_mask(path: Path, mask: Tensor) -> None:
    """Writes a mask uint8 [H, W] as a palette PNG whose pixel values are the class ids."""
    picture = Image.fromarray(mask.numpy(), mode="P")
    picture.putpalette(palette(256).flatten().tolist())
    write_whole(path, picture.save)


def _write_picture(path: Path, image: Tensor) -> None:
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    write_whole(path, lambda temporary: picture.save(temporary, quality=92))
