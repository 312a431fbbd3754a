"""4.8 GPU computing: tensors

Every tensor lies on one device, and its attribute `device` tells which: a *type* (`cpu`, `cuda`, `mps`, ...) and, where
there can be several of a type, an *index* counted from 0. Operations run where their operands are and leave the result
there; nothing moves between devices by itself, because copies are slow and a silent one would hide where the time goes.
To move data one asks for a copy, by `to(device)`, `cpu()` or `cuda(i)`. The tests speak of a GPU, and run on any
accelerator: only `cuda(i)` itself needs CUDA.
"""

import pytest
import torch

claim = pytest.mark.claim


@pytest.fixture
def place(accelerator):
    """The accelerator with its index: a device that names none is the first."""
    return torch.device(accelerator.type, accelerator.index or 0)


# ── cpu-tensor-prints-no-device ──


@claim("cpu-tensor-prints-no-device")
@pytest.mark.cpu
def test_a_cpu_tensor_prints_its_numbers_only(capsys):
    print(torch.tensor([1, 2, 3]))
    assert capsys.readouterr().out == "tensor([1, 2, 3])\n"


@claim("cpu-tensor-prints-no-device")
@pytest.mark.cpu
@pytest.mark.parametrize(
    ("x", "shown"),
    [
        (torch.tensor(7, device="cpu"), "tensor(7)"),
        (torch.tensor([True, False], device="cpu"), "tensor([ True, False])"),
        (torch.tensor([[0.5], [1.5]], device="cpu"), "tensor([[0.5000],\n        [1.5000]])"),
        (torch.tensor([2.5], dtype=torch.float64, device="cpu"), "tensor([2.5000], dtype=torch.float64)"),
        (torch.tensor([2.5], requires_grad=True, device="cpu"), "tensor([2.5000], requires_grad=True)"),
        (torch.tensor([], device="cpu"), "tensor([])"),
    ],
)
def test_no_kind_of_cpu_tensor_prints_a_device(x, shown):
    assert str(x) == shown
    assert repr(x) == shown


@claim("cpu-tensor-prints-no-device")
def test_a_tensor_elsewhere_does_print_its_device():
    assert "device='meta'" in str(torch.zeros(3, device="meta"))


# ── gpu-tensor-prints-its-device ──


@claim("gpu-tensor-prints-its-device")
def test_a_gpu_tensor_prints_its_numbers_and_its_device(place, capsys):
    print(torch.tensor([1, 2, 3], device=place))
    assert capsys.readouterr().out == f"tensor([1, 2, 3], device='{place.type}:{place.index}')\n"


@claim("gpu-tensor-prints-its-device")
def test_the_device_stands_beside_what_else_is_printed(place):
    x = torch.tensor([[0.5], [1.5]], device=place, requires_grad=True)
    assert str(x) == f"tensor([[0.5000],\n        [1.5000]], device='{place.type}:{place.index}', requires_grad=True)"


@claim("gpu-tensor-prints-its-device")
def test_the_index_is_that_of_its_own_device(two_devices):
    printed = [str(torch.tensor([1, 2], device=device)) for device in two_devices]
    assert printed == [f"tensor([1, 2], device='{device}')" for device in two_devices]


@claim("gpu-tensor-prints-its-device")
def test_a_copy_on_the_cpu_prints_no_device(place):
    assert str(torch.tensor([1, 2, 3], device=place).cpu()) == "tensor([1, 2, 3])"


# ── cuda-method-copies-to-gpu ──


