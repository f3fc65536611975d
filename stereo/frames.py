"""One evaluated window as a picture: encoded events, estimate, ground truth, error."""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from data import Events
from stereo.draw import Picture
from stereo.render import View, render


def frame_picture(
    encoded: Float[Tensor, "T C H W"],
    estimate: Float32[np.ndarray, "H W"],
    truth: Float32[np.ndarray, "H W"],
    *,
    title: str,
    subtitle: str,
    top_px: float,
) -> Picture:
    """Draw one window as ``stereo.render`` does.

    Args:
        encoded: events of the left camera as the network sees them.
        estimate: ``[H, W]`` disparity in pixels.
        truth: ``[H, W]`` likewise, 0 = none.
        title: first line.
        subtitle: second line.
        top_px: disparity at the upper end of the colors.
    """
    height, width = truth.shape
    view = View(
        title=title, subtitle=subtitle, width=width, height=height, start_us=0, top_px=top_px,
        calibration=None, has_truth=True,
    )  # fmt: skip
    events = events_of(encoded)
    caption = f"left events on {len(events):,} pixels"
    return render(
        view, t_us=None, events=events, disparity=estimate, truth=truth, caption=caption
    )  # fmt: skip


def events_of(encoded: Float[Tensor, "T C H W"]) -> Events:
    """Return one event for every pixel that an encoding shows something at, all at time 0.

    Its polarity is what prevails: of an even number of channels without negative values the odd
    ones are ON, as of spikes and counts; of all others the sign of the sum decides.
    """
    whole = encoded.detach().float().sum(dim=0)
    if whole.shape[0] % 2 == 0 and not bool((whole < 0).any()):
        prevails = whole[1::2].sum(dim=0) - whole[0::2].sum(dim=0)
    else:
        prevails = whole.sum(dim=0)
    row, column = torch.nonzero((encoded != 0).any(dim=0).any(dim=0), as_tuple=True)
    return Events(
        t=np.zeros(len(row), np.int64),
        x=column.cpu().numpy().astype(np.float32),
        y=row.cpu().numpy().astype(np.float32),
        p=(prevails[row, column] > 0).cpu().numpy(),
    )
