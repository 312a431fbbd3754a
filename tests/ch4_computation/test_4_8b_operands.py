"""4.8 GPU computing: operands and results

An operation runs on the device of its operands and puts its result there, so a computation that starts on a GPU stays
on it until a copy is asked for. Operands on different devices are an error, not a hidden copy. There is one exception:
a *zero-dimensional* tensor on the CPU stands for a single number, which can travel with the launch of the operation as
a Python number would.
"""

import math

import pytest
import torch
from torch.nn import functional as F

claim = pytest.mark.claim

# CUDA and most others say "Expected all tensors to be on the same device"; MPS has sentences of its own.
MIXED = "(?i)same device|on MPS device|on cpu"

# Operations of two tensors for which the 2 x 2 tensors below will do, each in both orders.
OPERATIONS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "mul of integers": lambda a, b: a.long() * b.long(),
    "mul of transposes": lambda a, b: a.t() * b.t(),
    "mul by a row": lambda a, b: a * b[0],
    "mul in place": lambda a, b: a.clone().mul_(b),
    "comparison": lambda a, b: a > b,
    "mm": lambda a, b: torch.mm(a, b),
    "mv": lambda a, b: torch.mv(a, b[0]),
    "linear": lambda a, b: F.linear(a, b),
    "bias of linear": lambda a, b: F.linear(a, a, b[0]),
    "where": lambda a, b: torch.where(a > 2, a, b),
    "cat": lambda a, b: torch.cat([a, b]),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
either_order = pytest.mark.parametrize(
    "operation",
    [lambda a, b: a * b, lambda a, b: b * a, lambda a, b: a + b, lambda a, b: b + a],
    ids=["product", "product, other order", "sum", "sum, other order"],
)


@pytest.fixture
def here():
    return torch.tensor([[1.0, 2.0], [3.0, 4.0]], device="cpu")


@pytest.fixture
def there(accelerator):
    return torch.tensor([[5.0, 6.0], [7.0, 8.0]], device=accelerator)


# ── gpu-results-stay-on-gpu ──


@claim("gpu-results-stay-on-gpu")
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        pytest.param(lambda x: x**2, [[1.0, 4.0, 9.0], [16.0, 25.0, 36.0]], id="power"),
        pytest.param(lambda x: x - 1, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], id="minus a number"),
        pytest.param(lambda x: x.sum(), 21.0, id="sum"),
        pytest.param(lambda x: x.mean(dim=0), [2.5, 3.5, 4.5], id="mean of columns"),
        pytest.param(lambda x: x.argmax(dim=1), [2, 2], id="argmax"),
        pytest.param(lambda x: x @ x.t(), [[14.0, 32.0], [32.0, 77.0]], id="matrix product"),
        pytest.param(lambda x: x > 3, [[False, False, False], [True, True, True]], id="comparison"),
        pytest.param(lambda x: x[1], [4.0, 5.0, 6.0], id="row"),
        pytest.param(lambda x: x[:, [2, 0]], [[3.0, 1.0], [6.0, 4.0]], id="chosen columns"),
        pytest.param(lambda x: x[x > 4], [5.0, 6.0], id="mask"),
        pytest.param(lambda x: torch.cat([x, x], dim=1)[0], [1.0, 2.0, 3.0, 1.0, 2.0, 3.0], id="cat"),
        pytest.param(lambda x: x.int(), [[1, 2, 3], [4, 5, 6]], id="type"),
        pytest.param(lambda x: x.clone(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], id="clone"),
        pytest.param(lambda x: x.max(dim=0).indices, [1, 1, 1], id="indices of maxima"),
        pytest.param(lambda x: x.sort(descending=True).indices, [[2, 1, 0], [2, 1, 0]], id="indices of sort"),
        pytest.param(lambda x: (x > 4).nonzero(), [[1, 1], [1, 2]], id="nonzero"),
        pytest.param(lambda x: torch.where(x > 4, x, -x), [[-1.0, -2.0, -3.0], [-4.0, 5.0, 6.0]], id="where"),
        pytest.param(lambda x: torch.stack([x[1], x[0]]), [[4.0, 5.0, 6.0], [1.0, 2.0, 3.0]], id="stack"),
        pytest.param(lambda x: torch.zeros_like(x), [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], id="zeros_like"),
    ],
)
def test_a_result_is_where_its_operand_is(accelerator, operation, expected):
    """Small whole numbers, so that the values are exact on every device."""
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device=accelerator)
    result = operation(x)
    assert result.device == x.device
    assert result.tolist() == expected


@claim("gpu-results-stay-on-gpu")
def test_random_numbers_for_a_tensor_are_drawn_where_it_is(accelerator):
    x = torch.ones(2, 3, device=accelerator)
    drawn = torch.rand_like(x), torch.randn_like(x), torch.bernoulli(x), F.dropout(x)
    assert [result.device for result in drawn] == [x.device] * 4


@claim("gpu-results-stay-on-gpu")
def test_results_stay_on_that_gpu_of_the_two(two_devices):
    for device in two_devices:
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        results = x**2, x @ x, x.sum(), x[0], x > 2, torch.cat([x, x])
        assert [result.device for result in results] == [device] * 6


