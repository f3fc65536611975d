"""Hand-designed networks of the field, as the dense work of their convolutions at any image size.

A network is a list of convolutions, read from its authors' public code: one function turns a list
into multiply-accumulates. Tests hold the lists against figures that were measured on that code.
Norms, activations, element-wise products (cost volumes by correlation, gates) and sampling are left
out, of all of them alike.

Sizes are ``(height, width)``, of volumes ``(planes, height, width)``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from stereo.accounting.convolutions import Convolution, Size, conv, up
from stereo.errors import StereoError

PLANES = 16
"""Disparity planes that the PDS family matches: 64 pixels, a quarter of the columns."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A network of the field.

    Attributes:
        name: short name.
        layers: from the padded size to its convolutions.
        multiple: rows and columns are padded to multiples of this.
        steps: time steps that its own code runs, 1 for one without time.
        spiking: whether its authors run it on spikes; the dense count is then an upper bound.
        complete: what the list holds and what it leaves out.
        source: where it was read.
    """

    name: str
    layers: Callable[[Size], tuple[Convolution, ...]]
    multiple: int
    steps: int
    spiking: bool = False
    complete: str
    source: str

    def padded(self, height: int, width: int) -> Size:
        """Return the size that the network really runs at."""
        return tuple(-(-n // self.multiple) * self.multiple for n in (height, width))


@dataclass(frozen=True, kw_only=True)
class BaselineCount:
    """The dense work of a network of the field for one pair of windows.

    Attributes:
        name: short name.
        size: that it ran at, padding included.
        steps: time steps.
        macs: multiply-accumulates, taps on padding left out.
        padded_macs: the same with taps on padding.
        spiking: whether its authors run it on spikes.
        complete: what the list holds.
        source: where it was read.
    """

    name: str
    size: Size
    steps: int
    macs: int
    padded_macs: int
    spiking: bool
    complete: str
    source: str


@cache
def count(name: str, height: int, width: int) -> BaselineCount:
    """Return the dense work of a network of the field.

    Args:
        name: in ``BASELINES``.
        height: rows of the image.
        width: columns.

    Raises:
        StereoError: there is no such network, or the size is empty.
    """
    if name not in BASELINES:
        raise StereoError(f"There is no baseline {name!r}; known: {', '.join(BASELINES)}.")
    if min(height, width) < 1:
        raise StereoError(f"A baseline needs an image of at least one pixel, got {width}x{height}.")
    network = BASELINES[name]
    size = network.padded(height, width)
    layers = network.layers(size)
    return BaselineCount(
        name=name, size=size, steps=network.steps, macs=sum(x.macs for x in layers),
        padded_macs=sum(x.padded_macs for x in layers), spiking=network.spiking,
        complete=network.complete, source=network.source,
    )  # fmt: skip


def pds_descriptor(
    size: Size, inputs: int, features: int, second_stride: int
) -> tuple[Convolution, ...]:
    """Return the descriptor network of PDS for both cameras; its last one is the shortcut."""
    first = conv(size, (inputs, features), 5, 2, times=2)
    second = conv(first.out, (features, features), 5, second_stride, times=2)
    residual = conv(second.out, (features, features), 3, times=4 * 2)
    return first, second, residual, conv(second.out, (features, 8), 3, times=2)


def pds_matching(size: Size, inputs: int) -> tuple[Convolution, ...]:
    """Return what PDS runs on both descriptors, once per disparity plane."""
    return (
        conv(size, (inputs, 64), 3, times=PLANES),
        conv(size, (64, 64), 3, times=4 * PLANES),
        conv(size, (64, 8), 3, times=PLANES),
    )


def pds_hourglass(size: Size, half: Size) -> tuple[Convolution, ...]:
    """Return the 3-D hourglass of PDS on ``(planes, h, w)``, with both up-samplings at its end.

    Args:
        size: of the volume.
        half: stride of the first up-sampling.
    """
    layers = [conv(size, (8, 8), 3)]
    for width in (8, 16, 32, 64):
        down = conv(layers[-1].out, (width, 2 * width), 3, 2)
        layers += [down, conv(down.out, (2 * width, 2 * width), 3)]
    for width in (128, 64, 32, 16):
        rise = up(layers[-1].out, (width, width // 2), (4, 4, 4), (2, 2, 2))
        layers += [rise, conv(rise.out, (width // 2, width // 2), 3)]
    layers.append(up(layers[-1].out, (8, 4), (4, 4, 4), half))
    layers.append(up(layers[-1].out, (4, 1), (3, 4, 4), (1, 2, 2)))
    return tuple(layers)


def ddes(size: Size) -> tuple[Convolution, ...]:
    """Return DDES with its continuous fully connected embedding of a queue of 7 events."""
    queue = (7, *size)
    descriptor = pds_descriptor(size, 64, 64, 2)
    small = descriptor[-1].size
    return (
        conv(queue, (1, 64), 1, times=2),
        conv(queue, (64, 64), 1, times=3 * 2),
        *descriptor,
        *pds_matching(small, 128),
        *pds_hourglass((PLANES, *small), (2, 2, 2)),
    )


def dtc_pds(size: Size) -> tuple[Convolution, ...]:
    """Return DTC-PDS: 10 steps of 5 channels, discrete-time convolution of 32 features."""
    descriptor = pds_descriptor(size, 32, 32, 2)
    small = descriptor[-1].size
    return (
        conv(size, (5, 32), 3, times=10 * 2),
        *descriptor,
        *pds_matching(small, 64),
        *pds_hourglass((PLANES, *small), (2, 2, 2)),
    )


def dtc_spade(size: Size) -> tuple[Convolution, ...]:
    """Return DTC-SPADE: 15 steps, descriptors at half the size, modulated by the newest events."""
    descriptor = pds_descriptor(size, 32, 32, 1)
    small = descriptor[-1].size
    modulation = (
        conv(small, (5, 64), 3, times=2),
        *(conv(small, (64, 16), 3, dilation=d, times=2) for d in (1, 2, 3, 4)),
        conv(small, (64, 32), 3, times=2 * 2),
        conv(small, (32, 32), 3, times=2),
    )
    return (
        conv(size, (5, 32), 3, times=15 * 2),
        *descriptor,
        *modulation,
        *pds_matching(small, 64),
        *pds_hourglass((PLANES, *small), (2, 1, 1)),
    )


def stereospike(size: Size) -> tuple[Convolution, ...]:
    """Return StereoSpike: both cameras as 4 channels, one step, up-sampling before convolutions."""
    layers = [conv(size, (4, 32), 5)]
    for width in (32, 64, 128, 256):
        layers.append(conv(layers[-1].out, (width, 2 * width), 5, 2))
    sizes = [layer.out for layer in layers]
    layers.append(conv(sizes[4], (512, 512), 3, times=4))
    for level, width in zip((3, 2, 1, 0), (512, 256, 128, 64), strict=True):
        larger = tuple(n + 4 for n in sizes[level])
        layers.append(conv(larger, (width, width // 2), 5, padding=0))
        larger = tuple(n + 2 for n in size)
        layers.append(conv(larger, (width // 2, 1), 3, padding=0))
    return tuple(layers)


def bottleneck(
    size: Size,
    channels: tuple[int, int, int],
    stride: int = 1,
    *,
    deformed: bool = False,
    projected: bool = False,
    times: int = 1,
) -> tuple[Convolution, ...]:
    """Return the 1x1, 3x3, 1x1 block of SE-CFF.

    Args:
        size: of its input.
        channels: in, in the middle and out.
        stride: of the 3x3 convolution.
        deformed: whether that one is deformable: two groups of offsets and masks are convolved
            first; the sampling itself is left out.
        projected: whether the skip connection is a 1x1 convolution.
        times: how often it runs.
    """
    before, middle, after = channels
    dilation = 2 if deformed else 1
    core = conv(size, (middle, middle), 3, stride, dilation=dilation, times=times)
    layers = [conv(size, (before, middle), 1, times=times), core]
    if deformed:
        layers.append(conv(size, (middle, 54), 3, stride, dilation=2, groups=2, times=times))
    layers.append(conv(core.out, (middle, after), 1, times=times))
    if projected:
        layers.append(conv(size, (before, after), 1, stride, times=times))
    return tuple(layers)


def se_cff_concentration(size: Size) -> tuple[Convolution, ...]:
    """Return the U-net that turns 10 stacks of events into one image, for both cameras."""
    layers = [conv(size, (10, 32), 3, times=2), conv(size, (32, 32), 3, times=2)]
    for level, width in enumerate((64, 128, 256), start=1):
        small = tuple(n >> level for n in size)
        layers += [conv(small, (width // 2, width), 3, times=2)]
        layers += [conv(small, (width, width), 3, times=2 * 2)]
    for level, width in ((2, 128), (1, 64), (0, 32)):
        large = tuple(n >> level for n in size)
        layers += [conv(large, (2 * width, width), 3, times=2 * 2)]
        layers += [conv(large, (width, width), 3, times=2)]
    return (*layers, conv(size, (32, 10), 3, times=2))


def se_cff_aggregation(sizes: tuple[Size, ...]) -> tuple[Convolution, ...]:
    """Return the aggregation of 64, 32 and 16 disparities at three scales, six times."""
    widths = (64, 32, 16)
    layers: list[Convolution] = []
    for fusion in range(6):
        for size, width in zip(sizes, widths, strict=True):
            layers += bottleneck(size, (width, width, width), deformed=fusion >= 3)
        for here in range(3):
            for there in range(here + 1, 3):
                coarse, fine = widths[there], widths[here]
                layers.append(conv(sizes[there], (coarse, fine), 1))
                layers += [conv(sizes[k], (fine, fine), 3, 2) for k in range(here, there - 1)]
                layers.append(conv(sizes[there - 1], (fine, coarse), 3, 2))
    return (*layers, *(conv(s, (w, w), 1) for s, w in zip(sizes, widths, strict=True)))


def se_cff(size: Size) -> tuple[Convolution, ...]:
    """Return SE-CFF with 10 stacks of events and 192 disparities."""
    stem = conv(size, (1, 32), 7, 3, times=2)
    layers = [*se_cff_concentration(size), stem]
    here, width, sizes = stem.out, 32, []
    for blocks, middle, stride, deformed in (
        (3, 32, 1, False),
        (4, 64, 2, False),
        (6, 128, 2, True),
    ):
        for block in range(blocks):
            channels, first = (width, middle, 4 * middle), block == 0
            added = bottleneck(
                here, channels, stride if first else 1, deformed=deformed, projected=first, times=2
            )
            layers += added
            here, width = added[1].out, 4 * middle
        sizes.append(here)
        layers.append(conv(here, (width, 128), 1, times=2))
        layers.append(conv(here, (128, 128), 3, times=2))
    layers += se_cff_aggregation(tuple(sizes))
    for fine in (tuple(n // 2 for n in size), size):
        layers += [conv(fine, (2, 16), 3), conv(fine, (1, 16), 3)]
        layers += [conv(fine, (32, 32), 3, dilation=d, times=2) for d in (1, 2, 4, 8, 1, 1)]
        layers.append(conv(fine, (32, 1), 3))
    return tuple(layers)


BASELINES: dict[str, Baseline] = {
    network.name: network
    for network in (
        Baseline(
            name="DDES", layers=ddes, multiple=64, steps=1,
            complete="all convolutions; weights times events of the queue left out",
            source="Tulyakov et al., ICCV 2019; code tlkvstepan/event_stereo_ICCV2019 and "
            "tlkvstepan/PracticalDeepStereo_NIPS2018",
        ),
        Baseline(
            name="DTC-PDS", layers=dtc_pds, multiple=64, steps=10,
            complete="all convolutions; the recurrence left out",
            source="Zhang et al., CVPR 2022; code Huawei-BIC/"
            "Discrete_Time_Convolution_for_Fast_Event_Based_Stereo, DTC_pds_for_mvsec",
        ),
        Baseline(
            name="DTC-SPADE", layers=dtc_spade, multiple=64, steps=15,
            complete="all convolutions; recurrence and modulation left out",
            source="Zhang et al., CVPR 2022; code Huawei-BIC/"
            "Discrete_Time_Convolution_for_Fast_Event_Based_Stereo, DTC_SPADE_for_mvsec",
        ),
        Baseline(
            name="SE-CFF", layers=se_cff, multiple=24, steps=1,
            complete="all convolutions; correlation and deformable sampling left out",
            source="Nam et al., CVPR 2022; code yonseivnl/se-cff, its deformable block as in AANet",
        ),
        Baseline(
            name="StereoSpike", layers=stereospike, multiple=1, steps=1, spiking=True,
            complete="all convolutions",
            source="Rancon et al., IEEE Access 2022; code urancon/StereoSpike",
        ),
    )
}  # fmt: skip
"""By name. To add one, add a function from the padded size to its convolutions and an entry."""
