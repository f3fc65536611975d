"""What every training moves its weights with: optimizer, schedule, and their running average."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stereo.config import Optimization
from stereo.errors import StereoError

Network = TypeVar("Network", bound=nn.Module)


def make_optimizer(setting: Optimization, network: nn.Module) -> Optimizer:
    """Return the optimizer that a configuration names, for all parameters of a network."""
    named: dict[str, Any] = {"lr": setting.learning_rate, "weight_decay": setting.weight_decay}
    if setting.optimizer == "adamw":
        return AdamW(network.parameters(), **named)
    nesterov = setting.momentum > 0
    return SGD(network.parameters(), momentum=setting.momentum, nesterov=nesterov, **named)


def learning_rate(setting: Optimization, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / max(1, setting.warmup))
    return setting.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / setting.steps))


def synapse_price(setting: Optimization, step: int) -> float:
    """Return what the share of reached synapses costs in a step: a line up, then level."""
    rise = setting.synapse_ramp * setting.steps
    return setting.synapse_weight * min(1.0, (step + 1) / max(1.0, rise))


@dataclass
class Training(Generic[Network]):
    """A network in training: itself, its running average and its optimizer.

    Attributes:
        network: trained in place.
        average: of its weights and statistics; ``average.module`` is what is evaluated and saved.
        optimizer: of its parameters.
        setting: how.
        twin: learns in the network's place in the first steps: made of the same weights, with
            rectifiers for neurons; None where there are no such steps.
        readers: of spikes, where the synapses that these reach are paid for (``stereo.reach``).
    """

    network: Network
    average: AveragedModel
    optimizer: Optimizer
    setting: Optimization
    twin: nn.Module | None = None
    readers: tuple[str, ...] = ()

    @classmethod
    def start(
        cls, network: Network, setting: Optimization, twin: Callable[[], nn.Module] | None = None
    ) -> "Training[Network]":
        """Begin with a network as it is; ``twin`` makes its twin if it has to learn first."""
        average = AveragedModel(
            network, multi_avg_fn=partial(_average, setting.ema), use_buffers=True
        )
        first = twin() if twin is not None and setting.analog_share else None
        return cls(network, average, make_optimizer(setting, network), setting, first)

    def learner(self, step: int) -> nn.Module:
        """Return what learns in a step."""
        analog = round(self.setting.analog_share * self.setting.steps)
        return self.network if self.twin is None or step >= analog else self.twin

    @property
    def averaged(self) -> Network:
        """The network with averaged weights."""
        module = self.average.module
        if not isinstance(module, type(self.network)):
            raise TypeError(f"Expected the averaged network, got {type(module)}.")
        return module

    def step(self, step: int) -> float:
        """Move the weights down the gradients that they hold; return the norm of these."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.setting, step)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.setting.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return float(norm)

    def state(self) -> dict[str, Any]:
        """Return what resuming needs."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state.

        Raises:
            StereoError: it is that of another network.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise StereoError(
                f"The saved state does not belong to this network: {error}"
            ) from error


def averaging_decay(most: float, seen: int) -> float:
    """Return the decay of a running average that has seen so many updates.

    It begins low, so that the weights of the beginning do not outlast a short training: as the
    running averages of TensorFlow, ``min(most, (1 + n) / (10 + n))``.
    """
    return min(most, (1 + seen) / (10 + seen))


def _average(
    most: float, averaged: list[Tensor], current: list[Tensor], seen: Tensor | int
) -> None:
    decay = averaging_decay(most, int(seen))
    get_ema_multi_avg_fn(decay)(averaged, current, seen)  # type: ignore[no-untyped-call]
