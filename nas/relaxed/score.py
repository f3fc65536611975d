"""The gradient of the expected loss without going back through it: draw, run, compare.

The straight-through gradient of a draw asks what an infinitely small change would do to the network
that was drawn. What stood at the other side of a decision was never computed, so it says little
about switches that change everything behind them, such as a stage that becomes analog. Here several
networks are drawn and see the same batch. With losses ``L_k`` and probabilities ``p_k``

    gradient = mean over k of (L_k - mean of the other losses) * gradient of log p_k,

which is unbiased for the expected loss of a drawn network (Williams, "Simple statistical
gradient-following algorithms", Machine Learning 1992; the baseline of the other draws: Kool et al.,
"Buy 4 REINFORCE samples, get a baseline for free!", ICLR workshop 2019). It needs forward passes
only.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas.relaxed.architecture import architectures, decide
from nas.relaxed.beliefs import log_probability
from nas.temporal import searched_neurons


def compared(model: nn.Module, run: Callable[[], Tensor], draws: int) -> Tensor:
    """Return the mean loss of networks drawn from the beliefs, with its gradient to these.

    Neurons that are searched get their gradient by going back through the last of the losses, as
    the draws are alike and going back costs more than all of their forward passes.

    Args:
        model: relaxed network whose parts were made with ``sampled``, in training mode.
        run: runs the model as it is decided now, and returns its loss.
        draws: networks to draw, two at least.

    Raises:
        ValueError: fewer than two draws.
    """
    if draws < 2:
        raise ValueError(f"A network is compared with others: draw at least 2, got {draws}.")
    through = torch.is_grad_enabled() and bool(searched_neurons(model))
    losses, logs = [], []
    for number in range(draws):
        with torch.no_grad():
            decide(model)
        logs.append(drawn_log_probability(model))
        with torch.set_grad_enabled(through and number == draws - 1):
            losses.append(run())
    last, seen, log = losses[-1], torch.stack(losses).detach(), torch.stack(logs)
    advantage = (seen - seen.mean()).to(log.dtype) * (draws / (draws - 1))  # to the others' mean
    slope = (advantage * log).mean()
    return seen.mean() + (last - last.detach()) + (slope - slope.detach()).to(seen.dtype)


def drawn_log_probability(model: nn.Module) -> Tensor:
    """Return the log probability of what is decided now, with its gradient to the beliefs."""
    parts = [part for _, part in architectures(model)]
    logs = [log_probability(p.space, p.beliefs(), p.decided) for p in parts]
    return torch.stack(logs).sum()
