"""A run's metrics and pictures to TensorBoard, Weights & Biases, MLflow or trackio, beside its own files.

They are looked at, never relied on: one that fails is left out from then on, a picture that cannot be drawn is left
out, and the run goes on.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mdpseg.config import RunConfig
from mdpseg.errors import UserError
from mdpseg.files import write_text
from mdpseg.recipe import flat

_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}


class Logger(Protocol):
    """What is asked of each of them."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step."""

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """A picture [H, W, 3] of a step."""

    def close(self, finished: bool) -> None:
        """The end, and whether the run reached it."""


class Loggers:
    """Those that a recipe names, opened when there is first something to log.

    Args:
        config: the run's.
        report: takes a line when one of them fails.
    """

    def __init__(self, config: RunConfig, report: Callable[[str], None]) -> None:
        self._config, self._report = config, report
        self._open: dict[str, Logger | None] = dict.fromkeys(config.loggers)

    def __bool__(self) -> bool:
        return bool(self._open)

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Numbers of a step; what is none is left out."""
        numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
        self._each(lambda logger: logger.scalars(step, numbers), step)

    def picture(self, step: int, name: str, draw: Callable[[], NDArray[np.uint8]]) -> None:
        """A picture [H, W, 3] of a step, which is drawn only if somebody takes it."""
        if not self:
            return
        try:
            pixels = draw()
        except Exception as error:  # whatever the drawing library raises, or a file that cannot be read any more
            self._report(f"picture {name} of step {step} could not be drawn and is left out ({_reason(error)})")
            return
        self._each(lambda logger: logger.picture(step, name, pixels), step)

    def close(self, finished: bool) -> None:
        """The end of the run: whether it reached it."""
        for name, logger in list(self._open.items()):
            if logger is not None:
                self._try(name, lambda logger=logger: logger.close(finished))  # type: ignore[misc]
        self._open = {}

    def _each(self, call: Callable[[Logger], None], step: int) -> None:
        for name in list(self._open):
            self._try(name, lambda name=name: call(self._opened(name, step)))  # type: ignore[misc]

    def _opened(self, name: str, step: int) -> Logger:
        logger = self._open[name]
        if logger is None:
            logger = self._open[name] = _MAKE[name](self._config, step)
        return logger

    def _try(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # whatever a library, its server or the network raises
            self._open.pop(name, None)
            self._report(f"logger {name} failed and is left out from here on ({_reason(error)})")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def check_loggers(config: RunConfig) -> None:
    """Refuses loggers whose package is not there, before the run starts.

    Raises:
        UserError: names the extra to install.
    """
    for name in config.loggers:
        if importlib.util.find_spec(_PACKAGES[name]) is None:
            raise UserError(
                f'loggers names {name}, which is not installed: pip install "mdpseg[{name}]", or remove it.'
            )


class _TensorBoard:
    def __init__(self, config: RunConfig, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # of a resumed run, what was written after its checkpoint is hidden
        self._writer = SummaryWriter(str(config.out / "tensorboard"), purge_step=step)
        self._writer.add_text("recipe", f"```\n{json.dumps(flat(config), indent=1)}\n```", step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self, finished: bool) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, config: RunConfig, step: int) -> None:
        # MLflow's own patience with a silent server is 20 minutes, in which the run and its other processes would stand
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        from mlflow import MlflowClient

        self._client = MlflowClient()  # where: MLFLOW_TRACKING_URI, as always with MLflow
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mdpseg")
        found = self._client.get_experiment_by_name(name)
        earlier = _earlier_id(config, "mlflow")
        if earlier is None:
            experiment = found.experiment_id if found else self._client.create_experiment(name)
            self._run = str(self._client.create_run(experiment, run_name=config.out.name).info.run_id)
            _keep_id(config, "mlflow", self._run)
            for key, value in flat(config).items():
                self._client.log_param(self._run, key, str(value)[:500])
        else:
            self._run = earlier

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        self._client.log_image(self._run, pixels, f"{name}-{step}.png")

    def close(self, finished: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


class _Wandb:
    def __init__(self, config: RunConfig, step: int) -> None:
        import wandb

        self._wandb = wandb
        earlier = _earlier_id(config, "wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "mdpseg"),
            name=config.out.name,
            dir=str(config.out),
            config=flat(config),
            id=earlier,
            resume="allow" if earlier else None,
        )
        _keep_id(config, "wandb", self._run.id)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        self._run.log({name: self._wandb.Image(pixels)}, step=step)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


class _Trackio:
    def __init__(self, config: RunConfig, step: int) -> None:
        self._trackio = importlib.import_module("trackio")
        # it finds an earlier run by its name alone, and folders of one name are not one run
        name = _earlier_id(config, "trackio") or f"{config.out.name}-{secrets.token_hex(3)}"
        self._trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "mdpseg"), name=name, config=flat(config), resume="allow"
        )
        _keep_id(config, "trackio", name)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._trackio.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        self._trackio.log({name: self._trackio.Image(pixels)}, step=step)

    def close(self, finished: bool) -> None:
        self._trackio.finish()


_MAKE: dict[str, Callable[[RunConfig, int], Logger]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
    "mlflow": _MLflow,
    "trackio": _Trackio,
}


def _id_file(config: RunConfig, name: str) -> Path:
    return config.out / f"{name}.id"


def _keep_id(config: RunConfig, name: str, number: str) -> None:
    write_text(_id_file(config, name), f"{number}\n")


def _earlier_id(config: RunConfig, name: str) -> str | None:
    """What a resumed run was called there."""
    file = _id_file(config, name)
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None