@claim("gpu-results-stay-on-gpu")
def test_values_equal_the_cpus_within_rounding(accelerator):
    """Sums of 53 products of magnitude 1, in float32: each device adds them in an order of its own.

    53 terms with partial sums below 64 are off by less than 53 * 64 * 2**-24 = 2e-4.
    """
    a, b = torch.randn(37, 53, device="cpu"), torch.randn(53, 29, device="cpu")
    product = (a.to(accelerator) @ b.to(accelerator)).tanh()
    assert product.device.type == accelerator.type
    torch.testing.assert_close(product.cpu(), (a @ b).tanh(), rtol=0, atol=2e-4)


@claim("gpu-results-stay-on-gpu")
def test_a_write_in_place_leaves_the_tensor_where_it_is(accelerator):
    x = torch.tensor([1.0, 2.0, 3.0], device=accelerator)
    place = x.device
    x.mul_(2).add_(1)
    x[1] = -1.0
    assert x.device == place
    assert x.tolist() == [3.0, -1.0, 7.0]


@claim("gpu-results-stay-on-gpu")
def test_the_gradient_is_where_the_leaf_is(accelerator):
    x = torch.tensor([1.0, 2.0, 3.0], device=accelerator, requires_grad=True)
    (x**2).sum().backward()
    assert x.grad.device == x.device
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


@claim("gpu-results-stay-on-gpu")
def test_only_a_copy_that_is_asked_for_leaves_the_gpu(accelerator):
    x = torch.tensor([0.0, 1.0], device=accelerator).exp()
    assert (x.device.type, x.cpu().device.type) == (accelerator.type, "cpu")
    assert type(x[1].item()) is float
    assert x[1].item() == pytest.approx(math.e, rel=1e-6)  # float32 keeps 24 bits: 6e-8


# ── cpu-and-gpu-tensors-do-not-mix ──


@claim("cpu-and-gpu-tensors-do-not-mix")
@every_operation
def test_operands_on_cpu_and_gpu_are_refused(here, there, operation):
    with pytest.raises(RuntimeError, match=MIXED):
        operation(here, there)
    with pytest.raises(RuntimeError, match=MIXED):
        operation(there, here)


@claim("cpu-and-gpu-tensors-do-not-mix")
@every_operation
def test_a_copy_on_the_same_device_is_accepted(here, there, operation):
    """The operands differ in nothing but their device: moved together, either way, they give the CPU's numbers."""
    expected = operation(here, torch.tensor([[5.0, 6.0], [7.0, 8.0]], device="cpu")).tolist()
    assert operation(here.to(there.device), there).tolist() == expected
    assert operation(here, there.cpu()).tolist() == expected


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
def test_a_refused_operation_in_place_changes_nothing(here, there):
    with pytest.raises(RuntimeError, match=MIXED):
        there.add_(here)
    with pytest.raises(RuntimeError, match=MIXED):
        here.add_(there)
    assert there.tolist() == [[5.0, 6.0], [7.0, 8.0]]
    assert here.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
def test_a_zero_dimensional_cpu_tensor_mixes_in_either_order(there):
    two = torch.tensor(2.0, device="cpu")
    results = there * two, two * there, there - two, two - there, there / two
    assert [result.device for result in results] == [there.device] * 5
    assert results[0].tolist() == results[1].tolist() == [[10.0, 12.0], [14.0, 16.0]]
    assert results[2].tolist() == [[3.0, 4.0], [5.0, 6.0]]
    assert results[3].tolist() == [[-3.0, -4.0], [-5.0, -6.0]]
    assert results[4].tolist() == [[2.5, 3.0], [3.5, 4.0]]


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
def test_a_zero_dimensional_cpu_tensor_does_not_widen_the_dtype(there):
    assert (there * torch.tensor(2, dtype=torch.int64, device="cpu")).dtype == torch.float32
    assert (there.half() * torch.tensor(2.0, dtype=torch.float32, device="cpu")).dtype == torch.float16


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@either_order
@pytest.mark.parametrize("shape", [[1], [1, 1]])
def test_one_element_is_not_zero_dimensions(there, operation, shape):
    with pytest.raises(RuntimeError, match=MIXED):
        operation(there, torch.ones(shape, device="cpu"))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@either_order
def test_a_zero_dimensional_gpu_tensor_does_not_mix_with_a_cpu_tensor(here, accelerator, operation):
    """Its number would have to be fetched from the GPU first: a hidden wait."""
    with pytest.raises(RuntimeError, match=MIXED):
        operation(here, torch.tensor(2.0, device=accelerator))


# ── different-gpus-do-not-mix ──


@claim("different-gpus-do-not-mix")
@every_operation
def test_operands_on_two_gpus_are_refused(two_devices, operation):
    a, b = (torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device) for device in two_devices)
    with pytest.raises(RuntimeError, match=MIXED):
        operation(a, b)
    with pytest.raises(RuntimeError, match=MIXED):
        operation(b, a)


@claim("different-gpus-do-not-mix")
@either_order
@pytest.mark.parametrize("shape", [[], [1]])
def test_not_even_a_single_number_crosses_between_gpus(two_devices, operation, shape):
    first, second = two_devices
    with pytest.raises(RuntimeError, match=MIXED):
        operation(torch.tensor([1.0, 2.0], device=first), torch.ones(shape, device=second))


@claim("different-gpus-do-not-mix")
def test_a_copy_to_the_other_gpu_makes_them_fit(two_devices):
    first, second = two_devices
    a, b = torch.tensor([1.0, 2.0], device=first), torch.tensor([10.0, 20.0], device=second)
    total = a.to(second) + b
    assert (a.device, total.device) == (first, second)
    assert total.tolist() == [11.0, 22.0]
