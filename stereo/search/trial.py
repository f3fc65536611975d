"""One genotype by itself: trained from scratch for a while, its loss on held-out data is its error.

All methods are compared by this, so none is favored by how it came to its genotype.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

import torch

from nas.genotype import Genotype
from stereo.analog_twin import rectified
from stereo.checkpoint import channels_last
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.optimize import Training
from stereo.search.setting import TrialSetting
from stereo.tasks.task import Batch, Progress, Task


def trial_error(
    task: Task,
    genotype: Genotype,
    setting: TrialSetting,
    device: Device,
    progress: Progress = lambda _done, _all: None,
) -> float:
    """Return the held-out loss of a genotype after a short training.

    Args:
        task: configuration and data.
        genotype: to build.
        setting: length of the training, and its seed.
        device: where.
        progress: told after every step.

    Returns:
        The mean loss; infinity if the training came to no finite loss.
    """
    whole = task.config.train
    warmup = min(whole.warmup, setting.steps // 5)
    optimization = replace(whole, steps=setting.steps, warmup=warmup, accumulate=1, dgs=False)
    with torch.random.fork_rng():
        torch.manual_seed(setting.seed)
        network = channels_last(task.network(genotype))
        device.place(network)
        training = Training.start(
            network.train(), optimization, lambda: device.place(rectified(network, task))
        )
        for step, (batch, _) in enumerate(islice(task.halves(), setting.steps)):
            training.optimizer.zero_grad(set_to_none=True)
            with device.autocast():
                loss, _ = task.loss(training.learner(step), device.move(batch))
            if not bool(torch.isfinite(loss)):
                return float("inf")
            loss.backward()  # type: ignore[no-untyped-call]
            device.average_gradients(network.parameters())
            training.step(step)
            progress(step + 1, setting.steps)
        averaged = training.averaged.eval()
        return held_out_loss(task, averaged, setting.batches, device)


def held_out_loss(task: Task, network: torch.nn.Module, batches: int, device: Device) -> float:
    """Return the mean loss of a network in eval mode over batches of the second half."""
    return mean_loss(task, network, (batch for _, batch in islice(task.halves(), batches)), device)


def mean_loss(
    task: Task, network: torch.nn.Module, batches: Iterable[Batch], device: Device
) -> float:
    """Return the mean loss of a network in eval mode over batches."""
    losses = []
    with torch.no_grad():
        for batch in batches:
            with device.autocast():
                losses.append(float(task.loss(network, device.move(batch))[0]))
    if not losses:
        raise StereoError("A held-out loss needs at least one batch.")
    return sum(losses) / len(losses)
