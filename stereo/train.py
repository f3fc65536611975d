"""The training loop of every task: batches in, a run folder out. Resumable at any step."""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from nas.rates import firing_rates, unhealthy
from stereo.analog_twin import rectified
from stereo.atomic import write_bytes, write_png
from stereo.checkpoint import channels_last, load_state, save_network, save_state
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.optimize import Training, synapse_price
from stereo.reach import reached_synapses, readers_of_spikes
from stereo.tasks.task import Batch, Metrics, Task
from stereo.temperatures import dgs_round

Report = Callable[[int, Metrics], None]


def train(
    task: Task,
    run: Path,
    *,
    device: Device | None = None,
    resume: bool = True,
    report: Report = lambda _step, _metrics: None,
) -> Metrics:
    """Train a network.

    Args:
        task: configuration and data.
        run: run folder; if it holds a state of the same configuration, training goes on there.
            The network with the best evaluation is a run folder of its own in it, ``best``.
        device: where; the CPU unless given.
        resume: False to refuse a folder that holds a state already.
        report: called after every step with its metrics.

    Returns:
        The best evaluation; without any, the metrics of the last step.

    Raises:
        StereoError: the run folder belongs to another training, or the loss is not finite.
    """
    device = device or Device("cpu")
    setting = task.config.train
    torch.manual_seed(setting.seed)
    network = channels_last(task.network())
    device.place(network)
    training = Training.start(network, setting, lambda: device.place(rectified(network, task)))
    if setting.synapse_weight:
        example = device.move(task.example())
        training.readers = readers_of_spikes(network, lambda: network(*example))
    first, best = _restore(task, run, training, resume=resume, cut=device.writes)
    metrics: Metrics = {}
    batches = task.batches(first, rank=device.rank, ranks=device.ranks)
    for step, batch in enumerate(batches, start=first):
        began = time.perf_counter()
        found = _temperatures(task, training, device, step)
        metrics = _learn(task, training, device, batch, step)
        metrics["grad_norm"] = training.step(step)
        done = step + 1
        if device.writes:
            metrics |= {"seconds": time.perf_counter() - began}
            evaluated, best = _evaluate(task, run, training, done, best)
            if done % setting.checkpoint_every == 0 or done == setting.steps:
                _save(task, run, training, done, best)
            _log(run, done, metrics | evaluated, found)
            report(done, metrics | evaluated)
    device.barrier()
    return best or metrics


def _learn(task: Task, training: Training[Any], device: Device, batch: Batch, step: int) -> Metrics:
    """Leave the gradients of a batch in what learns; return what its loss is made of."""
    setting, network = training.setting, training.learner(step)
    synapse_weight = synapse_price(setting, step)
    training.optimizer.zero_grad(set_to_none=True)
    sums: Metrics = {}
    for piece in task.pieces(device.move(batch), setting.accumulate):
        with (
            device.autocast(),
            firing_rates(network) as rates,
            reached_synapses(network, training.readers) as reached,
        ):
            loss, metrics = task.loss(network, piece)
        fired = torch.stack([rate.float() for rate in rates.values()] or [torch.zeros(())])
        loss = loss + rates.cost(setting.rate_weight, setting.spike_weight)
        loss = loss + synapse_weight * reached.share()
        (loss / setting.accumulate if setting.accumulate > 1 else loss).backward()  # type: ignore[no-untyped-call]
        verdicts = unhealthy(dict(zip(rates, fired.tolist(), strict=False)))
        metrics = {
            "loss": float(loss.detach()),
            **metrics,
            "firing_rate": float(fired.detach().mean()),
            "dead_layers": float(sum(verdict == "dead" for verdict in verdicts.values())),
            "saturated_layers": float(sum(v == "saturated" for v in verdicts.values())),
        }
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + value / setting.accumulate
    device.average_gradients(training.network.parameters())
    sums = device.average_metrics(sums)
    if not math.isfinite(sums["loss"]):  # of all processes, so that they stop together
        raise StereoError(
            "The loss is not finite; resume with a smaller train.learning_rate from the last state."
        )
    return sums


