"""Recurrent layers and attention: functions of torch that are whole networks inside.

Their inner activations are analog, so they are counted densely.
"""

from typing import Any

from torch import Tensor

from energy.rules.registry import Call, Operations, rule

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def _per_step(kind: str, hidden: int) -> dict[str, int]:
    """Return the scalar operations of one step of one cell beyond its products.

    LSTM: four gates with two products and a sum for the cell, one product for the output, five
    squashing functions. GRU: three gates, three products, two sums and a difference.
    """
    if kind == "lstm":
        return {"special": 5 * hidden, "mul": 3 * hidden, "add": 5 * hidden}
    if kind == "gru":
        return {"special": 3 * hidden, "mul": 3 * hidden, "add": 6 * hidden}
    squash = "special" if kind == "rnn_tanh" else "compare"
    return {squash: hidden, "add": hidden}


@rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(call: Call) -> Operations:
    """All layers, directions and time steps of a recurrent layer."""
    packed = isinstance(call.args[1], Tensor) and call.args[1].ndim == 1
    x: Tensor = call.args[0]
    weights = [w for w in _flat(call.args[3 if packed else 2]) if w.ndim == 2]
    rows = x.shape[0] if packed or x.ndim == 2 else x.shape[0] * x.shape[1]
    done: dict[str, int] = {"special": 0, "compare": 0, "mul": 0, "add": 0}
    for weight in weights[::2]:  # an input weight and a hidden weight per layer and direction
        for name, count in _per_step(call.name, weight.shape[0] // GATES[call.name]).items():
            done[name] += rows * count
    used = sum(w.numel() for w in weights)
    return Operations(mac=rows * used, weights=used, **done)


@rule("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def cell(call: Call) -> Operations:
    """One step of a recurrent cell."""
    kind = call.name.removesuffix("_cell")
    x: Tensor = call.args[0]
    rows = x.shape[0] if x.ndim == 2 else 1
    weights: list[Tensor] = [w for w in call.args[2:4] if isinstance(w, Tensor)]
    done = {n: rows * c for n, c in _per_step(kind, weights[0].shape[0] // GATES[kind]).items()}
    used = sum(w.numel() for w in weights)
    return Operations(mac=rows * used, weights=used, **done)


@rule("scaled_dot_product_attention")
def attention(call: Call) -> Operations:
    """Scores, softmax and weighted values, with a scale per score."""
    query, key, value = (call.get(n, name) for n, name in enumerate(("query", "key", "value")))
    scores = query[..., 0].numel() * key.shape[-2]
    return Operations(
        mac=scores * (query.shape[-1] + value.shape[-1]),
        mul=scores, compare=scores, add=2 * scores, special=2 * scores,
    )  # fmt: skip


@rule("multi_head_attention_forward")
def multi_head_attention(call: Call) -> Operations:
    """Projections of query, key, value and output, and attention between them, ``[L, B, E]``."""
    query, key, value = call.args[:3]
    embed = query.shape[-1]
    rows, keys = query.numel() // embed, key.numel() // key.shape[-1]
    used = embed * (2 * embed + key.shape[-1] + value.shape[-1])
    projected = rows * 2 * embed * embed + keys * embed * (key.shape[-1] + value.shape[-1])
    heads, length = int(call.get(4, "num_heads", 1)), key.shape[0]
    scores = rows * heads * length
    return Operations(
        mac=projected + 2 * rows * length * embed, weights=used,
        mul=scores, compare=scores, add=2 * scores, special=2 * scores,
    )  # fmt: skip


def _flat(weights: Any) -> list[Tensor]:
    return [w for w in weights if isinstance(w, Tensor)]