@claim("cuda-method-copies-to-gpu")
@pytest.mark.cuda
def test_cuda_puts_the_same_numbers_on_the_gpu():
    x = torch.tensor([[1.5, -2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64, device="cpu")
    y = x.cuda()
    assert (x.is_cuda, y.is_cuda) == (False, True)
    assert y.dtype == torch.float64
    assert y.tolist() == [[1.5, -2.0, 3.0], [4.0, 5.0, 6.0]]


@claim("cuda-method-copies-to-gpu")
@pytest.mark.cuda
def test_a_write_reaches_neither_the_copy_nor_the_original():
    x = torch.tensor([1, 2, 3], device="cpu")
    y = x.cuda()
    x[0], y[2] = 10, 30
    assert x.tolist() == [10, 2, 3]
    assert y.tolist() == [1, 2, 30]


@claim("cuda-method-copies-to-gpu")
@pytest.mark.cuda
def test_cuda_copies_nothing_that_is_on_the_gpu_already():
    y = torch.tensor([1, 2, 3], device="cuda")
    assert y.cuda() is y


# ── cuda-index-selects-the-gpu ──


@claim("cuda-index-selects-the-gpu")
@pytest.mark.cuda
def test_cuda_takes_the_indices_from_0_to_the_number_of_gpus():
    x, count = torch.tensor([1, 2, 3], device="cpu"), torch.cuda.device_count()
    copies = [x.cuda(index) for index in range(count)]
    assert [copy.device for copy in copies] == [torch.device("cuda", index) for index in range(count)]
    assert [copy.tolist() for copy in copies] == [[1, 2, 3]] * count
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        x.cuda(count)


# ── cuda-without-index-is-gpu-zero ──


@claim("cuda-without-index-is-gpu-zero")
@pytest.mark.cuda
def test_cuda_and_cuda_0_agree_while_the_current_device_is_0():
    x = torch.tensor([1, 2, 3], device="cpu")
    with torch.cuda.device(0):
        assert x.cuda().device == x.cuda(0).device == torch.device("cuda", 0)
        assert x.cuda().tolist() == x.cuda(0).tolist() == [1, 2, 3]


@claim("cuda-without-index-is-gpu-zero", truth=True)
@pytest.mark.cuda
def test_cuda_goes_to_the_current_device():
    """On a machine with one GPU that is 0 again; the next test needs two."""
    x = torch.tensor([1, 2, 3], device="cpu")
    for index in range(torch.cuda.device_count()):
        with torch.cuda.device(index):
            assert x.cuda().device == torch.device("cuda", index)


@claim("cuda-without-index-is-gpu-zero", truth=True)
@pytest.mark.cuda
def test_cuda_0_disregards_the_current_device(two_devices):
    x = torch.tensor([1, 2, 3], device="cpu")
    with torch.cuda.device(1):
        assert x.cuda().device == torch.device("cuda", 1)
        assert x.cuda(0).device == torch.device("cuda", 0)


# ── device-attribute-tells-where ──


@claim("device-attribute-tells-where")
def test_device_is_an_object_with_type_and_index(place):
    x = torch.tensor([1, 2, 3], device=place)
    assert type(x.device) is torch.device
    assert (x.device.type, x.device.index) == (place.type, place.index)
    assert repr(x.device) == f"device(type='{place.type}', index={place.index})"


@claim("device-attribute-tells-where")
def test_each_copy_tells_its_own_device(place):
    original = torch.tensor([1, 2, 3], device="cpu")
    moved = original.to(place)
    back = moved.cpu()
    assert [x.device for x in (original, moved, back)] == [torch.device("cpu"), place, torch.device("cpu")]


@claim("device-attribute-tells-where")
def test_a_view_is_where_its_base_is(place):
    x = torch.arange(6, device=place).view(2, 3)
    assert [view.device for view in (x, x.t(), x[1], x[:, ::2])] == [place] * 4


@claim("device-attribute-tells-where")
def test_device_cannot_be_written(accelerator):
    """A tensor is not moved by a new label: a copy has to be asked for."""
    with pytest.raises(AttributeError, match="not writable"):
        torch.tensor([1, 2, 3], device="cpu").device = accelerator


# ── printed-device-shows-type-and-index ──


@claim("printed-device-shows-type-and-index")
def test_print_shows_the_long_form(capsys):
    print(torch.device("cuda", 0))
    assert capsys.readouterr().out == "device(type='cuda', index=0)\n"


@claim("printed-device-shows-type-and-index", truth=True)
@pytest.mark.parametrize(
    ("device_named", "short", "long"),
    [
        (torch.device("cuda", 0), "cuda:0", "device(type='cuda', index=0)"),
        (torch.device("cuda", 1), "cuda:1", "device(type='cuda', index=1)"),
        (torch.device("cuda"), "cuda", "device(type='cuda')"),
        (torch.device("cpu"), "cpu", "device(type='cpu')"),
    ],
)
def test_print_shows_the_short_form_and_repr_the_long_one(device_named, short, long, capsys):
    """A device is a name: it can be written down on a machine that has no such device."""
    print(device_named)
    assert capsys.readouterr().out == short + "\n"
    assert repr(device_named) == long


@claim("printed-device-shows-type-and-index", truth=True)
def test_a_tensors_device_prints_in_the_same_way(capsys):
    x = torch.zeros(2, device="meta")
    print(x.device)
    assert capsys.readouterr().out == "meta\n"
    assert repr(x.device) == "device(type='meta')"


# ── create-on-device-equals-create-then-move ──


@claim("create-on-device-equals-create-then-move")
@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        pytest.param([1, -2, 2**53 + 1], torch.int64, id="integers"),
        pytest.param([[0.5, -1.5, 2.0], [3.25, 4.0, 1 + 2**-23]], torch.float32, id="matrix"),
        pytest.param([True, False], torch.bool, id="booleans"),
        pytest.param(7, torch.int64, id="number"),
        pytest.param([], torch.float32, id="nothing"),
    ],
)
def test_created_there_equals_created_here_and_moved(place, data, dtype):
    created, moved = torch.tensor(data, device=place), torch.tensor(data, device="cpu").to(place)
    assert created.device == moved.device == place
    assert created.dtype == moved.dtype == dtype
    assert created.tolist() == moved.tolist() == data
    assert created.stride() == moved.stride()


@claim("create-on-device-equals-create-then-move")
def test_two_ways_make_two_tensors(place):
    original = torch.tensor([1, 2, 3], device="cpu")
    created, moved = torch.tensor([1, 2, 3], device=place), original.to(place)
    created[0], moved[1] = 10, 20
    assert (original.tolist(), created.tolist(), moved.tolist()) == ([1, 2, 3], [10, 2, 3], [1, 20, 3])


# ── device-falls-back-to-cpu ──


@claim("device-falls-back-to-cpu")
def test_the_device_chosen_computes_on_any_machine():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x = torch.tensor([1, 2, 3], device=device)
    assert (x**2).tolist() == [1, 4, 9]
    assert (x**2).device.type == device.type


@claim("device-falls-back-to-cpu")
def test_the_device_chosen_is_the_cpu_exactly_where_no_gpu_is_counted():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert device.type == {True: "cpu", False: "cuda"}[torch.cuda.device_count() == 0]


@claim("device-falls-back-to-cpu")
def test_without_a_gpu_models_and_data_move_to_the_cpu(monkeypatch):
    """Also on a machine with a GPU, whose absence is played here."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = torch.nn.Linear(3, 2).to(device)
    output = model(torch.tensor([1.0, 2.0, 3.0]).to(device))
    assert device == output.device == model.weight.device == torch.device("cpu")