def _temperatures(
    task: Task, training: Training[Any], device: Device, step: int
) -> dict[str, float]:
    """Search the surrogate temperatures if it is time to; return those found, by neuron."""
    dgs = task.config.dgs
    if not (training.setting.dgs and dgs.due(step)):
        return {}
    halves = (
        (device.move(one), device.move(other))
        for one, other in task.halves(step, rank=device.rank, ranks=device.ranks)
    )
    found = dgs_round(
        training.network, training.averaged, lambda n, b: task.loss(n, b)[0], halves, dgs
    )
    return {name: choice.after for name, choice in found.items()}


def _evaluate(
    task: Task, run: Path, training: Training[Any], step: int, best: Metrics
) -> tuple[Metrics, Metrics]:
    """Evaluate if it is time to; return the metrics by part and name, and the best so far."""
    setting = training.setting
    if not setting.evaluate_every or (step % setting.evaluate_every and step != setting.steps):
        return {}, best
    averaged = training.averaged.eval()
    found = task.evaluate(averaged, task.parts[0])
    pictures = run / "pictures"
    for name, picture in task.draw(averaged, found.part, found.spread(setting.pictures)):
        pictures.mkdir(parents=True, exist_ok=True)
        write_png(pictures / f"{name}_step_{step:07d}.png", picture)
    averaged.train()
    name, more_is_better = task.judged
    sign = 1 if more_is_better else -1
    if not best or sign * found.metrics[name] > sign * best[name]:
        best = {"step": float(step), **found.metrics}
        about = {"step": step, "seed": setting.seed, "part": found.part, **found.metrics}
        save_network(run / "best", averaged, about)
    return {f"{found.part}_{key}": value for key, value in found.metrics.items()}, best


def _save(task: Task, run: Path, training: Training[Any], step: int, best: Metrics) -> None:
    """Write the averaged network and the state to resume from."""
    save_network(run, training.averaged, {"step": step, "seed": training.setting.seed})
    origin = {"step": step, "best": best, **_origin(task, training)}
    save_state(run, origin | training.state())


def _origin(task: Task, training: Training[Any]) -> dict[str, str]:
    """Return what a training is known by: its configuration and what it began with."""
    return {
        "config": json.dumps(task.config.to_dict(), sort_keys=True),
        "genotype": json.dumps(training.network.genotype.to_dict(), sort_keys=True),
    }


def _completed(task: Task, config: str | None) -> str | None:
    """Return a stored configuration with the defaults of sections that it was too old to have."""
    try:
        return json.dumps(
            type(task.config).from_dict(json.loads(config or "")).to_dict(), sort_keys=True
        )
    except (ValueError, StereoError):
        return config


def _restore(
    task: Task, run: Path, training: Training[Any], *, resume: bool, cut: bool
) -> tuple[int, Metrics]:
    """Load the last state if there is one; return the step to go on with, and the best so far."""
    state = load_state(run)
    if state is None:
        return 0, {}
    if not resume:
        raise StereoError(f"{run} already holds a training; choose another --run or resume it.")
    stored = dict(state) | {"config": _completed(task, state.get("config"))}
    if any(stored.get(name) != value for name, value in _origin(task, training).items()):
        raise StereoError(
            f"{run} holds a training with another configuration (see its config.json) or genotype; "
            "give the same options to resume it, or choose another --run."
        )
    training.restore(state)
    if cut:
        _truncate_log(run, int(state["step"]))
    return int(state["step"]), dict(state["best"])


def _log(
    run: Path, step: int, metrics: Mapping[str, float], temperatures: Mapping[str, float]
) -> None:
    """Append one line to ``metrics.jsonl``."""
    run.mkdir(parents=True, exist_ok=True)
    line: dict[str, Any] = {name: _short(value) for name, value in metrics.items()}
    if temperatures:
        line["temperatures"] = {name: _short(value) for name, value in temperatures.items()}
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **line}) + "\n")


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _truncate_log(run: Path, step: int) -> None:
    """Drop the lines that a killed process wrote after its last state: they will be run again."""
    path = run / "metrics.jsonl"
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        write_bytes(path, "".join(line + "\n" for line in lines[:step]).encode())
