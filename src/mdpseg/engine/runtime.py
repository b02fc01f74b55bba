"""Devices, precision, and the processes of a run."""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from datetime import timedelta
from typing import Literal, get_args

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from mdpseg.config import RunConfig
from mdpseg.config.base import PrecisionName
from mdpseg.errors import UserError

Device = str  # auto, cpu, cuda, cuda:N or mps
Precision = PrecisionName

_RANK_TIMEOUT = 600
# Before it, on MPS, batch norms of images stored channels last had wrong gradients (pytorch issue 175189), and earlier
# int64 was added in 32 bits, in which the bank's sums do not fit.
_TORCH_OF_MPS = "2.14"


def make_fabric(device: Device, precision: Precision) -> Fabric:
    """The Lightning Fabric of one process on one device.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto`` takes CUDA, else MPS, else the CPU.
        precision: of the forward pass (autocast); weights and losses stay float32.

    Raises:
        UserError: the device asked for is not there, or the precision is none of these.
    """
    if precision not in get_args(Precision):
        raise UserError(f"precision is {precision!r:.60}; expected {', '.join(get_args(Precision))}.")
    chosen, which = _device(device)
    return Fabric(accelerator=chosen, devices=which, precision=_precision(precision, chosen))


def make_training_fabric(config: RunConfig) -> Fabric:
    """The Lightning Fabric of a training run, on as many devices and machines as the recipe or torchrun says.

    Raises:
        UserError: devices are asked for that are not there, or that do not go together.
    """
    chosen, which = _device(config.device)
    devices, nodes = _world(config)
    if config.sync_batchnorm and chosen != "cuda":
        raise UserError(
            f"sync_batchnorm is true, and torch has it on CUDA only (device here: {chosen}); leave it out, or use an "
            "encoder with group or layer norm."
        )
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True, warn_only=True)  # a few kernels have no such form: torch names them
    precision = _precision(config.precision, chosen)
    if devices * nodes == 1:
        return Fabric(accelerator=chosen, devices=which, precision=precision)
    _check_devices(config, chosen, devices, nodes)
    # The bank is equal by itself, and running statistics are evened out when needed.
    new_name = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    buffers = {"forward_sync_buffers" if new_name else "broadcast_buffers": False}
    timeout = timedelta(seconds=config.rank_timeout or _RANK_TIMEOUT)
    strategy = DDPStrategy(
        timeout=timeout,
        gradient_as_bucket_view=True,
        find_unused_parameters=True,  # some decoders (pspnet) leave deep layers of the encoder unused
        **buffers,
    )
    return Fabric(accelerator=chosen, devices=devices, num_nodes=nodes, precision=precision, strategy=strategy)


def rank_of(fabric: Fabric) -> int:
    """Which process of the run this is; known before they have met."""
    environment = getattr(fabric.strategy, "cluster_environment", None)
    if environment is None:
        return 0
    return int(environment.node_rank() * fabric.strategy.num_processes + environment.local_rank())


def launch(fabric: Fabric) -> None:
    """Starts the other processes of this machine, unless torchrun or SLURM did, and meets those of the others.

    Raises:
        UserError: what SLURM or torchrun started is not what the recipe asks for, or the others did not come.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would say that it is there
    # a 1x1 convolution's channels_last weight has two right strides, and its gradient may take the other
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    try:
        fabric.launch()
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"The processes of the run did not come together: {' '.join(str(error).split()):.400}"
        ) from error


def _device(device: Device) -> tuple[str, int | list[int]]:
    """Its sort, and which of them as Fabric has it: any one, or that of a number."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mac = torch.backends.mps.is_available()
    mps = mac and torch.__version__ >= _TORCH_OF_MPS  # compared as versions
    there = {"cuda": count > 0, "mps": mps, "cpu": True}
    sorts = [sort for sort, is_there in there.items() if is_there]  # the best one first
    possible = ["auto", *reversed(sorts), *(f"cuda:{number}" for number in range(count))]
    name = str(device)  # of a torch.device, too
    if name not in possible:
        shown = ", ".join(f"device={one}" for one in possible)
        hint = f" (mps wants torch {_TORCH_OF_MPS}, and this is {torch.__version__})" if mac and not mps else ""
        raise UserError(f"device is {name:.60}, which torch does not find here{hint}; possible here: {shown}.")
    sort, _, number = (sorts[0] if name == "auto" else name).partition(":")
    return sort, [int(number)] if number else 1


def _precision(precision: Precision, device: str) -> Literal["bf16-mixed", "32-true"]:
    # older GPUs only emulate it, slower than float32 or not at all
    native = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if precision == "bf16" or (precision == "auto" and native) else "32-true"


def _world(config: RunConfig) -> tuple[int, int]:
    """Devices a machine, and machines; torchrun knows both."""
    if not torch.distributed.is_torchelastic_launched():
        return config.devices or 1, config.nodes or 1
    devices = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // devices
    if (config.devices or devices, config.nodes or nodes) != (devices, nodes):
        raise UserError(
            f"torchrun started {devices} processes on each of {nodes} machines, the recipe says devices="
            f"{config.devices} nodes={config.nodes}; leave both out, torchrun's are taken."
        )
    return devices, nodes


def _check_devices(config: RunConfig, chosen: str, devices: int, nodes: int) -> None:
    if ":" in config.device:
        raise UserError(
            f"devices={devices} nodes={nodes}, and device {config.device} is one only; set device=cuda, and choose "
            "which by CUDA_VISIBLE_DEVICES."
        )
    if chosen == "mps":
        raise UserError(f"devices={devices} nodes={nodes}, and device mps is one only; use devices=1 nodes=1.")
    if chosen == "cuda" and torch.cuda.device_count() < devices:
        raise UserError(f"devices={devices}, and torch finds {torch.cuda.device_count()} CUDA devices here.")
    if config.batch_size < devices * nodes:
        raise UserError(
            f"batch_size is {config.batch_size}, too few for {devices * nodes} processes; give at least one image each."
        )
