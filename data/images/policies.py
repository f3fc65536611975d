"""Kornia's AutoAugment and RandAugment, drawn for each image.

Kornia draws one policy for a whole batch; the papers draw one for each image. So each pair of
operations (AutoAugment) or single operation (RandAugment) is a policy of kornia's here, and is
applied to the images that drew it. That costs more calls: for 128 images of 32 x 32 on one CPU
thread AutoAugment takes some 60 ms instead of 17 ms.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from data.augment.tonic_step import seeded

Step = Callable[[Tensor], Tensor]


@lru_cache
def auto_steps(table: str) -> tuple[Step, ...]:
    """Return AutoAugment's pairs of operations, published for ``cifar10`` or ``imagenet``."""
    from kornia.augmentation.auto import AutoAugment
    from kornia.augmentation.auto.autoaugment.autoaugment import cifar10_policy, imagenet_policy

    pairs = {"cifar10": cifar10_policy, "imagenet": imagenet_policy}[table]
    return tuple(AutoAugment([pair]) for pair in pairs)


@lru_cache
def random_steps(magnitude: int) -> tuple[Step, ...]:
    """Return RandAugment's operations, as strong as ``magnitude`` (of 30) says."""
    from kornia.augmentation.auto import RandAugment
    from kornia.augmentation.auto.rand_augment.rand_augment import default_policy

    return tuple(RandAugment(1, magnitude, policy=[operation]) for operation in default_policy)


def apply_steps(
    steps: Sequence[Step],
    rounds: int,
    x: Float32[Tensor, "B 3 H W"],
    chances: Float[np.ndarray, " B"],
    seed: int,
) -> Float32[Tensor, "B 3 H W"]:
    """Return images, each changed by steps of its own.

    Args:
        steps: to choose from.
        rounds: how many steps each image gets, one after another; the same may come again.
        x: images from 0 to 1; they stay as they are.
        chances: uniform random numbers from 0 to 1 that decide on the steps of each image.
        seed: of the strengths and directions, which kornia draws from torch's global generator; it
            is put back afterwards.
    """
    with seeded(seed), _device_seeded(x.device, seed):
        for _ in range(rounds):
            drawn = np.floor(chances * len(steps)).astype(np.int64)
            # What is left of a uniform number after its first digit is uniform again.
            chances = chances * len(steps) - drawn
            out = torch.empty_like(x)
            for number in np.unique(drawn):
                mine = torch.from_numpy(np.flatnonzero(drawn == number)).to(x.device)
                out[mine] = steps[number](x[mine]).clamp(0.0, 1.0)
            x = out
    return x


@contextmanager
def _device_seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the generator of a GPU, and put it back afterwards; nothing for the CPU."""
    if device.type != "cuda":
        yield
        return
    with torch.random.fork_rng([device]), torch.cuda.device(device):
        torch.cuda.manual_seed(seed)
        yield
