"""What moves the weights of every training."""

import pytest
import torch
from torch import nn

from stereo.config import Optimization
from stereo.optimize import Training, averaging_decay


def followed(ema: float, steps: int) -> tuple[list[float], float]:
    """Return a weight after every step, and its running average in the end."""
    layer = nn.Linear(1, 1, bias=False)
    training = Training.start(layer, Optimization(ema=ema, steps=steps))
    seen = []
    for step in range(steps):
        layer.weight.grad = torch.ones(1, 1)
        training.step(step)
        seen.append(float(layer.weight.detach()))
    return seen, float(training.averaged.weight.detach())


def test_the_average_of_a_short_training_is_not_its_beginning() -> None:
    seen, average = followed(0.999, 60)
    # With a decay of 0.999 from the first step on, 94 % of it would be the first weight.
    assert abs(average - seen[-1]) < 0.2 * abs(seen[0] - seen[-1])


@pytest.mark.parametrize("ema", [0.0, 0.5, 0.9, 0.999])
def test_the_average_follows_its_recurrence(ema: float) -> None:
    seen, average = followed(ema, 25)
    expected = seen[0]
    for n, weight in enumerate(seen[1:], start=1):
        decay = averaging_decay(ema, n)
        expected = decay * expected + (1 - decay) * weight
    assert average == pytest.approx(expected, rel=1e-5)


def test_the_decay_grows_to_what_was_asked_for() -> None:
    decays = [averaging_decay(0.99, n) for n in range(2000)]
    assert decays == sorted(decays)
    assert decays[0] == pytest.approx(0.1)
    assert decays[-1] == 0.99
    assert averaging_decay(0.0, 7) == 0.0
