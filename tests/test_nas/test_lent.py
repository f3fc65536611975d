"""Memory of large results: used again when free, never while anybody holds it."""

import gc

import numpy as np
import pytest
import torch

from nas.fused.lent import LEAST_BYTES, Lender
from nas.neurons import LIF

LARGE = (LEAST_BYTES // 4,)


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_nobody_holds_it():
    lender = Lender()
    first = lender.lend(LARGE)
    place = address(first)
    view = torch.from_numpy(first).view(2, -1)[1]
    del first
    gc.collect()
    second = lender.lend(LARGE)
    assert address(second) != place, "a view of it is still held"
    del view
    assert address(lender.lend(LARGE)) == place
    assert lender.lend((2, LARGE[0])).shape == (2, LARGE[0]), "another size is other memory"


def test_memory_kept_is_bounded():
    lender = Lender(most_free_bytes=2 * LEAST_BYTES)
    held = [lender.lend(LARGE) for _ in range(4)]
    places = [address(array) for array in held]
    assert len(set(places)) == 4
    while held:
        del held[0]
    again = [lender.lend(LARGE) for _ in range(2)]
    assert {address(array) for array in again} == set(places[2:]), "the first two were given up"


def test_coming_back_at_any_point_is_harmless():
    """As when garbage is collected while memory is taken: the lock is held further up."""
    lender = Lender()
    array = lender.lend(LARGE)
    place = address(array)
    with lender._lock:
        del array
        assert lender.lend(LARGE).shape == LARGE
    assert place in {address(lender.lend(LARGE)) for _ in range(2)}


@pytest.mark.parametrize("grad", [False, True])
def test_results_of_a_neuron_do_not_share_memory(grad):
    x = torch.randn(2, 1, LARGE[0] // 2, requires_grad=grad)
    neuron = LIF(backend="kernel")
    first = neuron(x)
    kept = first.detach().numpy().copy()
    second = neuron(-x)
    assert first.data_ptr() != second.data_ptr()
    if grad:
        (a,) = torch.autograd.grad(first, x, torch.ones_like(first))
        saved = a.clone()
        (b,) = torch.autograd.grad(second, x, torch.ones_like(second))
        assert torch.equal(a, saved)
        assert b.data_ptr() != a.data_ptr()
    np.testing.assert_array_equal(first.detach().numpy(), kept)
