"""4.7 GPU computing: what there is, as the driver tells it, and where tensors are created by default.

`nvidia-smi` comes with the driver and answers the same questions without PyTorch: the independent witness. It lists
every card of the machine, whereas PyTorch sees only those that CUDA_VISIBLE_DEVICES leaves visible, in an order of its
own: so names are compared as collections.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from harness import devices
from populations import EVERY_MODE, FLOATS, agree, among, over, twins
from populations.initialisers import RELEASE
from populations.journeys import CPU, host_twin
from populations.operations import OPERATIONS
from torch import nn

claim = pytest.mark.claim


@pytest.fixture(scope="module")
def cards(request):
    """What nvidia-smi reports: for each card of the machine its name, and its memory in MiB as text, or "[N/A]"."""
    if shutil.which("nvidia-smi") is None:
        devices.stand_aside("cuda", "needs the command nvidia-smi, which is not here", request.config)
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    return [tuple(line.rsplit(", ", 1)) for line in lines]


@claim("nvidia-smi-reports-the-card")
@pytest.mark.cuda
def test_nvidia_smi_lists_every_gpu_that_torch_sees(cards):
    seen = Counter(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    assert Counter() < seen <= Counter(name for name, _ in cards)


@claim("nvidia-smi-reports-the-card")
@pytest.mark.cuda
def test_nvidia_smi_and_torch_agree_on_the_memory(cards, request):
    """The driver keeps some memory to itself before it reports the rest to PyTorch: up to 3 % on known cards. Twice as
    much is allowed here. Where card and processor share one memory, "[N/A]" stands for it.
    """
    known = {(name, float(memory)) for name, memory in cards if memory.replace(".", "").isdigit()}
    if not known:
        devices.stand_aside("cuda", "needs a card with memory of its own", request.config)
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        usable = card.total_memory / 2**20  # bytes to MiB
        assert any(0.94 * memory <= usable <= memory for name, memory in known if name == card.name) is True


CREATORS = {
    "tensor": lambda: torch.tensor([1, 2, 3]),
    "a number": lambda: torch.tensor(1.5),
    "zeros": lambda: torch.zeros(2, 3),
    "ones": lambda: torch.ones(2),
    "full": lambda: torch.full((2,), 7),
    "truth": lambda: torch.zeros(2, dtype=torch.bool),
    "tensor of truth": lambda: torch.tensor([True, False]),
    "full of truth": lambda: torch.full((2,), True),
    "full of fractions": lambda: torch.full((2,), 0.5),
    "empty": lambda: torch.empty(5),
    "arange": lambda: torch.arange(4),
    "linspace": lambda: torch.linspace(0, 1, 3),
    "eye": lambda: torch.eye(2),
    "rand": lambda: torch.rand(2, 3),
    "randn": lambda: torch.randn(70_000),
    "randperm": lambda: torch.randperm(5),
    "randint": lambda: torch.randint(3, (2,)),
    "logspace": lambda: torch.logspace(0, 1, 3),
    "complex": lambda: torch.complex(torch.ones(2), torch.ones(2)),
    "indices": lambda: torch.tril_indices(3, 3),
    "scalar": lambda: torch.scalar_tensor(2.0),
    "parameter": lambda: nn.Linear(3, 2).weight,
    "buffer": lambda: nn.BatchNorm1d(2).running_mean,
    "embedding": lambda: nn.Sequential(nn.Embedding(3, 2))[0].weight,
    "halves": lambda: torch.zeros(2, dtype=torch.float16),
    "as_tensor": lambda: torch.as_tensor([1, 2]),
    # torch 2.0 disregards the default device here
    **({"asarray": lambda: torch.asarray([1, 2])} if RELEASE >= (2, 1) else {}),
}


@claim("tensors-are-created-on-cpu-by-default")
@claim("tensors-are-created-on-cpu-by-default", truth=True)
@pytest.mark.cpu
@over(create=among(*CREATORS), way=among("block", "nested", "set"))
def test_what_is_created_lies_in_main_memory_unless_a_default_device_is_named_and_afterwards_again(create, way):
    """The device meta, which every build has, stores no numbers; it only keeps track of shapes and types."""
    before = CREATORS[create]()
    if way == "set":
        torch.set_default_device("meta")
        inside = CREATORS[create]()
        torch.set_default_device("cpu")
    else:
        with torch.device("cpu") if way == "nested" else contextlib.nullcontext(), torch.device("meta"):
            inside = CREATORS[create]()
    assert inside.device.type == "meta"
    for x in (before, CREATORS[create]()):
        assert x.device == CPU
        assert x.detach().numpy().ctypes.data == x.data_ptr()  # NumPy knows main memory only


@claim("tensors-are-created-on-cpu-by-default")
@pytest.mark.cpu
@over(EVERY_MODE, operation=among(*OPERATIONS), twin=twins(FLOATS[:2], shapes=((5,), (2, 3), (2, 1025))))
def test_results_are_computed_on_the_cpu(operation, twin):
    x, _ = twin.but(values=operation.values)
    assert operation.apply(x).device == CPU


@claim("tensors-are-created-on-cpu-by-default", truth=True)
@pytest.mark.cpu
@over(twin=twins(FLOATS))
def test_the_default_device_neither_moves_tensors_nor_overrules_an_argument(twin):
    existing, array = host_twin(twin)
    with torch.device("meta"):
        made = [
            torch.zeros(2, device="cpu"),
            torch.zeros_like(existing),
            existing.new_ones(2),
            existing + existing,
            *(existing.clone(), existing.reshape(-1).sum(), torch.tensor([1, 2], device="cpu")),
            *(like(existing) for like in (torch.ones_like, torch.empty_like, torch.rand_like, torch.randn_like)),
            *(torch.Tensor(2), torch.normal(0.0, 1.0, size=(2,)), torch.from_numpy(np.ones(2))),
        ]
        with torch.device("cpu"):
            made.append(torch.ones(2))
        torch.set_default_device(None)  # within the block, which goes on
        assert [x.device.type for x in (*made, torch.ones(2))] == ["cpu"] * len(made) + ["meta"]
    agree(made[3], 2 * array)
    agree(made[1], np.zeros_like(array))


@claim("is-available-tells-of-a-gpu")
def test_cuda_computes_where_it_is_available_and_is_refused_elsewhere():
    """Without a driver it is a RuntimeError, in a build of PyTorch without CUDA an AssertionError."""
    refusal = pytest.raises((RuntimeError, AssertionError), match="NVIDIA|CUDA|HIP")
    with contextlib.nullcontext() if torch.cuda.is_available() else refusal:
        assert torch.tensor([1, 2, 3], device="cuda").sum().item() == 6


@claim("is-available-tells-of-a-gpu", truth=True)
@over(reported=among(0, 1, 2, 3, 8))
def test_is_available_believes_any_count_of_the_driver_and_only_an_operation_shows_that_a_device_computes(reported):
    """A driver that counts too many devices, or that hides one, is believed; no computation is tried."""
    missing = torch.cuda.device_count()
    with pytest.MonkeyPatch.context() as driver:
        driver.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)
        driver.setattr(torch._C, "_cuda_getDeviceCount", lambda: reported, raising=False)
        assert torch.cuda.is_available() is (reported > 0)
    with pytest.raises((RuntimeError, AssertionError), match="NVIDIA|CUDA|HIP|invalid device ordinal"):
        torch.ones(3, device=f"cuda:{missing}")


@claim("device-count-counts-gpus")
@pytest.mark.cuda
@over(visible=among(None, "0", ""))
def test_the_count_is_that_of_the_visible_cards(cards, visible):
    """The variable is read when CUDA starts, so each case needs a Python of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    command = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(run.stdout) == {None: len(cards), "0": 1, "": 0}[visible]


@claim("current-device-is-an-index")
@pytest.mark.cuda
def test_the_current_device_is_one_of_the_indices_from_0_and_comes_back_after_a_block():
    before = torch.cuda.current_device()
    assert (type(before), before in range(torch.cuda.device_count())) == (int, True)
    for index in range(torch.cuda.device_count()):
        with torch.cuda.device(index):
            assert torch.ones(2, device="cuda").device.index == index
        assert torch.cuda.current_device() == before


@claim("device-name-by-index")
@pytest.mark.cuda
def test_the_first_gpu_has_the_name_of_a_card_in_the_machine_and_the_current_one_needs_no_index(cards):
    name = torch.cuda.get_device_name(0)
    assert (type(name), name in [name for name, _ in cards]) == (str, True)
    assert torch.cuda.get_device_name() == torch.cuda.get_device_name(torch.cuda.current_device())
