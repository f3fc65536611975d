"""The training loop: generated scenes in, a run folder out. Resumable at any step."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data.encode import ENCODINGS
from data.generated import GeneratedWindows
from data.sample import StereoBatch, collate
from nas.rates import firing_rates, unhealthy
from stereo.checkpoint import channels_last, load_state, save_network, save_state
from stereo.config import StereoConfig
from stereo.disparity import soft_argmax
from stereo.errors import StereoError
from stereo.losses import masked_mean, plane_cross_entropy, smooth_l1
from stereo.network import STRIDE, HybridStereo

Metrics = dict[str, float]
Report = Callable[[int, Metrics], None]


def train(
    config: StereoConfig,
    run: Path,
    *,
    cache: Path | None = None,
    resume: bool = True,
    workers: int = 1,
    report: Report = lambda _step, _metrics: None,
) -> Metrics:
    """Train a network on generated scenes.

    Args:
        config: network and training.
        run: run folder; if it holds a state of the same configuration, training goes on there.
        cache: folder that keeps simulated clips.
        resume: False to refuse a folder that holds a state already.
        workers: processes that prepare windows.
        report: called after every step with its metrics.

    Returns:
        The metrics of the last step.

    Raises:
        StereoError: the run folder belongs to another configuration.
    """
    setting = config.train
    torch.manual_seed(setting.seed)
    network = channels_last(HybridStereo(config))
    smooth = get_ema_multi_avg_fn(setting.ema)  # type: ignore[no-untyped-call]
    average = AveragedModel(network, multi_avg_fn=smooth, use_buffers=True)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=setting.learning_rate, weight_decay=setting.weight_decay
    )
    first = _restore(config, run, resume, network, average, optimizer)
    metrics: Metrics = {}
    for step, batch in _batches(config, cache, first, workers):
        began = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(config, step)
        loss, metrics = _loss(network, batch, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), setting.clip_norm)
        optimizer.step()
        average.update_parameters(network)
        metrics |= {"grad_norm": float(norm), "seconds": time.perf_counter() - began}
        done = step + 1
        if done % setting.checkpoint_every == 0 or done == setting.steps:
            _save(config, run, done, network, average, optimizer)
        _log(run, done, metrics)
        report(done, metrics)
    return metrics


def _loss(
    network: HybridStereo, batch: StereoBatch, config: StereoConfig
) -> tuple[Tensor, Metrics]:
    """Return the loss of a batch and what it is made of."""
    valid = batch.valid & (batch.disparity <= config.max_disparity)
    with firing_rates(network) as rates:
        scores = network.scores(batch.left, batch.right)
    disparity = soft_argmax(scores, STRIDE)
    l1 = smooth_l1(disparity, batch.disparity, valid)
    planes = plane_cross_entropy(scores, batch.disparity, valid, STRIDE)
    rate = torch.stack(list(rates.values())).mean()
    loss = l1 + config.train.plane_weight * planes + config.train.rate_weight * rate
    if not bool(torch.isfinite(loss)):
        raise StereoError(
            "The loss is not finite; resume with a smaller train.learning_rate from the last state."
        )
    with torch.no_grad():
        error = (disparity - batch.disparity).abs()
        verdicts = unhealthy({name: float(value.detach()) for name, value in rates.items()})
        return loss, {
            "loss": float(loss),
            "planes": float(planes),
            "mae_px": float(masked_mean(error, valid)),
            "one_pe_percent": 100.0 * float(masked_mean((error > 1).float(), valid)),
            "firing_rate": float(rate),
            "dead_layers": float(sum(verdict == "dead" for verdict in verdicts.values())),
            "saturated_layers": float(sum(v == "saturated" for v in verdicts.values())),
        }


def _batches(
    config: StereoConfig, cache: Path | None, first: int, workers: int
) -> Iterator[tuple[int, StereoBatch]]:
    """Yield ``(step, batch)`` from step ``first`` on; what a step sees depends on its number."""
    setting = config.train
    windows = GeneratedWindows(
        encoding=ENCODINGS[config.encoding.name](bins=config.encoding.bins),
        steps=config.encoding.steps,
        window_us=config.window_us,
        width=setting.crop_width,
        height=setting.crop_height,
        clips=setting.clips,
        length=setting.steps * setting.batch,
        seed=setting.seed,
        cache=cache,
    )
    loader = torch.utils.data.DataLoader(
        windows,
        batch_size=setting.batch,
        sampler=range(first * setting.batch, len(windows)),
        num_workers=workers,
        collate_fn=collate,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=False,
    )
    return enumerate(loader, start=first)


def _learning_rate(config: StereoConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    setting = config.train
    warm = min(1.0, (step + 1) / max(1, setting.warmup))
    return setting.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / setting.steps))


def _save(
    config: StereoConfig,
    run: Path,
    step: int,
    network: HybridStereo,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the averaged network and the state to resume from."""
    averaged = average.module
    if not isinstance(averaged, HybridStereo):
        raise TypeError(f"Expected the averaged network, got {type(averaged)}.")
    save_network(run, averaged, {"step": step, "seed": config.train.seed})
    state = {
        "step": step,
        "config": json.dumps(config.to_dict(), sort_keys=True),
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    save_state(run, state)


def _restore(
    config: StereoConfig,
    run: Path,
    resume: bool,
    network: HybridStereo,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Load the last state if there is one; return the step to go on with."""
    state = load_state(run)
    if state is None:
        return 0
    if not resume:
        raise StereoError(f"{run} already holds a training; choose another --run or resume it.")
    if state["config"] != json.dumps(config.to_dict(), sort_keys=True):
        raise StereoError(
            f"{run} holds a training with another configuration (see its config.json); give the "
            "same options to resume it, or choose another --run."
        )
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    _truncate_log(run, int(state["step"]))
    return int(state["step"])


def _log(run: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Append one line to ``metrics.jsonl``."""
    run.mkdir(parents=True, exist_ok=True)
    rounded = {name: float(f"{value:.6g}") for name, value in metrics.items()}
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **rounded}) + "\n")


def _truncate_log(run: Path, step: int) -> None:
    """Drop the lines that a killed process wrote after its last state: they will be run again."""
    path = run / "metrics.jsonl"
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("".join(line + "\n" for line in lines[:step]), encoding="utf-8")
