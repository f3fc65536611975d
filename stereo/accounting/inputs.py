"""Inputs to count energy on: random, from a file of arrays, or windows of a recording.

Shapes: ``T`` time steps, ``B`` batch, ``C`` channels, ``H`` rows, ``W`` columns.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from data.recording import Recording
from stereo.accounting.arrays import read_arrays
from stereo.accounting.shapes import Shape, describe
from stereo.errors import StereoError
from stereo.infer import plan, spread
from stereo.network import HybridStereo
from stereo.options import InferOptions

RANDOM_SAMPLES = 3
RECORDED_SAMPLES = 2
"""Inputs that are measured unless a number is asked for; of recordings as many as in ``infer``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Several inputs of one network, made one at a time.

    Attributes:
        count: how many there are.
        draw: from the number of an input to what the network is called with.
        about: what they are, in words.
        generated: whether they come from a simulator.
    """

    count: int
    draw: Callable[[int], tuple[Tensor, ...]]
    about: str
    generated: bool = False


@dataclass(frozen=True, kw_only=True)
class Chance:
    """How random inputs are drawn.

    Attributes:
        density: share of ones.
        analog: uniform between 0 and 1 instead of zeros and ones.
        seed: of the first input; each further one has the next.

    Raises:
        StereoError: a density that is no share.
    """

    density: float = 0.05
    analog: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.density <= 1:
            raise StereoError(f"--density is a share between 0 and 1, got {self.density:g}.")

    def draw(self, shapes: tuple[Shape, ...], index: int) -> tuple[Tensor, ...]:
        """Return random tensors of these shapes."""
        generator = torch.Generator().manual_seed(self.seed + index)
        uniform = tuple(torch.rand(shape, generator=generator) for shape in shapes)
        return uniform if self.analog else tuple((x < self.density).float() for x in uniform)

    def words(self) -> str:
        """Say what is drawn."""
        kind = (
            "numbers, uniform in [0, 1)" if self.analog else f"spikes of density {self.density:g}"
        )
        return f"random {kind}, seed {self.seed}"


def random_inputs(shapes: tuple[Shape, ...], chance: Chance, samples: int | None) -> Inputs:
    """Return random inputs of any network."""
    given = ", ".join(describe(shape) for shape in shapes)
    return Inputs(
        count=samples or RANDOM_SAMPLES,
        draw=lambda index: chance.draw(shapes, index),
        about=f"{chance.words()}, {given}",
    )


def random_pairs(
    network: HybridStereo, shapes: tuple[Shape, ...], chance: Chance, samples: int | None
) -> Inputs:
    """Return random events for both cameras of a stereo network.

    The cameras see nothing in common, so a cost volume holds fewer coincidences than it would of a
    scene.

    Args:
        network: whose encoding gives steps and channels.
        shapes: one, ``(W, H)`` or ``(T, B, C, H, W)``.
        chance: how they are drawn.
        samples: number of inputs.

    Raises:
        StereoError: several shapes or one of another length, channels that the network does not
            take, or analog numbers for a network that takes spikes.
    """
    channels, steps = network.encoding.channels, network.config.encoding.steps
    if len(shapes) != 1 or len(shapes[0]) not in (2, 5):
        given = ",".join(describe(shape) for shape in shapes)
        raise StereoError(
            "A stereo network takes one shape for both cameras, WxH such as 346x260 or TxBxCxHxW "
            f"such as {steps}x1x{channels}x260x346, got {given}."
        )
    shape = shapes[0] if len(shapes[0]) == 5 else (steps, 1, channels, *reversed(shapes[0]))
    if shape[2] != channels:
        raise StereoError(
            f"This network takes {channels} channels ({network.encoding.name}), got "
            f"{describe(shape)}; give {steps}x1x{channels}xHxW or just WxH."
        )
    if chance.analog and network.encoding.emits_spikes:
        raise StereoError(
            f"This network takes spikes (encoding {network.encoding.name}); leave --analog-input "
            "out."
        )
    drawn = random_inputs((shape, shape), chance, samples)
    return replace(drawn, about=f"{chance.words()}, {describe(shape)} per camera")


def file_inputs(path: Path, samples: int | None) -> Inputs:
    """Return the arrays of a file as the one input of any network.

    Raises:
        StereoError: the file cannot be used, or more inputs are asked for than it holds.
    """
    arrays = read_arrays(path)
    if samples not in (None, 1):
        raise StereoError(
            f"{path} holds one input; --samples {samples} needs random events or a recording. Put "
            "several samples into the batch of the arrays instead."
        )
    shapes = ", ".join(f"{name} {describe(tuple(x.shape))}".strip() for name, x in arrays.items())
    return Inputs(count=1, draw=lambda _index: tuple(arrays.values()), about=f"{path} ({shapes})")


def file_pair(network: HybridStereo, path: Path, samples: int | None) -> Inputs | None:
    """Return what a file of arrays holds for both cameras; None if it is rather a recording.

    Two arrays ``[T, C, H, W]`` or ``[T, B, C, H, W]``: those called left and right, else in order.

    Raises:
        StereoError: arrays that do not fit the network.
    """
    if path.suffix.lower() not in (".npy", ".npz", ".safetensors") or not path.is_file():
        return None
    if path.suffix.lower() == ".npz" and not _holds_tensors(path):
        return None
    arrays = read_arrays(path)
    pair = [arrays[name] for name in ("left", "right") if name in arrays]
    pair = pair if len(pair) == 2 else list(arrays.values())
    pair = [x.unsqueeze(1) if x.ndim == 4 else x for x in pair]
    channels = network.encoding.channels
    fits = len(pair) == 2 and all(x.ndim == 5 and x.shape[2] == channels for x in pair)
    if not fits or pair[0].shape != pair[1].shape:
        found = ", ".join(f"{name} {describe(tuple(x.shape))}" for name, x in arrays.items())
        raise StereoError(
            "A stereo network takes two equal arrays TxCxHxW or TxBxCxHxW with "
            f"{channels} channels (encoding {network.encoding.name}); {path} holds {found}."
        )
    left, right = (x.float() for x in pair)
    return Inputs(
        count=file_inputs(path, samples).count,
        draw=lambda _index: (left, right),
        about=f"{path} ({describe(tuple(left.shape))} per camera)",
    )


def _holds_tensors(path: Path) -> bool:
    """Tell arrays of a network (4 axes or more) from the event lists of a recording."""
    try:
        return all(x.ndim >= 4 for x in read_arrays(path).values())
    except StereoError:
        return False


def recorded_pairs(
    network: HybridStereo,
    recording: Recording,
    size: tuple[int, int] | None,
    samples: int | None,
    *,
    generated: bool,
) -> Inputs:
    """Return evenly spread windows of a recording, as ``infer`` lays them.

    Args:
        network: whose encoding is used.
        recording: open as long as inputs are drawn.
        size: ``(height, width)`` of the middle part that is kept; all unless given.
        samples: number of windows.
        generated: whether the recording is generated data.

    Raises:
        StereoError: the recording is smaller than ``size``, or has fewer windows.
    """
    whole = (recording.height, recording.width)
    height, width = size or whole
    if height > recording.height or width > recording.width:
        raise StereoError(
            f"A part of {width}x{height} cannot be cut from {recording.name}, which has "
            f"{recording.width}x{recording.height} pixels. Give --input {width}x{height} for "
            "random events of that size."
        )
    windows = plan(recording, network, InferOptions(source=recording.name, network_name=""))
    wanted = samples or RECORDED_SAMPLES
    if wanted > len(windows) and samples is not None:
        raise StereoError(
            f"{recording.name} has {len(windows)} windows; --samples {samples} is more than that."
        )
    picks = sorted(spread(len(windows), wanted))
    top, left = (recording.height - height) // 2, (recording.width - width) // 2

    def draw(index: int) -> tuple[Tensor, ...]:
        window = windows[picks[index]]
        pair = _encoded(network, recording, window.t0_us, window.t1_us)
        return tuple(x[..., top : top + height, left : left + width].contiguous() for x in pair)

    part = "" if (height, width) == whole else f", of it the middle {width}x{height}"
    kind = ", generated data" if generated else ""
    number = "1 window" if len(picks) == 1 else f"{len(picks)} windows"
    length_ms = (windows[0].t1_us - windows[0].t0_us) / 1e3
    return Inputs(
        count=len(picks),
        draw=draw,
        about=f"{recording.name} ({recording.layout}{kind}), {number} of "
        f"{length_ms:g} ms, {recording.width}x{recording.height}{part}",
        generated=generated,
    )


def _encoded(
    network: HybridStereo, recording: Recording, t0_us: int, t1_us: int
) -> tuple[Float[Tensor, "T 1 C H W"], Float[Tensor, "T 1 C H W"]]:
    """Return one window of both cameras as the network wants it."""
    left, right = (
        recording.rectify(camera, recording.events(camera, t0_us, t1_us))
        for camera in ("left", "right")
    )
    first, second = network.encode(
        left, right, height=recording.height, width=recording.width, t0_us=t0_us, t1_us=t1_us
    )
    return first[:, None], second[:, None]
