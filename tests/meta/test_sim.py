"""The simulated accelerator: what it does as an accelerator does. Collected only under --device sim."""

import copy
import io

import pytest
import torch
from harness import sim
from torch import nn

FIRST, SECOND = torch.device("sim:0"), torch.device("sim:1")


@pytest.fixture(params=["sim:0", "sim:1"])
def where(request) -> torch.device:
    """Each of the two devices."""
    return torch.device(request.param)


def test_a_tensor_has_sizes_strides_and_a_storage_of_its_own(where):
    tensor = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device=where)
    assert (tensor.device, tensor.untyped_storage().device, tensor.untyped_storage().nbytes()) == (where, where, 24)
    transposed = tensor.t()
    assert (transposed.stride(), transposed.data_ptr()) == ((1, 3), tensor.data_ptr())
    transposed[2, 0] = 9.0
    assert tensor.tolist() == [[1, 2, 9], [4, 5, 6]]


def test_a_square_is_transposed_in_place(where):
    tensor = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=where)
    assert tensor.t_() is tensor
    assert (tensor.stride(), tensor.tolist()) == ((1, 2), [[1, 3], [2, 4]])


def test_a_copy_to_the_other_device_shares_nothing():
    there = torch.tensor([1.0, 2.0], device=FIRST)
    here = there.to(SECOND)
    here[0] = 7.0
    assert (here.device, there.tolist(), here.tolist()) == (SECOND, [1, 2], [7, 2])


def test_without_a_number_the_current_device_is_meant():
    with torch.sim.device(0):  # each of several workers has a device of its own
        with torch.sim.device(1):
            assert torch.ones(1, device="sim").device == SECOND
        assert torch.ones(1, device="sim").device == FIRST


def test_a_third_device_is_refused():
    with pytest.raises(RuntimeError, match="sim: invalid device ordinal 2, there are 2 devices"):
        torch.ones(1, device="sim:2")


@pytest.mark.parametrize("operation", [torch.add, torch.matmul, lambda a, b: torch.cat([a, b]), lambda a, b: a.add_(b)])
@pytest.mark.parametrize("other", ["cpu", "sim:1"])
def test_two_devices_do_not_mix(operation, other):
    a, b = torch.ones(2, 2, device=FIRST), torch.ones(2, 2, device=other)
    with pytest.raises(RuntimeError, match=f"at least two devices, sim:0 and {other}!"):
        operation(a, b)


def cpu(*values):
    return torch.tensor(*values, device="cpu")


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: cpu([1.0, 2.0, 3.0])[torch.tensor([0, 2], device=FIRST)],
        lambda x: x.index_put_((torch.tensor([0, 1], device=FIRST),), cpu([5.0, 6.0])),
        lambda x: cpu([1.0, 2.0, 3.0]).index_put_((cpu([0, 1]),), x[:2]),
        lambda x: torch.equal(x[0], cpu(1.0)),
        lambda x: x.index_select(0, cpu(1)),
        lambda x: x.gather(0, cpu(1)),
        lambda x: x.take(cpu(1)),
        lambda x: cpu(1.0).add_(x[0]),
        lambda x: torch.rand(3, device=FIRST, generator=torch.Generator()),
        lambda x: torch.randperm(3, device=FIRST, generator=torch.Generator("cpu")),
        lambda x: x.bernoulli_(0.5, generator=torch.Generator("cpu")),
    ],
)
def test_what_cuda_refuses_is_refused(operation):
    x = torch.tensor([1.0, 2.0, 3.0], device=FIRST)
    with pytest.raises(RuntimeError, match="at least two devices|should be either on cpu|Expected a 'sim' device type"):
        operation(x)
    assert x.tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_there_are_no_integer_matrix_products(dtype):
    x = torch.ones(2, 2, dtype=dtype, device=FIRST)
    with pytest.raises(NotImplementedError, match="not implemented for '(Long|Byte)'"):
        torch.matmul(x, x)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda x: x + cpu(2.0), [3, 4, 5]),
        (lambda x: cpu(2.0) - x, [1, 0, -1]),
        (lambda x: x.add_(cpu(2.0)), [3, 4, 5]),
        (lambda x: torch.where(x > 1, x, cpu(0.0)), [0, 2, 3]),
        (lambda x: x.masked_fill(x > 1, cpu(9.0)), [1, 9, 9]),
        (lambda x: x.fill_(cpu(9.0)), [9, 9, 9]),
        (lambda x: x.index_put_((cpu([0, 2]),), cpu(9.0)), [9, 2, 9]),
        (lambda x: torch.maximum(x, cpu(2.0)), [2, 2, 3]),
        (lambda x: x == cpu(2.0), [False, True, False]),
        (lambda x: x.clamp_(min=cpu(2.0)), [2, 2, 3]),
    ],
)
def test_a_cpu_tensor_without_dimensions_is_a_number(operation, expected):
    x = torch.tensor([1.0, 2.0, 3.0], device=FIRST)
    assert operation(x).tolist() == expected


