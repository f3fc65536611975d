"""What each of several processes does in the test of a training that they share.

Started with the environment that ``torchrun`` gives, and the arguments of ``stereo train``: they
are followed in float64 in the run folder ``RUN-64``, and then as they are for one step.
"""

import sys
from pathlib import Path

import torch

from stereo.cli import app
from stereo.devices import Device
from stereo.image_presets import IMAGE_PRESETS
from stereo.tasks.images import ImageTask
from stereo.tasks.task import Source
from stereo.train import train


class Exact(Device):
    """Networks and batches in float64: sums in another order leave every spike where it is."""

    def place(self, network):
        network.double()
        super().place(network)

    def move(self, batch):
        moved = super().move(batch)
        return moved.double() if isinstance(moved, torch.Tensor) else moved


class ExactImages(ImageTask):
    """Evaluates in float64 too."""

    def evaluation_batches(self, samples):
        for x, labels in super().evaluation_batches(samples):
            yield x.double(), labels


def train_exactly(options, folder, run):
    """Train the tiny classifier in float64, alone or as one of several processes."""
    config = IMAGE_PRESETS["tiny_images"]().override(options)
    return train(ExactImages(config, Source(data=folder, workers=0)), run, device=Exact("cpu"))


def main(folder, run, *pairs):
    torch.set_num_threads(1)
    options = dict(pair.split("=", 1) for pair in pairs)
    train_exactly(options, Path(folder), Path(f"{run}-64"))
    told = [part for pair in (*pairs, "train.steps=1") for part in ("--set", pair)]
    app(["train", "--task", "imagenet", "--preset", "tiny_images", "--data", folder, "--run", run,
         "--workers", "0", *told])  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
