"""4.7 Devices: what there is, and what is used

A *device* is a place where tensors are stored and computed with: the CPU with its main memory, or an accelerator such
as a GPU with memory of its own. PyTorch uses the CPU unless told otherwise, and asks the driver what else there is:
whether a GPU can be used, how many there are, which one is *current* (used where no index is given) and what each is
called. The command `nvidia-smi` comes with the driver and answers the same questions without PyTorch, which makes it
the independent witness here. It lists every card of the machine, whereas PyTorch sees only those that the environment
variable `CUDA_VISIBLE_DEVICES` leaves visible, in an order of its own: so names are compared as collections.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest
import torch
from harness import devices
from torch import nn

claim = pytest.mark.claim


@pytest.fixture(scope="module")
def cards(request):
    """What nvidia-smi reports: a (name, memory in MiB) pair for each card of the machine."""
    if shutil.which("nvidia-smi") is None:
        devices.stand_aside("cuda", "needs the command nvidia-smi, which is not here", request.config)
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    return [(name, float(memory)) for name, memory in (line.rsplit(", ", 1) for line in lines)]


# ── nvidia-smi-reports-the-card ──


@claim("nvidia-smi-reports-the-card")
@pytest.mark.cuda
def test_nvidia_smi_lists_every_gpu_that_torch_sees(cards):
    seen = Counter(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    assert seen.total() >= 1
    assert seen <= Counter(name for name, _ in cards)


@claim("nvidia-smi-reports-the-card")
@pytest.mark.cuda
def test_nvidia_smi_and_torch_agree_on_the_memory(cards):
    """The driver keeps some memory to itself before it reports the rest to PyTorch: up to 3 % on known cards.

    Twice as much is allowed here.
    """
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        usable = card.total_memory / 2**20  # bytes to MiB
        assert any(0.94 * memory <= usable <= memory for name, memory in cards if name == card.name) is True


# ── tensors-are-created-on-cpu-by-default ──


@claim("tensors-are-created-on-cpu-by-default")
@pytest.mark.cpu
@pytest.mark.parametrize(
    "create",
    [
        pytest.param(lambda: torch.tensor([1, 2, 3]), id="tensor"),
        pytest.param(lambda: torch.zeros(2, 3), id="zeros"),
        pytest.param(lambda: torch.empty(5), id="empty"),
        pytest.param(lambda: torch.arange(4), id="arange"),
        pytest.param(lambda: torch.rand(2, 3), id="rand"),
        pytest.param(lambda: nn.Linear(3, 2).weight, id="parameter"),
    ],
)
def test_new_tensors_are_on_the_cpu(create):
    assert create().device == torch.device("cpu")


@claim("tensors-are-created-on-cpu-by-default")
@pytest.mark.cpu
def test_new_tensors_are_stored_in_main_memory():
    """NumPy only knows main memory: that it can change the tensor shows where the numbers are."""
    x = torch.tensor([1, 2, 3])
    x.numpy()[1] = 20
    assert x.tolist() == [1, 20, 3]


@claim("tensors-are-created-on-cpu-by-default")
@pytest.mark.cpu
def test_results_are_computed_on_the_cpu():
    product = torch.tensor([[1.0, 2.0], [3.0, 4.0]]) @ torch.tensor([[5.0], [6.0]])
    assert product.device == torch.device("cpu")
    assert product.tolist() == [[17.0], [39.0]]


@claim("tensors-are-created-on-cpu-by-default", truth=True)
@pytest.mark.cpu
def test_a_with_block_names_another_device_for_its_body_only():
    """The device meta, which every build has, stores no numbers; it only keeps track of shapes and types."""
    with torch.device("meta"):
        inside = [torch.tensor([1, 2]), torch.zeros(2, 3), torch.arange(4), nn.Linear(3, 2).weight]
    assert [x.device.type for x in inside] == ["meta"] * 4
    assert torch.zeros(2, 3).device.type == "cpu"


@claim("tensors-are-created-on-cpu-by-default", truth=True)
@pytest.mark.cpu
def test_set_default_device_names_another_device_until_it_is_set_again():
    torch.set_default_device("meta")
    after = torch.zeros(2, 3), nn.Linear(3, 2).weight
    torch.set_default_device("cpu")
    assert [x.device.type for x in after] == ["meta", "meta"]
    assert torch.zeros(2, 3).device.type == "cpu"


@claim("tensors-are-created-on-cpu-by-default", truth=True)
@pytest.mark.cpu
def test_the_default_device_neither_moves_tensors_nor_overrules_an_argument():
    existing = torch.tensor([1, 2, 3])
    with torch.device("meta"):
        assert torch.zeros(2, device="cpu").device.type == "cpu"
        assert torch.zeros_like(existing).device.type == "cpu"
        assert (existing + existing).device.type == "cpu"


# ── is-available-tells-of-a-gpu ──


@claim("is-available-tells-of-a-gpu")
def test_a_gpu_is_available_exactly_where_one_is_counted():
    assert torch.cuda.is_available() is (torch.cuda.device_count() > 0)


@claim("is-available-tells-of-a-gpu")
def test_cuda_computes_where_it_is_available_and_is_refused_elsewhere():
    """Without a driver it is a RuntimeError, in a build of PyTorch without CUDA an AssertionError."""
    refusal = pytest.raises((RuntimeError, AssertionError), match="NVIDIA|not compiled with CUDA|No CUDA GPUs")
    with contextlib.nullcontext() if torch.cuda.is_available() else refusal:
        assert torch.tensor([1, 2, 3], device="cuda").sum().item() == 6


@claim("is-available-tells-of-a-gpu", truth=True)
@pytest.mark.parametrize(("reported", "available"), [(0, False), (1, True), (3, True)])
def test_is_available_repeats_what_the_driver_reports(monkeypatch, reported, available):
    """A driver that counts one device too many, or that hides one, is believed; no computation is tried."""
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)
    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", lambda: reported, raising=False)
    assert torch.cuda.is_available() is available


@claim("is-available-tells-of-a-gpu", truth=True)
def test_only_an_operation_shows_that_a_device_computes(monkeypatch):
    """The driver is made to report one device more than there are: the last one is the one that is not there."""
    missing = torch.cuda.device_count()
    with monkeypatch.context() as driver:
        driver.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)
        driver.setattr(torch._C, "_cuda_getDeviceCount", lambda: missing + 1, raising=False)
        assert torch.cuda.is_available() is True
    with pytest.raises((RuntimeError, AssertionError), match="NVIDIA|invalid device ordinal|not compiled with CUDA"):
        torch.ones(3, device=f"cuda:{missing}")


# ── device-count-counts-gpus ──


@claim("device-count-counts-gpus")
@pytest.mark.cuda
def test_every_counted_gpu_computes_and_the_next_index_does_not_exist():
    count = torch.cuda.device_count()
    assert count >= 1
    assert [torch.ones(3, device=f"cuda:{index}").sum().item() for index in range(count)] == [3.0] * count
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.ones(3, device=f"cuda:{count}")


@claim("device-count-counts-gpus")
@pytest.mark.cuda
@pytest.mark.parametrize("visible", ["every card", "the first card", "no card"])
def test_the_count_is_that_of_the_visible_cards(cards, visible):
    """The variable is read when CUDA starts, so each case needs a Python of its own."""
    setting = {
        "every card": {},
        "the first card": {"CUDA_VISIBLE_DEVICES": "0"},
        "no card": {"CUDA_VISIBLE_DEVICES": ""},
    }
    expected = {"every card": len(cards), "the first card": 1, "no card": 0}
    inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    command = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    run = subprocess.run(command, env=inherited | setting[visible], capture_output=True, text=True, check=True)
    assert int(run.stdout) == expected[visible]


# ── current-device-is-an-index ──


@claim("current-device-is-an-index")
@pytest.mark.cuda
def test_the_current_device_is_one_of_the_indices_from_0():
    current = torch.cuda.current_device()
    assert type(current) is int
    assert current in range(torch.cuda.device_count())


@claim("current-device-is-an-index")
@pytest.mark.cuda
def test_the_current_device_is_used_where_no_index_is_given():
    before = torch.cuda.current_device()
    for index in range(torch.cuda.device_count()):
        with torch.cuda.device(index):
            assert torch.cuda.current_device() == index
            assert torch.ones(2, device="cuda").device.index == index
    assert torch.cuda.current_device() == before


# ── device-name-by-index ──


@claim("device-name-by-index")
@pytest.mark.cuda
def test_the_first_gpu_has_the_name_of_a_card_in_the_machine(cards):
    name = torch.cuda.get_device_name(0)
    assert type(name) is str
    assert name in [name for name, _ in cards]


@claim("device-name-by-index")
@pytest.mark.cuda
def test_each_index_has_the_name_in_its_properties():
    for index in range(torch.cuda.device_count()):
        assert torch.cuda.get_device_name(index) == torch.cuda.get_device_properties(index).name


@claim("device-name-by-index")
@pytest.mark.cuda
def test_without_an_index_it_is_the_name_of_the_current_gpu():
    assert torch.cuda.get_device_name() == torch.cuda.get_device_name(torch.cuda.current_device())
