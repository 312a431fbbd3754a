"""4.7 GPU computing: devices

A *device* is a place where tensors are stored and computed with: the CPU with its main memory, or an accelerator such
as a GPU with memory of its own. PyTorch uses the CPU unless told otherwise, and asks the driver what else there is:
whether a GPU can be used, how many there are, which one is *current* (used where no index is given) and what each is
called. A GPU wins when there is enough independent work to occupy its thousands of arithmetic units; every operation
is a *kernel* that must be launched, which costs some microseconds however small the tensors are.
"""

import os
import shutil
import subprocess

import pytest
import torch
from harness.timing import seconds_per_call

claim = pytest.mark.claim


@claim("gpu-outruns-cpu-on-large-work")
@pytest.mark.cuda
def test_a_product_of_large_matrices_is_faster_on_the_gpu():
    torch.set_num_threads(os.cpu_count())  # all cores of the CPU
    a = torch.randn(2048, 2048, device="cpu")
    b = a.to("cuda")

    on_cpu = seconds_per_call(lambda: a @ a, torch.device("cpu"))
    on_gpu = seconds_per_call(lambda: b @ b, torch.device("cuda"))

    assert on_gpu < on_cpu


@claim("gpu-outruns-cpu-on-large-work", truth=True)
@pytest.mark.cuda
def test_a_tiny_product_takes_longer_to_launch_than_the_cpu_needs_for_it():
    a = torch.randn(8, 8, device="cpu")
    b = a.to("cuda")

    on_cpu = seconds_per_call(lambda: a @ a, torch.device("cpu"))
    on_gpu = seconds_per_call(lambda: b @ b, torch.device("cuda"))

    assert on_cpu < on_gpu


@claim("nvidia-smi-reports-the-card")
@pytest.mark.cuda
def test_nvidia_smi_knows_the_name_of_the_card():
    command = shutil.which("nvidia-smi") or pytest.skip("needs the command nvidia-smi, which is not here")
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]

    cards = subprocess.run(query, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()

    assert torch.cuda.get_device_name(0) in [card.rsplit(", ", 1)[0] for card in cards]


@claim("tensors-are-created-on-cpu-by-default")
@pytest.mark.cpu
def test_a_new_tensor_lies_in_main_memory():
    x = torch.tensor([1, 2, 3])

    assert x.device == torch.device("cpu")
    x.numpy()[1] = 20  # NumPy knows main memory only
    assert x.tolist() == [1, 20, 3]


@claim("tensors-are-created-on-cpu-by-default", truth=True)
@pytest.mark.cpu
def test_another_device_can_be_named_for_a_block_or_for_good():
    with torch.device("meta"):  # a device of every build, which keeps track of shapes and stores no numbers
        assert torch.zeros(2, 3).device.type == "meta"
    assert torch.zeros(2, 3).device.type == "cpu"

    torch.set_default_device("meta")
    x = torch.zeros(2, 3)
    torch.set_default_device("cpu")
    assert x.device.type == "meta"


@claim("is-available-tells-of-a-gpu")
def test_a_gpu_is_available_exactly_where_one_is_counted():
    assert torch.cuda.is_available() is (torch.cuda.device_count() > 0)


@claim("is-available-tells-of-a-gpu", truth=True)
def test_is_available_repeats_what_the_driver_reports(monkeypatch):
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)

    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", lambda: 1, raising=False)  # whether or not one computes
    assert torch.cuda.is_available()

    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", lambda: 0, raising=False)
    assert not torch.cuda.is_available()


@claim("device-count-counts-gpus")
@pytest.mark.cuda
def test_every_counted_gpu_computes_and_the_next_index_does_not_exist():
    count = torch.cuda.device_count()

    assert count >= 1
    assert [torch.ones(3, device=f"cuda:{index}").sum().item() for index in range(count)] == [3] * count
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.ones(3, device=f"cuda:{count}")


@claim("current-device-is-an-index")
@pytest.mark.cuda
def test_the_current_device_is_used_where_no_index_is_given():
    assert type(torch.cuda.current_device()) is int

    for index in range(torch.cuda.device_count()):
        with torch.cuda.device(index):
            assert torch.cuda.current_device() == index
            assert torch.ones(2, device="cuda").device.index == index


@claim("device-name-by-index")
@pytest.mark.cuda
def test_each_index_has_the_name_in_its_properties():
    for index in range(torch.cuda.device_count()):
        assert torch.cuda.get_device_name(index) == torch.cuda.get_device_properties(index).name

    assert torch.cuda.get_device_name(0) != ""
