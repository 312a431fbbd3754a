"""2.2 Changing the shape: a new header or a new block of memory

`view` and, on contiguous data, `reshape` write a header: an exponent of 0 and no memory. `clone` copies first. On a
transpose, whose rows are not contiguous, no view of another shape exists: now `reshape` copies as well, and such a
copy jumps through memory, so that it is slower than one that runs straight through.
"""

import pytest
import torch

BYTES = [10**4, 10**5, 10**6, 10**7]


@pytest.mark.comparison(
    size="bytes of the tensor",
    claims=["view-shares-data", "reshape-does-not-guarantee-a-copy", "clone-then-view-is-independent"],
)
@pytest.mark.parametrize("way", ["view", "reshape", "contiguous then view", "clone then view"])
@pytest.mark.parametrize("size", BYTES)
def test_another_shape(size, way, measure):
    x = torch.arange(size // 4, dtype=torch.int32)
    ways = {
        "view": lambda: x.view(10, -1),
        "reshape": lambda: x.reshape(10, -1),
        "contiguous then view": lambda: x.contiguous().view(10, -1),
        "clone then view": lambda: x.clone().view(10, -1),
    }
    shaped = measure(ways[way])
    assert shaped.shape == (10, size // 40)
    assert shaped.flatten().tolist() == list(range(size // 4))


@pytest.mark.comparison(size="bytes of the tensor", claims=["reshape-does-not-guarantee-a-copy"])
@pytest.mark.parametrize("way", ["reshape", "contiguous then view", "clone then view"])
@pytest.mark.parametrize("size", BYTES)
def test_another_shape_of_a_transpose(size, way, measure):
    x = torch.arange(size // 4, dtype=torch.int32).view(-1, 10).t()
    ways = {
        "reshape": lambda: x.reshape(-1),
        "contiguous then view": lambda: x.contiguous().view(-1),
        "clone then view": lambda: x.clone(memory_format=torch.contiguous_format).view(-1),
    }
    flat = measure(ways[way], moved=2 * size)
    assert flat.view(10, -1).t().flatten().tolist() == list(range(size // 4))
