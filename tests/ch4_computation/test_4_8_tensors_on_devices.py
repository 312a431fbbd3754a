"""4.8 GPU computing: tensors

Every tensor lies on one device, and its attribute `device` tells which: a *type* (`cpu`, `cuda`, `mps`, ...) and, where
there can be several of a type, an *index* counted from 0. Operations run where their operands are and leave the result
there; nothing moves between devices by itself, because copies are slow and a silent one would hide where the time goes.
To move data one asks for a copy, by `to(device)`, `cpu()` or `cuda(i)`. What is said of a GPU is tried on any
accelerator: only `cuda(i)` itself needs CUDA.
"""

import pytest
import torch

claim = pytest.mark.claim


@claim("cpu-tensor-prints-no-device")
@pytest.mark.cpu
def test_a_cpu_tensor_prints_its_numbers_only(capsys):
    print(torch.tensor([1, 2, 3]))

    assert capsys.readouterr().out == "tensor([1, 2, 3])\n"


@claim("gpu-tensor-prints-its-device")
def test_a_gpu_tensor_prints_its_numbers_and_its_device(accelerator, capsys):
    print(torch.tensor([1, 2, 3], device=accelerator))

    index = accelerator.index or 0
    assert capsys.readouterr().out == f"tensor([1, 2, 3], device='{accelerator.type}:{index}')\n"


@claim("cuda-method-copies-to-gpu")
@pytest.mark.cuda
def test_cuda_puts_the_same_numbers_on_the_gpu_and_leaves_the_original():
    x = torch.tensor([1.5, -2.0], device="cpu")
    y = x.cuda()
    y[0] = 10

    assert (x.is_cuda, y.is_cuda) == (False, True)
    assert (x.tolist(), y.tolist()) == ([1.5, -2], [10, -2])


@claim("cuda-index-selects-the-gpu")
@pytest.mark.cuda
def test_cuda_takes_the_indices_from_0_to_the_number_of_gpus():
    x, count = torch.tensor([1, 2, 3], device="cpu"), torch.cuda.device_count()

    assert [x.cuda(index).device.index for index in range(count)] == list(range(count))
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        x.cuda(count)


@claim("cuda-without-index-is-gpu-zero")
@pytest.mark.cuda
def test_cuda_and_cuda_0_agree_while_the_current_device_is_0():
    x = torch.tensor([1, 2, 3], device="cpu")

    with torch.cuda.device(0):
        assert x.cuda().device == x.cuda(0).device == torch.device("cuda", 0)
        assert x.cuda().tolist() == x.cuda(0).tolist() == [1, 2, 3]


@claim("cuda-without-index-is-gpu-zero", truth=True)
@pytest.mark.cuda
def test_cuda_goes_to_the_current_device(two_devices):
    x = torch.tensor([1, 2, 3], device="cpu")

    with torch.cuda.device(1):
        assert x.cuda().device == torch.device("cuda", 1)
        assert x.cuda(0).device == torch.device("cuda", 0)


@claim("device-attribute-tells-where")
def test_each_copy_tells_its_own_device_which_cannot_be_written(accelerator):
    x = torch.tensor([1, 2, 3], device="cpu")
    there = x.to(accelerator)

    assert (x.device.type, there.device.type) == ("cpu", accelerator.type)
    assert repr(there.device) == f"device(type='{accelerator.type}', index={accelerator.index or 0})"
    with pytest.raises(AttributeError, match="not writable"):
        x.device = accelerator


@claim("printed-device-shows-type-and-index")
def test_print_shows_the_long_form(capsys):
    """Mistaken: print shows the short form; the long one is what an interactive session echoes."""
    print(torch.device("cuda", 0))

    assert capsys.readouterr().out == "device(type='cuda', index=0)\n"


@claim("printed-device-shows-type-and-index", truth=True)
def test_print_shows_the_short_form_and_repr_the_long_one(capsys):
    device = torch.device("cuda", 0)  # a name, which can be written down where there is no such device
    print(device)

    assert capsys.readouterr().out == "cuda:0\n"
    assert repr(device) == "device(type='cuda', index=0)"


@claim("create-on-device-equals-create-then-move")
def test_created_there_equals_created_here_and_moved(accelerator):
    created = torch.tensor([[1, 2], [3, 4]], device=accelerator)
    moved = torch.tensor([[1, 2], [3, 4]], device="cpu").to(accelerator)

    assert created.tolist() == moved.tolist() == [[1, 2], [3, 4]]
    assert (created.device, created.dtype) == (moved.device, moved.dtype)


@claim("device-falls-back-to-cpu")
def test_the_device_chosen_computes():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    x = torch.tensor([1, 2, 3], device=device)

    assert (x**2).tolist() == [1, 4, 9]
    assert (x**2).device.type == device.type


@claim("device-falls-back-to-cpu", truth=True)
def test_the_choice_follows_the_report_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # whether or not a GPU can compute
    assert torch.device("cuda" if torch.cuda.is_available() else "cpu").type == "cuda"

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # whatever other accelerator there is
    assert torch.device("cuda" if torch.cuda.is_available() else "cpu").type == "cpu"


@claim("gpu-results-stay-on-gpu")
def test_a_result_is_where_its_operand_is_until_a_copy_is_asked_for(accelerator):
    x = torch.tensor([1.0, 2.0, 3.0], device=accelerator)
    y = x**2

    assert y.device == x.device
    assert y.tolist() == [1, 4, 9]
    assert y.cpu().device.type == "cpu"


@claim("cpu-and-gpu-tensors-do-not-mix")
def test_operands_on_cpu_and_gpu_are_refused(accelerator):
    here = torch.tensor([1.0, 2.0], device="cpu")
    there = torch.tensor([10.0, 20.0], device=accelerator)

    with pytest.raises(RuntimeError):
        here + there
    assert (here.to(accelerator) + there).tolist() == [11, 22]


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
def test_numbers_copies_and_indices_cross_over(accelerator):
    here = torch.tensor([1.0, 2.0, 3.0], device="cpu")
    there = torch.tensor([10.0, 20.0, 30.0], device=accelerator)

    with pytest.raises(RuntimeError):
        there * here[:1]  # one element in one dimension is not enough
    assert (there * here[1]).tolist() == [20, 40, 60]
    assert there[torch.tensor([2, 0], device="cpu")].tolist() == [30, 10]
    assert there[here > 2].tolist() == [30]
    there[:2] = here[:2]
    assert there.tolist() == [1, 2, 30]
    assert here.copy_(there).tolist() == [1, 2, 30]
    first, rest = torch.tensor_split(there, torch.tensor([1], device="cpu"))
    assert (first.tolist(), rest.tolist()) == ([1], [2, 30])


@claim("different-gpus-do-not-mix")
def test_operands_on_two_gpus_are_refused(two_devices):
    first, second = (torch.tensor([1.0, 2.0], device=device) for device in two_devices)

    with pytest.raises(RuntimeError):
        first + second
    assert (first.to(second.device) + second).tolist() == [2, 4]


@claim("different-gpus-do-not-mix", truth=True)
def test_not_even_a_number_crosses_but_a_copy_does(two_devices):
    first, second = (torch.tensor([1.0, 2.0], device=device) for device in two_devices)

    with pytest.raises(RuntimeError):
        first * second[0]
    second[:1] = first[1:]
    assert second.tolist() == [2, 2]
    assert first.copy_(second).tolist() == [2, 2]
