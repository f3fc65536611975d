"""What each of several gloo processes does in the tests of ``nas.synced``; started by spawn."""

import torch
from reference.relaxed_toy import Toy, batch, loss
from torch import distributed, nn

from nas.budget import Budget
from nas.search import search
from nas.search_config import SearchConfig
from nas.synced import average_gradients, is_writer, rank_and_ranks, share_state, synchronize_norms

MOVING = {"lr": 0.1, "arch_lr": 0.05, "clip": 0.5}
CONFIGS = {
    "first": SearchConfig(steps=4, warmup=1, **MOVING),
    "second": SearchConfig(steps=3, second_order=True, accumulate=2, **MOVING),
}


def part(data):
    """This process's part of a batch ``[T, B, C], [B]``."""
    rank, ranks = rank_and_ranks()
    x, y = data
    return x.chunk(ranks, 1)[rank].contiguous(), y.chunk(ranks)[rank]


def searched(name):
    """Search on the parts of this process; return weights, architecture, statistics, history."""
    torch.manual_seed(7 + rank_and_ranks()[0])  # the writer's beginning is everybody's
    model = Toy()
    share_state(model)
    synchronize_norms(model)
    history = search(
        model, CONFIGS[name], training=lambda n: part(batch(2 * n)),
        held_out=lambda n: part(batch(2 * n + 1)), loss=loss, architecture=model.architecture(),
        cost=model.cost, entropy=model.entropies, anneal=model.anneal, budget=Budget(4.0),
        reduce=average_gradients,
    )  # fmt: skip
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
    return {"model": model.state_dict(), "rows": rows}


def norms():
    """Forward and backward of each kind of norm on this process's part of a batch."""
    found = {}
    settings = {
        "plain": (nn.BatchNorm2d(3), (8, 3, 4, 5)), "flat": (nn.BatchNorm1d(3), (8, 3)),
        "volume": (nn.BatchNorm3d(3), (4, 3, 2, 3, 2)),
        "bare": (nn.BatchNorm2d(3, affine=False), (4, 3, 2, 2)),
        "average": (nn.BatchNorm2d(3, momentum=None), (4, 3, 2, 2)),
        "untracked": (nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 2, 2)),
    }  # fmt: skip
    for seed, (name, (norm, shape)) in enumerate(settings.items()):
        generator = torch.Generator().manual_seed(seed)
        holder = nn.Sequential(norm)
        changed = synchronize_norms(holder)
        if norm.affine:
            norm.weight.data = torch.tensor([0.5, -1.0, 2.0])
            norm.bias.data = torch.tensor([0.1, 0.2, 0.3])
        rank, ranks = rank_and_ranks()
        for _ in range(2):
            whole = 100 + 3 * torch.randn(shape, generator=generator)  # far from 0
            given = torch.randn(shape, generator=generator)
            x = whole.chunk(ranks)[rank].clone().requires_grad_()
            y = norm(x)
            y.backward(given.chunk(ranks)[rank])
        gradients = [p.grad for p in norm.parameters()]
        average_gradients(gradients)
        norm.eval()
        found[name] = {
            "y": y.detach(), "dx": x.grad, "gradients": gradients, "state": norm.state_dict(),
            "evaluated": norm(x).detach(), "changed": changed, "kind": type(norm).__name__,
        }  # fmt: skip
    return found


def everything():
    """Return what is compared."""
    return {"first": searched("first"), "second": searched("second"), "norms": norms()}


def fails():
    """One process alone meets a loss that is not finite; return what each of them raises."""
    model = Toy()
    factor = float("nan") if is_writer() else 1.0
    try:
        search(model, SearchConfig(steps=2), training=batch, held_out=batch,
               loss=lambda m, data: factor * loss(m, data), architecture=model.architecture(),
               reduce=average_gradients)  # fmt: skip
    except FloatingPointError as error:
        return str(error)
    return "nothing"


def process(rank, ranks, folder):
    """Run as one process of a group and leave the results in the folder."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks
    )
    torch.save({**everything(), "fails": fails()}, f"{folder}/{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()
