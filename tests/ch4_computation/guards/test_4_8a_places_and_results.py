"""4.8 GPU computing: what is printed and told of places, and results of every kind, which stay where they are."""

import copy

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, LAYOUTS, WRITABLE, agree, among, each, over, twins, untouched
from populations.along import TRIALS as ALONG
from populations.comparing import accepted
from populations.gradients import ALONE, SEVERAL, UNTRACKED
from populations.journeys import COPIES, CPU, current, host_twin, journeys, spot
from populations.mixing import IN_PLACE, RESULTS, refused
from populations.trials import TRIALS
from populations.twins import FEW, LEAVES
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

KINDS = {
    "tensor": lambda x: x,
    "leaf": lambda x: x.detach().requires_grad_(x.is_floating_point()),
    "result": lambda x: x.detach().requires_grad_(x.is_floating_point()) * 2,
    "view": lambda x: x.unsqueeze(x.dim() // 2),
    "parameter": lambda x: nn.Parameter(x, requires_grad=x.is_floating_point()),
}
SPARSE = torch.sparse_coo, torch.sparse_csr, torch.sparse_csc  # the last two of matrices alone
PRINTED = twins(
    (*FLOATS, torch.int64, torch.bool, torch.complex64),
    shapes=((), (0,), (5,), (2, 3), (3, 0, 2), (2, 1, 3), (2, 3, 4, 5), (1025,)),
    kinds=("tensor", "view"),
)


@claim("cpu-tensor-prints-no-device")
@over(EVERY_MODE, twin=PRINTED, kind=among(*KINDS))
def test_no_kind_of_cpu_tensor_prints_a_device_though_elsewhere_it_does(twin, kind):
    x = KINDS[kind](host_twin(twin)[0])
    with torch.device("meta"):  # the default device is not the default tensor type
        inside = repr(x)
    usual = torch.empty(0).device
    torch.set_default_device("meta")
    elsewhere = repr(x)
    torch.set_default_device(None if usual == x.device else usual)
    shown = [repr(x), f"{x}", inside, elsewhere]
    layouts = SPARSE if x.dim() == 2 else SPARSE[:1] if x.dim() else ()
    shown += [repr(x.detach().to_sparse(layout=layout)) for layout in layouts]
    assert "device" not in "".join(shown)
    assert "device='meta'" in repr(x.to("meta"))


@claim("gpu-tensor-prints-its-device")
@over(twin=PRINTED, kind=among(*KINDS))
def test_every_kind_of_tensor_there_prints_its_numbers_and_its_own_device(accelerator, twin, kind):
    there, here = KINDS[kind](twin.tensor(twin.array())), KINDS[kind](host_twin(twin)[0])

    for x, beside in ((there, here), (there.flatten()[-1:].squeeze(), here.flatten()[-1:].squeeze())):
        shown, place = str(x), f"device='{spot(twin.second)}'"
        assert shown.count(place) == 1
        # apart from the device, and from where lines are broken, it is what the same tensor on the CPU prints
        told = ["".join(text.replace(",", "").split()) for text in (shown.replace(place, ""), str(beside))]
        assert told[0] == told[1]


@claim("gpu-tensor-prints-its-device")
@pytest.mark.cuda
def test_under_a_gpu_s_default_tensor_type_it_is_the_cpu_s_tensors_that_print_their_device():
    here, there = torch.ones(2, device="cpu"), torch.ones(2, device="cuda")
    torch.set_default_tensor_type("torch.cuda.FloatTensor")
    try:
        shown = str(here), str(there), torch.ones(2).device.type
    finally:
        torch.set_default_tensor_type("torch.FloatTensor")

    assert shown == ("tensor([1., 1.], device='cpu')", "tensor([1., 1.])", "cuda")


@claim("device-attribute-tells-where")
@over(journey=journeys(twins(ANY, shapes=FEW)))
def test_every_tensor_and_every_view_of_it_tells_its_own_device_which_cannot_be_assigned(accelerator, journey):
    source, _, copied = journey
    start, copy = CPU if journey.route == "there" else spot(journey.twin.second), copied(source)

    for x, place in ((source, start), (copy, journey.target())):
        views = x, x.detach(), x.unsqueeze(0), x.view(*x.shape, 1), x[...], x.clone(), x.data
        for view in (*views, nn.Parameter(x, requires_grad=False)):
            assert type(view.device) is torch.device
            assert (view.device.type, view.device.index) == (place.type, place.index)
        for named in (accelerator, view.device):
            with refused(AttributeError):
                view.device = named
        assert repr(x.device) == repr(view.device) == repr(place)


@claim("device-attribute-tells-where")
@over(twin=twins((torch.float32, torch.int64), shapes=FEW), kind=among(*KINDS))
def test_a_tensor_whose_data_are_replaced_tells_where_the_new_ones_are(two_devices, twin, kind):
    x = KINDS[kind](twin.tensor(twin.array()))
    for place in 2 * two_devices:
        x.data = x.detach().to(place)
        assert x.device == x.data.device == place


@claim("printed-device-shows-type-and-index", truth=True)
@over(kind=among("cuda", "cpu", "mps", "xpu", "meta"), index=among(None, 0, 1, 7))
def test_any_device_prints_short_and_echoes_long(capsys, kind, index):
    device = torch.device(kind) if index is None else torch.device(kind, index)
    print(device, torch.zeros(2, device="meta").device)

    assert capsys.readouterr().out == (kind if index is None else f"{kind}:{index}") + " meta\n"
    assert repr(device) == (f"device(type='{kind}')" if index is None else f"device(type='{kind}', index={index})")
    assert torch.device(str(device)) == device


FORMS = {
    "list": lambda array: array.tolist(),
    "array": lambda array: array.copy(),
    "columns first": lambda array: array.T.copy().T,
    "with gaps": lambda array: np.stack([array, array + array], -1)[..., 0],
    "a tensor": lambda array: torch.tensor(array, device="cpu"),
    "a tensor there": lambda array: torch.tensor(array, device=spot()),
}


@claim("create-on-device-equals-create-then-move")
@over(
    twin=twins(ANY, ("contiguous",), ((), (0,), (5,), (2, 3), (2, 1, 2, 3, 2, 2), (257,)), (0, 6)),
    way=among("to(device)", "to(name)", "to(device=)"),
    form=among(*FORMS),
)
def test_data_become_one_tensor_either_way_and_each_a_tensor_of_its_own(accelerator, twin, way, form):
    data, place = FORMS[form](twin.array()), spot(twin.second)
    asked = {"requires_grad": twin.dtype in FLOATS and twin.second}
    asked |= {"dtype": twin.dtype} if form == "list" or twin.dtype == torch.bfloat16 else {}  # which an array tells
    created = torch.tensor(data, device=place, **asked)
    moved = COPIES[way](torch.tensor(data, device="cpu", **asked), place)
    with current(place):
        by_type = torch.tensor(data, device=place.type, **asked)

    for x in (created, moved, by_type):
        assert (x.device, x.dtype, x.requires_grad) == (place, twin.dtype, asked["requires_grad"])
        agree(x, twin.array())
    assert created.stride() == moved.stride()
    created.data.fill_(1)
    agree(moved, twin.array())
    moved.data.fill_(1)
    agree(torch.tensor(data, device=place, **asked), twin.array())  # once more, of its own as well
    agree(COPIES[way](torch.tensor(data, device="cpu", **asked), place), twin.array())


NUMBERS = {  # large, small, negative, of several dtypes, and none
    **dict.fromkeys([7, 2.5, 425_245_252, (), ((),), (True, False), (3, -4.5), (1, -2, 2**53 + 1), np.float32(0.75)]),
    **dict.fromkeys([(np.float64(0.1), np.float64(-2.5)), (np.float32(0.3),), (np.int16(3), np.int16(-4))]),
    **dict.fromkeys([((0.5, -1.5), (3.25, 1 + 2**-23)), (2e-5,), (1e28, -1e-28, 0.0)]),
    **{(-(2**31), 7): torch.int32, (1, -10): torch.int8, (255, 0): torch.uint8},
    (np.nan, -np.inf, 2.0): torch.float16,
}


@claim("create-on-device-equals-create-then-move", "gpu-tensor-prints-its-device")
@over(numbers=among(*NUMBERS.items()), default=among(*FLOATS[:2]), kind=each(tuple, list))
def test_numbers_get_the_same_dtype_digits_and_looks_there_as_on_the_cpu(accelerator, numbers, default, kind):
    data, dtype = numbers
    data = kind(kind(row) if type(row) is tuple else row for row in data) if type(data) is tuple else data
    torch.set_default_dtype(default)
    with torch.device("cpu"):
        here = torch.tensor(data, dtype=dtype)

    for make in 2 * [lambda: torch.tensor(data, dtype=dtype, device=spot()), lambda: here.to(spot())]:
        x = make()
        assert (x.dtype, x.shape, x.device) == (here.dtype, here.shape, spot())
        agree(x, np.asarray(data, here.numpy().dtype))
        assert str(x).count("device=") == 1
        assert str(x).replace(f", device='{spot()}'", "") == str(here)
        x.fill_(1)  # which the next one does not see


@claim("device-falls-back-to-cpu", truth=True)
def test_that_another_accelerator_is_there_does_not_make_cuda_report_one(monkeypatch):
    reported = torch.cuda.is_available()
    for home in (torch.backends.mps, getattr(torch, "xpu", torch.backends.mps)):
        monkeypatch.setattr(home, "is_available", lambda: True)
    assert torch.cuda.is_available() == reported == (torch.cuda.device_count() > 0)


@claim("device-falls-back-to-cpu")
def test_the_device_chosen_is_the_cpu_exactly_where_no_gpu_is_counted():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert device.type == {True: "cpu", False: "cuda"}[torch.cuda.device_count() == 0]
    assert nn.Linear(3, 2).to(device)(torch.ones(3).to(device)).device.type == device.type


DISTINCT = twins(
    (*FLOATS[::2], torch.int64), LAYOUTS[:-1], ((5,), (3, 3), (3, 2, 4), (3, 2, 3, 2)), values=("distinct",)
)


@claim("gpu-results-stay-on-gpu")
@over(EVERY_MODE, result=each(*RESULTS), twin=DISTINCT)
def test_what_is_chosen_counted_or_compared_is_where_its_operand_is(accelerator, result, twin):
    (x, array), (compute, rule) = twin, RESULTS[result]

    for part, numbers in ((x[:-1], array[:-1]), (x[1:], array[1:])):  # of one shape, in one memory
        computed = accepted(compute, part)
        assert computed.device == x.device
        agree(computed, rule(numbers.astype(np.float64)))


@claim("gpu-results-stay-on-gpu")
@over(EVERY_MODE, trial=ALONG)
def test_a_result_along_any_dimensions_is_where_its_operand_is(accelerator, trial):
    x, array = trial
    result = accepted(trial.result, x)

    assert (result.device, result.dtype) == (x.device, trial.dtype())
    expected = trial.expected(array)
    agree(result, expected, trial.rounds(), np.abs(expected, dtype=float).max(initial=1))


@claim("gpu-results-stay-on-gpu")
@over(trial=TRIALS)
def test_results_and_gradients_of_every_operation_are_where_the_leaf_is(accelerator, trial):
    operation, (x, array) = trial
    result = operation.apply(x)

    assert result.device == x.device
    weights = torch.ones((), dtype=result.dtype, device=result.device).expand(result.shape)
    (returned,) = torch.autograd.grad(result, [x], weights, retain_graph=True)
    result.backward(weights)
    pulled = operation.pull(array.astype(np.float64), np.ones(tuple(result.shape)))
    for gradient in (returned, x.grad):
        assert gradient.device == x.device
        agree(gradient, pulled, operation.roundings, operation.scale)


# Of no gradient, or drawn; but for what is made of numbers on the CPU.
FURTHER = {
    **{name: compute for name, compute in UNTRACKED.items() if name not in ("tolist", "new_tensor", "torch.tensor")},
    **SEVERAL,
    **{name: lambda x, name=name: getattr(x, name)() for name in ALONE},
    "rand_like": lambda x: torch.rand_like(x),
    "randn_like": lambda x: torch.randn_like(x),
    "bernoulli": lambda x: torch.bernoulli(torch.ones_like(x, dtype=torch.float32)),
    "dropout": lambda x: F.dropout(x),
    "type": lambda x: x.type(torch.int16),
}


@claim("gpu-results-stay-on-gpu")
@over(operation=among(*FURTHER), twin=twins((torch.float32, torch.float16), shapes=((5,), (2, 3))))
def test_what_has_no_gradient_or_is_drawn_is_there_too(accelerator, operation, twin):
    for x, _ in (twin, twin.but(second=not twin.second)):
        results = FURTHER[operation](x)
        assert {result.device for result in ([results] if isinstance(results, torch.Tensor) else results)} == {x.device}


@claim("gpu-results-stay-on-gpu")
@over(write=each(*IN_PLACE), twin=twins(FLOATS, WRITABLE, ((5,), (2, 3), (2, 3, 4, 5), (257,)), values="small"))
def test_a_write_in_place_leaves_the_tensor_where_it_is(accelerator, write, twin):
    (x, array), (change, rule) = twin, IN_PLACE[write]
    place = x.device
    change(x)

    assert x.device == place
    agree(x, rule(array))
    untouched(x)


@claim("gpu-results-stay-on-gpu")
@over(second=among(False, True), size=among((37, 53, 29), (2, 300, 3)))
def test_a_matrix_product_has_the_cpus_numbers_within_rounding(accelerator, second, size):
    """A sum of n products is off by n + 1 roundings of the sum of their magnitudes, whatever the order."""
    rows, n, columns = size
    a = np.random.default_rng(0).uniform(-1, 1, (rows, n)).astype(np.float32)
    b = np.random.default_rng(1).uniform(-1, 1, (n, columns)).astype(np.float32)
    product = torch.from_numpy(a).to(spot(second)) @ torch.from_numpy(b).to(spot(second))

    assert product.device == spot(second)
    agree(product, a.astype(np.float64) @ b.astype(np.float64), roundings=n + 1, scale=(abs(a) @ abs(b)).max())


@claim("gpu-results-stay-on-gpu")
@over(
    twin=twins(FLOATS, shapes=FEW, grad=(True,), kinds=LEAVES),
    back=among("cpu", "to(device)", "to(name)"),
    kind=among("leaf", "parameter"),
)
def test_a_shallow_copy_and_a_gradient_from_the_cpu_are_where_the_leaf_is(accelerator, twin, back, kind):
    tensor, array = twin
    x = nn.Parameter(tensor.detach()) if kind == "parameter" else tensor
    copied = copy.copy(x)
    assert (type(copied), copied.device, copied.requires_grad) == (type(x), x.device, True)
    agree(copied, array)
    ((x.cpu() if back == "cpu" else COPIES[back](x, CPU)) * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.device == x.device
    agree(x.grad, np.full_like(array, 2))
