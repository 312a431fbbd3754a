"""2.4 Tensors and NumPy arrays: sharing memory or copying it

`torch.from_numpy` writes a new header on old memory, so its time should not depend on the size: an exponent of 0.
`torch.tensor` reads and writes every element: an exponent of 1, and memory as large again. `torch.as_tensor` shares
where it can, and here it can. How close the copies come to what the memory allows is told by `numpy.copyto`, which
fills an array that is already there. A *new* array costs more than the copying: the operating system must first
provide its memory, page by page, and clear it.
"""

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.cpu  # NumPy's memory is main memory

BYTES = [10**3, 10**4, 10**5, 10**6, 10**7, 10**8]


@pytest.mark.comparison(
    size="bytes of the array",
    claims=["numpy-conversion-is-fast", "torch-tensor-always-copies", "copying-costs-time-and-space"],
)
@pytest.mark.parametrize("way", ["from_numpy", "as_tensor", "tensor"])
@pytest.mark.parametrize("size", BYTES)
def test_array_to_tensor(size, way, measure):
    array = np.arange(size // 4, dtype=np.int32)
    convert = getattr(torch, way)
    tensor = measure(lambda: convert(array), moved=2 * size if way == "tensor" else None)
    assert np.array_equal(tensor, array)


@pytest.mark.comparison(size="bytes of the tensor", claims=["numpy-conversion-is-fast", "numpy-method-shares-memory"])
@pytest.mark.parametrize("way", ["numpy()", "numpy().copy()"])
@pytest.mark.parametrize("size", BYTES)
def test_tensor_to_array(size, way, measure):
    tensor = torch.arange(size // 4, dtype=torch.int32)
    ways = {"numpy()": tensor.numpy, "numpy().copy()": lambda: tensor.numpy().copy()}
    array = measure(ways[way], moved=2 * size if way == "numpy().copy()" else None)
    assert np.array_equal(array, np.arange(size // 4, dtype=np.int32))


@pytest.mark.comparison(size="bytes copied", claims=["copying-costs-time-and-space"])
@pytest.mark.parametrize("way", ["numpy.copyto", "copy_", "clone"])
@pytest.mark.parametrize("size", BYTES)
def test_copy_of_memory(size, way, measure):
    source = np.arange(size // 4, dtype=np.int32)
    target = np.zeros_like(source)
    from_tensor, to_tensor = torch.from_numpy(source), torch.from_numpy(target)

    def into_an_old_array():
        np.copyto(target, source)
        return target

    ways = {
        "numpy.copyto": into_an_old_array,
        "copy_": lambda: to_tensor.copy_(from_tensor),
        "clone": from_tensor.clone,  # into new memory
    }
    copy = measure(ways[way], moved=2 * size)
    assert np.array_equal(copy, source)