def test_a_cpu_tensor_mixes_only_without_dimensions_or_as_an_index():
    values = torch.tensor([1.0, 2.0, 3.0], device=FIRST)
    assert (values * torch.tensor(2.0, device="cpu")).tolist() == [2, 4, 6]
    assert values[torch.tensor([2, 0], device="cpu")].tolist() == [3, 1]
    with pytest.raises(RuntimeError, match="at least two devices"):
        torch.ones(3, device="cpu") * torch.tensor(2.0, device=FIRST)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + 1,
        lambda x: x % 2,  # a number where the operator's schema has a tensor
        lambda x: torch.cat([x, x], dim=1),
        lambda x: x.split([1, 2], dim=1)[1],
        lambda x: x.sort(dim=1, descending=True).values,
        lambda x: x[x > 2],
        lambda x: torch.where(x > 2, x, torch.zeros_like(x)),
        lambda x: x.unfold(1, 2, 1),
        lambda x: torch.nn.functional.conv2d(x[None, None], torch.ones_like(x)[None, None, :, :2]),
        lambda x: x.to(torch.complex64).mul(1j).conj().imag,
        lambda x: torch.linalg.svdvals(x),
        lambda x: torch.fft.rfft(x).abs(),
    ],
)
def test_an_operator_computes_what_the_cpus_does(operation, where):
    x = torch.tensor([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]], device="cpu")
    result = operation(x.to(where))
    assert result.device == where
    torch.testing.assert_close(result.cpu(), operation(x), rtol=0, atol=0)  # the same kernel, so the same bits


def test_an_operator_in_place_returns_its_tensor(where):
    x = torch.tensor([1.0, 2.0], device=where)
    assert x.mul_(3) is x
    assert x.tolist() == [3, 6]


def test_an_out_argument_grows_to_the_result(where):
    out = torch.empty(0, device=where)
    torch.add(torch.ones(3, device=where), 1, out=out)
    assert (out.device, out.tolist()) == (where, [2, 2, 2])


def test_gradients_come_back_on_the_device(where):
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).to(where)
    twin = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).cpu()
    twin.load_state_dict(net.state_dict())
    x = torch.randn(5, 3, device="cpu")
    net(x.to(where)).square().sum().backward()
    twin(x).square().sum().backward()
    for parameter, expected in zip(net.parameters(), twin.parameters()):
        assert parameter.grad.device == where
        torch.testing.assert_close(parameter.grad.cpu(), expected.grad, rtol=0, atol=0)


def test_a_gradient_crosses_from_one_device_to_the_other():
    x = torch.tensor([2.0, 3.0], device=FIRST, requires_grad=True)
    (x.to(SECOND) ** 2).sum().backward()
    assert (x.grad.device, x.grad.tolist()) == (FIRST, [4, 6])


def test_an_error_in_a_hook_comes_back_from_the_devices_thread(where):
    x = torch.ones(3, device=where, requires_grad=True)
    y = x * 2

    def refuse(gradient):
        raise ValueError("my own")

    handle = y.register_hook(refuse)
    with pytest.raises(ValueError, match="my own"):
        y.sum().backward()
    handle.remove()
    (x * 2).sum().backward()  # the thread goes on
    assert x.grad.tolist() == [2, 2, 2]


def test_each_device_draws_from_its_own_generator():
    torch.manual_seed(5)
    first = torch.rand(3, device=FIRST).tolist()
    torch.rand(7, device="cpu")
    assert torch.rand(3, device=SECOND).tolist() == first  # seeded alike, and disturbed by nobody's draws
    state = torch.sim.get_rng_state(FIRST)
    again = torch.rand(3, device=FIRST).tolist()
    assert again != first
    torch.sim.set_rng_state(state, FIRST)
    assert torch.rand(3, device=FIRST).tolist() == again


