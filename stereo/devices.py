"""Where a training runs: devices, precision and processes, through lightning-fabric.

Started by itself a command is one process on one device. Started by ``torchrun`` it is one of
several, on one machine or many; each takes its share of every batch, and gradients are averaged
before they are used. Gradients are averaged here and not by a wrapper around the network, so that
every method of a network may be called and hooks see what they always see.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import distributed, nn

from nas.synced import average_gradients, synchronize_norms
from stereo.errors import StereoError

PRECISIONS = ("32-true", "bf16-mixed")
DEVICES = ("auto", "cpu", "cuda")


def find_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is a CUDA device if there is one.

    Raises:
        StereoError: an unknown name, or no CUDA device.
    """
    if name not in DEVICES:
        raise StereoError(f"--device is one of {', '.join(DEVICES)}; got {name!r}.")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise StereoError("There is no CUDA device here; leave --device out, or give cpu.")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


@dataclass
class Device:
    """One process and its device.

    Args:
        device: "auto" takes a CUDA device if there is one.
        precision: "32-true", or "bf16-mixed" for matrix products and convolutions in bfloat16.

    Raises:
        StereoError: a device or precision that there is not.
    """

    device: str = "auto"
    precision: str = "32-true"
    fabric: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Join the other processes, if there are any."""
        from lightning_fabric import Fabric

        find_device(self.device)
        if self.precision not in PRECISIONS:
            raise StereoError(
                f"--precision is one of {', '.join(PRECISIONS)}; got {self.precision!r}."
            )
        world, local = (
            int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")
        )
        self.fabric = Fabric(
            accelerator=self.device,
            devices=local,
            num_nodes=world // local,
            strategy="ddp" if world > 1 else "auto",
            precision=self.precision,  # type: ignore[arg-type]
        )
        self.fabric.launch()

    @property
    def name(self) -> str:
        """What the device is called."""
        place = self.fabric.device
        if place.type == "cuda":
            return str(torch.cuda.get_device_name(place))
        return str(place)

    @property
    def rank(self) -> int:
        """Number of this process; 0 writes."""
        return int(self.fabric.global_rank)

    @property
    def ranks(self) -> int:
        """Number of processes."""
        return int(self.fabric.world_size)

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, and its batch norms to the statistics of all processes."""
        network.to(self.fabric.device)
        synchronize_norms(network)
        return network

    def move(self, batch: Any) -> Any:
        """Return a batch, a tensor or something with ``to``, or a tuple of such, on the device."""
        if isinstance(batch, tuple):
            return tuple(self.move(part) for part in batch)
        return batch.to(self.fabric.device, non_blocking=True)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in the precision that was asked for."""
        with self.fabric.autocast():
            yield

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over the processes, in place."""
        average_gradients([p.grad for p in parameters if p.grad is not None])

    def average_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        """Return the mean of each metric over the processes."""
        if self.ranks == 1:
            return metrics
        values = torch.tensor(
            list(metrics.values()), dtype=torch.float64, device=self.fabric.device
        )
        distributed.all_reduce(values)
        return dict(zip(metrics, (values / self.ranks).tolist(), strict=True))

    def barrier(self) -> None:
        """Wait for the other processes."""
        self.fabric.barrier()
