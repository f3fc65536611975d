"""The split convolution beside the one on a volume that is built."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo.cost_volume import concat_volume
from stereo.split_volume import SplitConvolution


@settings(max_examples=60, deadline=None)
@given(
    planes=st.integers(1, 9), height=st.integers(1, 6), width=st.integers(1, 14),
    features=st.integers(1, 4), outputs=st.integers(1, 3), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_it_is_the_convolution_of_the_volume(planes, height, width, features, outputs, seed):
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randint(0, 2, (2, features, height, width), generator=generator).float()
    weight = torch.randint(-64, 65, (outputs, 2 * features, 3, 3, 3), generator=generator) / 64
    volume = concat_volume(left[None, None], right[None, None], planes)[0]
    wanted = F.conv3d(volume, weight, padding=1)[0].permute(1, 2, 3, 0)
    found = torch.full_like(wanted, torch.nan)
    SplitConvolution.of(weight, planes).write(left, right, found)
    assert torch.equal(found, wanted), "sums of multiples of 1/64 are exact in any order"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_of_nothing_and_of_ones(value):
    views = torch.full((2, 3, 5, 7), value)
    weight = torch.ones(2, 6, 3, 3, 3)
    found = torch.full((4, 5, 7, 2), torch.nan)
    SplitConvolution.of(weight, 4).write(*views, found)
    volume = concat_volume(views[:1][None], views[1:][None], 4)[0]
    assert torch.equal(found, F.conv3d(volume, weight, padding=1)[0].permute(1, 2, 3, 0))
