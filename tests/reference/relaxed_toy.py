"""A relaxed network of a few parameters, for tests of the search engine: the smallest honest one.

Two mixed edges of linear candidates into spiking neurons, batch norms, and a distribution over the
candidates of either edge; costs of candidates are given numbers.
"""

import torch
from torch import nn

from nas.neurons import LIF, LIFParams

COSTS = (1.0, 3.0, 8.0)


class MixedEdge(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.candidates = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width))
             for _ in COSTS]
        )  # fmt: skip
        self.logits = nn.Parameter(1e-2 * torch.randn(len(COSTS)))
        self.softness = 1.0

    def probabilities(self):
        return torch.softmax(self.logits / self.softness, 0)

    def forward(self, x):
        flat = x.flatten(0, 1)
        mixed = sum(p * c(flat) for p, c in zip(self.probabilities(), self.candidates))
        return mixed.reshape(x.shape)


class Toy(nn.Module):
    """``[T, B, width]`` to class scores ``[B, 2]``; sampled: Gumbel noise on the mixtures."""

    def __init__(self, width=6, neuron="lif", sampled=False):
        super().__init__()
        make = {"lif": lambda: LIF(LIFParams(decay=0.5)), "tanh": nn.Tanh}[neuron]
        self.edges = nn.ModuleList([MixedEdge(width), MixedEdge(width)])
        self.neurons = nn.ModuleList([make(), make()])
        self.head = nn.Linear(width, 2)
        self.sampled = sampled

    def forward(self, x):
        for edge, neuron in zip(self.edges, self.neurons):
            x = neuron(edge(x))
        if self.sampled:
            x = x * (1 + 0.1 * torch.randn_like(x))
        return self.head(x.mean(0))

    def architecture(self):
        return [edge.logits for edge in self.edges]

    def cost(self):
        prices = torch.tensor(COSTS)
        return sum((edge.probabilities() * prices).sum() for edge in self.edges)

    def entropies(self):
        p = [edge.probabilities() for edge in self.edges]
        return {f"edge{n}": -(q * q.log()).sum() for n, q in enumerate(p)}

    def anneal(self, softness):
        for edge in self.edges:
            edge.softness = softness


def batch(number, size=16, width=6, steps=3):
    """What a step sees: of its number only."""
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(steps, size, width, generator=generator)
    return x, (x.mean(0)[:, :3].sum(1) > 0).long()


def loss(model, data):
    return nn.functional.cross_entropy(model(data[0]), data[1])
