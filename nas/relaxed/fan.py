"""All edges that start at one tensor: every candidate of every node that may read it."""

from collections.abc import Sequence

from torch import Tensor, nn

from nas.joint import Edge, currents
from nas.ops import OPS


class MixedOp(nn.Module):
    """The candidates of one edge.

    Args:
        dimension: 2 or 3.
        inputs: channels in.
        outputs: channels out.
        candidates: names in ``OPS``.
    """

    def __init__(
        self, dimension: int, inputs: int, outputs: int, candidates: Sequence[str]
    ) -> None:
        super().__init__()
        self.ops = nn.ModuleDict({n: OPS[n](dimension, inputs, outputs) for n in candidates})


class Fan(nn.Module):
    """The edges that start at one tensor.

    Args:
        dimension: 2 or 3.
        inputs: channels of the tensor.
        outputs: channels of a node.
        nodes: numbers of the nodes that may read it.
        candidates: names in ``OPS``.
        portion: only every ``portion``-th channel of the tensor is looked at, which saves work and
            memory while searching (the weights are of no use afterwards).
    """

    def __init__(
        self,
        dimension: int,
        inputs: int,
        outputs: int,
        nodes: Sequence[int],
        candidates: Sequence[str],
        portion: int = 1,
    ) -> None:
        super().__init__()
        self.portion = portion
        self.outputs = outputs
        seen = -(-inputs // portion)
        self.nodes = nn.ModuleDict(
            {str(n): MixedOp(dimension, seen, outputs, candidates) for n in nodes}
        )
        self.together = True

    def forward(self, x: Tensor, weights: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the current ``[N, outputs, *S]`` that each node receives; None for none at all.

        Args:
            x: ``[N, inputs, *S]``.
            weights: of each node, ``[K]`` weights of the candidates.
        """
        if self.portion > 1:
            x = x[:, :: self.portion]
        edges: list[Edge] = []
        for n, (mixed, shares) in enumerate(zip(self.nodes.values(), weights, strict=True)):
            assert isinstance(mixed, MixedOp)
            live = shares.detach().tolist()
            for op, share, value in zip(mixed.ops.values(), shares.unbind(), live, strict=True):
                if value != 0.0:  # drawn, and not decided against
                    edges.append((n, op, share))
        found = currents(x, edges, together=self.together)
        return [found.get(n) for n in range(len(self.nodes))]