def test_the_same_seed_draws_other_numbers_than_on_the_cpu():
    torch.manual_seed(5)
    assert torch.rand(3, device=FIRST).tolist() != torch.rand(3, device="cpu").tolist()
    generator = torch.Generator(FIRST)
    assert (generator.manual_seed(-7).initial_seed(), generator.seed()) == (-7, generator.initial_seed())


def test_torch_accelerator_sets_the_current_device():
    with torch.sim.device(0):
        torch.accelerator.set_device_index(1)
        assert (torch.accelerator.current_device_index(), torch.sim.current_device()) == (1, 1)
        assert torch.ones(1, device="sim").device == SECOND
        torch.accelerator.set_device_index(0)
        assert torch.ones(1, device="sim").device == FIRST


def test_a_generator_of_the_device_repeats_its_numbers(where):
    generator = torch.Generator(where).manual_seed(3)
    drawn = torch.randperm(10, device=where, generator=generator)
    assert (generator.device, drawn.device) == (where, where)
    assert torch.randperm(10, device=where, generator=generator.manual_seed(3)).tolist() == drawn.tolist()
    assert type(torch.Generator()) is torch._C.Generator
    assert isinstance(torch.Generator(), torch.Generator)
    assert not isinstance(torch.ones(1), torch.Generator)


def test_dropout_keeps_the_expectation_and_follows_the_devices_seed(where):
    torch.manual_seed(1)
    dropped = nn.functional.dropout(torch.ones(10_000, device=where), p=0.25)
    assert set(dropped.tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(dropped.mean().item() - 1) < 0.05  # 8 standard errors: sqrt(0.25 / 0.75 / 10000) = 0.0058
    torch.manual_seed(1)
    assert torch.equal(nn.functional.dropout(torch.ones(10_000, device=where), p=0.25), dropped)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"num_layers": 2, "bidirectional": True}])
def test_recurrent_layers_compute_and_learn_as_on_the_cpu(where, kind, options):
    with torch.device("cpu"):
        layer, x = getattr(nn, kind)(3, 2, **options).double(), torch.randn(4, 5, 3).double().requires_grad_()
    twin = copy.deepcopy(layer).to(where)
    results = []
    for each, given in ((layer, x), (twin, x.detach().to(where).requires_grad_())):
        output, last = each(given)
        (output.square().sum() + sum(state.sum() for state in last)).backward()
        results.append([output, *last, given.grad, *(parameter.grad for parameter in each.parameters())])
    for expected, found in zip(*results, strict=True):
        assert found.device == where
        assert torch.allclose(found.cpu(), expected)


def test_a_saved_tensor_comes_back_to_its_device_or_where_it_is_sent(where):
    file = io.BytesIO()
    torch.save(torch.tensor([1.0, 2.0], device=where), file)
    file.seek(0)
    assert torch.load(file).device == where
    file.seek(0)
    assert torch.load(file, map_location="cpu").device.type == "cpu"


def test_torch_takes_it_for_its_accelerator():
    assert torch.accelerator.current_accelerator() == torch.device("sim")
    assert torch.accelerator.device_count() == 2
    assert torch.accelerator.synchronize() is None


def test_a_pair_of_events_counts_milliseconds(monkeypatch):
    start, end = torch.sim.Event(enable_timing=True), torch.sim.Event(enable_timing=True)
    seconds = iter([10.0, 10.5])
    monkeypatch.setattr(sim.time, "perf_counter", lambda: next(seconds))
    start.record()
    end.record()
    assert start.elapsed_time(end) == 500


def test_a_second_registration_does_nothing():
    sim.register()
    assert torch.ones(1, device=FIRST).tolist() == [1]


def test_a_torch_that_registers_no_backend_from_python_is_refused(monkeypatch):
    monkeypatch.delattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend")
    assert sim.refusal() == f"torch {torch.__version__} cannot register a backend from Python, as later releases can"


def test_a_process_with_another_backend_is_refused(monkeypatch):
    assert sim.refusal() is None
    monkeypatch.setattr(torch._C, "_get_privateuse1_backend_name", lambda: "other")
    assert sim.refusal() == "torch has room for one such backend, and 'other' is there"


def test_a_process_with_another_backend_of_the_same_name_is_refused(monkeypatch):
    monkeypatch.setattr(sim, "_alive", [])
    assert sim.refusal() == "torch has room for one such backend, and 'sim' is there"
