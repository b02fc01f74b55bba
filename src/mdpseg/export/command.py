"""``mdpseg export``: chooses the target."""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mdpseg.errors import UserError

Target = Literal["timm", "torchvision", "smp", "mmseg", "transformers", "onnx", "safetensors"]
Part = Literal["encoder", "network"]

# Which parts each can take, the default first, and the name of what it writes of each (a folder has no suffix). No name
# stands twice: nothing of a run's folder is to overwrite something else.
_TARGETS: dict[Target, dict[Part, str]] = {
    "timm": {"encoder": "timm.safetensors"},
    "torchvision": {"encoder": "torchvision.pth"},
    "smp": {"network": "smp.safetensors"},
    "mmseg": {"encoder": "mmseg.pth"},
    "transformers": {"encoder": "transformers"},
    "onnx": {"network": "network.onnx", "encoder": "encoder.onnx"},
    "safetensors": {"network": "plain.safetensors", "encoder": "plain-encoder.safetensors"},
}


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        path: a file; for transformers a folder.
        how_to_load: Python code that loads it where it belongs.
    """

    path: Path
    how_to_load: str


def export(
    run: str | Path,
    to: Target,
    part: Part | None = None,
    out: str | Path | None = None,
    *,
    int8: bool = False,
    data: str | Path | None = None,
) -> Exported:
    """Writes a run's network, or its encoder, for another library.

    Args:
        run: folder of a run, or its weights file.
        to: which library.
        part: default: the first that the target takes.
        out: what to write, or a folder for it; no file that is there is overwritten. Default: a name by target and
            part, in the run's folder under ``export``, where an export replaces its own earlier one. In front of it
            stands the name of a weights file that is not called weights.safetensors.
        int8: for onnx of a fine-tuning's network, write a second file whose weights have 8 bits.
        data: for onnx of a fine-tuning's network, an evaluation's recipe; its dataset tells what mIoU the files have.

    Raises:
        UserError: the target does not take this part, or this network, and which one does; or nothing can be written.
    """
    from mdpseg.export.source import open_source

    if to not in get_args(Target):
        raise UserError(f"Nothing is exported to {to!r}; expected one of {', '.join(get_args(Target))}.")
    if to != "onnx" and (int8 or data):
        raise UserError(f"--int8 and --data are for --to onnx, not for --to {to}; leave them out.")
    names = _TARGETS[to]
    part = part or next(iter(names))
    if part not in names:
        able = [target for target, its_names in _TARGETS.items() if part in its_names]
        raise UserError(f"--to {to} takes the {next(iter(names))} alone; for the {part}: --to {', '.join(able)}.")
    name = names[part]
    is_folder = not Path(name).suffix
    source = open_source(Path(run))
    if source.path.name != "weights.safetensors":  # one of several in a folder, whose exports stand beside each other
        name = f"{source.path.stem}-{name}"
    path = Path(out) if out else source.path.parent / "export" / name
    if path.is_dir() and not is_folder:
        path = path / name
    int8_path = path.with_name(f"{path.stem}-int8{path.suffix}") if int8 else None
    files = [path / "model.safetensors", path / "config.json"] if is_folder else [path, int8_path or path]
    _try_place(path, is_folder, files if out else [])
    if to == "onnx":
        from mdpseg.export import onnx

        return Exported(path, onnx.write(source, path, part, int8_path, Path(data) if data else None))
    return Exported(path, importlib.import_module(f"mdpseg.export.{to}").write(source, path, part))


def _try_place(path: Path, is_folder: bool, keep: list[Path]) -> None:
    """Makes the folders, before minutes are spent.

    Raises:
        UserError: one of the files ``keep`` is there, maybe a run's own weights; or nothing can be written.
    """
    try:
        for file in keep:
            if file.exists():
                raise UserError(f"{file} exists; choose another --out (what is there is never overwritten).")
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_folder:
            path.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name another place with --out.") from error
