"""A network or its encoder as ONNX, for any size and batch: traced, tried in onnxruntime beside torch, written."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from mdpseg.config import EvaluateConfig
from mdpseg.data.loader import Reader
from mdpseg.data.open import open_dataset
from mdpseg.encoders import traits
from mdpseg.errors import UserError
from mdpseg.export.graph import Graph, graph_of
from mdpseg.export.pooling import with_plain_pooling
from mdpseg.export.source import Source
from mdpseg.files import write_whole
from mdpseg.metrics import ConfusionMatrix
from mdpseg.recipe import load

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Tried on after export: batch, height, width; the first is what it is traced with, of different sides on purpose.
_SIZES = ((2, 160, 224), (1, 192, 128), (3, 139, 258))
# The same for an encoder of one size: that size in pixels, less these.
_LESS = ((2, 0, 64), (1, 0, 0), (3, 21, 58))
_CLOSE = 1e-3  # of the largest output
_INSTEAD = "Another encoder may do; --to safetensors takes any network."


def write(source: Source, path: Path, part: str, int8: Path | None, data: Path | None) -> str:
    """Writes the graph, tries it in onnxruntime beside torch, and returns the code that loads it, with what it found.

    Raises:
        UserError: onnx is not installed, there is no classifier for ``int8`` or ``data``, torch cannot export the
            network, or the graph's outputs are not the network's.
    """
    _need_onnx()
    for option, given in (("--int8", int8), ("--data", data)):  # what 8 bits cost is told as mIoU
        if given:
            if part == "encoder":
                raise UserError(f"{option} is for the whole network, not for --part encoder; leave it out.")
            source.need_classifier(option)
    graph = graph_of(source, part).eval()
    judge = _judge(source, load(data, EvaluateConfig, [f"weights={source.path}"])) if data else None
    differences = []

    def export_and_try(temporary: Path) -> None:
        _export(source, graph, temporary)
        differences.append(_difference(source, graph, temporary))

    write_whole(path, export_and_try)
    files = {"float32": path}
    if int8:
        files["int8"] = int8
        write_whole(int8, lambda temporary: _quantise(path, temporary))
    notes = [f"# largest difference of a {graph.noun} to torch's, tried at {len(_SIZES)} sizes: {differences[0]:.1e}"]
    if fixed := traits(source.encoder).fixed:
        notes.append(f"# its encoder has one size: images of at most {fixed} x {fixed} pixels, which are padded to it")
    notes += [f"# {name}: {file.stat().st_size / 2**20:.2f} MiB, {file}" for name, file in files.items()]
    if judge:
        notes += _judged(files, judge)
    if "logits" in graph.names:
        notes += [f"# its classes: {', '.join(source.classes[:8])}{', ...' if source.classes[8:] else ''}"]
    return "\n".join(
        (
            f"import onnxruntime\n\nsession = onnxruntime.InferenceSession({str(path)!r})",
            graph.usage(),
            *notes,
        )
    )


def _need_onnx() -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(name) is None:
            raise UserError(f'--to onnx needs {name}: pip install "mdpseg[onnx]"')


def _sizes(source: Source) -> Sequence[tuple[int, int, int]]:
    fixed = traits(source.encoder).fixed
    return [(batch, fixed - above, fixed - left) for batch, above, left in _LESS] if fixed else _SIZES


def _export(source: Source, graph: Graph, path: Path) -> None:
    import onnx

    plain = with_plain_pooling(graph)
    axes = graph.axes()
    batch, height, width = _sizes(source)[0]
    images = torch.rand(batch, 3, height, width) * 255
    with _quietly(), torch.no_grad():
        try:
            _export_traced(plain, images, axes, path)
        except Exception as lacking:  # torch has no common base for it; this exporter resizes no ViT's positions
            try:
                _export_compiled(plain, images, list(axes)[1:], path)
            except Exception as error:  # its own message is advice on changing the network's code
                reason = (str(lacking).strip().splitlines() or [type(lacking).__name__])[0]
                config = source.network.config
                raise UserError(
                    f"torch cannot export {config.encoder} + {config.decoder} to ONNX ({reason:.150}). {_INSTEAD}"
                ) from error
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, source.metadata())
    onnx.save(model, str(path))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters and quantisation say: of constants, progress, shapes; of a failure, the whole graph."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        patch("torch._C._jit_set_onnx_log_enabled", create=True),  # the tracer turns it on, whatever `verbose` says
    ):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def _export_traced(graph: nn.Module, images: Tensor, axes: dict[str, dict[int, str]], path: Path) -> None:
    """By a trace: seconds, but operators are missing."""
    torch.onnx.export(
        graph,
        (images,),
        str(path),
        input_names=["images"],
        output_names=list(axes)[1:],
        dynamic_axes=axes,
        opset_version=18,
        dynamo=False,
    )


def _export_compiled(graph: nn.Module, images: Tensor, names: list[str], path: Path) -> None:
    """By torch.export: more operators, but a minute and more."""
    sides = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    torch.onnx.export(
        graph,
        (images,),
        str(path),
        input_names=["images"],
        output_names=names,
        dynamic_shapes={"images": sides},
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _quantise(path: Path, to: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quietly():
        # unsigned: onnxruntime has no convolution for signed weights on the CPU
        quantize_dynamic(str(path), str(to), weight_type=QuantType.QUInt8)


def _difference(source: Source, graph: Graph, path: Path) -> float:
    """The largest difference of a number to torch's.

    Raises:
        UserError: it is large.
    """
    session, largest = _session(path), 0.0
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in _sizes(source):
        images = 255 * torch.rand(batch, 3, height, width, generator=generator)
        with torch.no_grad():
            expected = graph.expected(images)
        try:
            found = [torch.from_numpy(output) for output in session.run(list(graph.names), {"images": images.numpy()})]
            each = [float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)]
        except Exception:  # onnxruntime's errors have no common base; or another size
            each = [float("inf")] * len(expected)
        if not all(one <= _CLOSE * max(1.0, float(b.abs().max())) for one, b in zip(each, expected, strict=True)):
            config = source.network.config
            raise UserError(
                f"The ONNX graph that torch makes of {config.encoder} + {config.decoder} does not give torch's own "
                f"{graph.noun}s at {height} x {width} pixels, so it is not written. {_INSTEAD}"
            )
        largest = max(largest, *each)
    return largest


def _judge(source: Source, config: EvaluateConfig) -> Reader:
    """The dataset that tells what mIoU the files have."""
    reader = open_dataset(config.dataset, config.data_root)
    if reader.classes != source.classes:
        raise UserError(f"Dataset {reader.name!r} has other classes than {source.path}; they must be equal, in order.")
    return reader


def _judged(files: dict[str, Path], reader: Reader) -> list[str]:
    """The mIoU of each file on a dataset, each image whole."""
    lines = []
    for name, file in files.items():
        session, confusion = _session(file), ConfusionMatrix(len(reader.classes))
        for index in range(len(reader)):
            sample = reader[index]
            images = sample.image[None].float().numpy()
            logits: np.ndarray[Any, Any] = session.run(["logits"], {"images": images})[0]
            confusion.update(torch.from_numpy(logits.argmax(1)[0]), sample.mask)
        lines.append(f"# {name}: mIoU {confusion.mean_iou():.2%} on {len(reader)} images of {reader.name}")
    return lines


def _session(path: Path) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it raises says it, too
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
