"""2.2 Views and copies: several parts of one memory, each looked at, copied or written in turn, in every mode."""

import copy
import operator
import pickle

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, SINGLE_AND_DOUBLE, Twin, agree, among, each, over, settled, untouched
from populations.comparing import accepted, host
from populations.core import only_where
from populations.files import new_path
from populations.initialisers import RELEASE
from populations.relaid import Into
from populations.slopes import FUNCTIONS
from populations.smooth import POINT

claim = pytest.mark.claim
MODES = (*EVERY_MODE, lambda: settled)
KINDS = [(dtype, turn % 2 == 1) for turn, dtype in enumerate(ANY)]  # and whether on the second device


def overlapping(row, step: int):
    """Four windows of three elements of a row, each ``step`` elements after the one before."""
    if isinstance(row, np.ndarray):
        return np.lib.stride_tricks.as_strided(row, (4, 3), (step * row.strides[0], row.strides[0]))
    return row.as_strided((4, 3), (step * row.stride(0), row.stride(0)))


# How to cut parts of one shape and one order of strides out of 13 rows of 71 numbers, tensors and arrays alike. Long
# ones have 35 elements and large ones 70, past blocks of 32 and of 64.
CUTS = {
    "rows": lambda x: [x[n] for n in range(7)],
    "columns": lambda x: [x[:, n] for n in range(9)],
    "pairs of rows": lambda x: [x[n : n + 2] for n in (0, 2, 4, 5)],
    "windows": lambda x: [x[1:4, n : n + 3] for n in (0, 3, 6)],
    "every other row": lambda x: [x[n::2, :9][:3] for n in (0, 1)],
    "every third column": lambda x: [x[:, n:9:3] for n in range(3)],
    "elements": lambda x: [x[n, n, ...] for n in range(7)],
    "rows of a transposed part": lambda x: [x[1:5, 2:8].T[n] for n in range(6)],
    "long ones with a step": lambda x: [x[n, 1::2] for n in range(4)],
    "large transposed ones": lambda x: [x[1:11, n : n + 7].T for n in (0, 20)],
}
OVERLAPPING = {  # parts that show some elements several times; to be read alone
    "windows": lambda x: [overlapping(x[n], 1) for n in range(4)],
    "windows in steps of two": lambda x: [overlapping(x[:, n], 2) for n in range(4)],
    "one row again and again": lambda x: [overlapping(x[n], 0) for n in range(4)],
}
ALL_CUTS = CUTS | OVERLAPPING
MADE = {
    "clone": lambda x: x.clone(),
    "torch.clone": lambda x: torch.clone(x),
    "contiguous": lambda x: x.contiguous(),
    "reshape": lambda x: x.reshape(x.shape[::-1]).reshape(x.shape) if x.dim() < 2 else x.reshape(-1).view(x.shape),
    "itself": lambda x: x,
    "unsqueeze": lambda x: x.unsqueeze(0)[0],
    "torch.unsqueeze": lambda x: torch.unsqueeze(x, -1).squeeze(-1),
    "view": lambda x: x.view(1, *x.shape)[0],
    "expand": lambda x: x.expand(2, *x.shape)[1],
    "turned": lambda x: x.T.T if x.dim() == 2 else x.view(x.shape),
    "detach": lambda x: x.detach(),
    "copy": lambda x: x.to(x.device, x.dtype, copy=True),
    "copy_": lambda x: torch.empty_like(x).copy_(x),
    "assigned": lambda x: operator.setitem(copy := torch.empty(x.shape).to(x), ..., x) or copy,
    "cpu": lambda x: x.cpu(),
    "converted": lambda x: x.to(torch.complex64 if x.is_complex() else torch.float32),
    "as whole numbers": lambda x: x if x.is_complex() else x.to(torch.int32).to(x),
    "times one": lambda x: x * x.new_ones(()),
    "cat": lambda x: torch.cat([x.reshape(-1)] * 2)[x.numel() :].view(x.shape),
    "stack": lambda x: torch.stack([x, x])[1],
    "where": lambda x: torch.where(x == x, x, x),
    "filled": lambda x: x.masked_fill(x != x, 1),
    "by index": lambda x: x[None][torch.zeros(1, dtype=torch.int64, device=x.device)][0],
    "flattened": lambda x: x.reshape(-1).view(x.shape),
    "flip": lambda x: x.reshape(-1).flip(0).flip(0).view(x.shape),
}


MEMORIES = {  # of an array of six numbers, and a path where nothing is yet
    "of its own": lambda array, path: torch.tensor(array),
    "of an array": lambda array, path: torch.from_numpy(array),
    "of bytes": lambda array, path: torch.frombuffer(bytearray(array), dtype=torch.from_numpy(array).dtype),
    "by DLPack": lambda array, path: torch.from_dlpack(array),
    "shared with processes": lambda array, path: torch.tensor(array).share_memory_(),
    "of a file": lambda array, path: torch.from_file(
        str(path), shared=True, size=6, dtype=torch.from_numpy(array).dtype
    ).copy_(torch.tensor(array)),
    "unpickled": lambda array, path: pickle.loads(pickle.dumps(torch.tensor(array))),
    "of a storage": lambda array, path: torch.tensor(array[:0]).set_(torch.tensor(array).untyped_storage()),
}
NUMBERS = ("float32", "float64", "int64", "complex64")
VIEWS = {
    "view": lambda x: x.view(2, 3),
    "view_as": lambda x: x.view_as(x),
    "reshape": lambda x: x.reshape(3, 2),
    "slice": lambda x: x[1:4],
    "element": lambda x: x[3],
    "transposed": lambda x: x.view(2, 3).t(),
    "expand": lambda x: x.expand(2, 6),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "detach": lambda x: x.detach(),
    "as bits": lambda x: x.view(dtype=torch.int32),
    "as wider numbers": lambda x: x.view(torch.float64),
    "as shorter ones": lambda x: x.view(torch.int16),
    "unfold": lambda x: x.unfold(0, 2, 2),
    "split": lambda x: x.split(2)[1],
}


@claim("view-shares-data")
@pytest.mark.cpu
@over(EVERY_MODE, memory=each(*MEMORIES), view=each(*VIEWS), numbers=among(*NUMBERS))
def test_a_view_shares_whatever_memory_it_views(memory, view, numbers):
    x = MEMORIES[memory](np.arange(1, 7, dtype=numbers), new_path())
    part = VIEWS[view](x)
    for number in (0, 9):
        x.fill_(number)
        again = part.view(x.dtype)
        agree(again, np.full(again.shape, number))
    assert part.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


COPIED = {
    "clone": lambda x: x.clone(),
    "torch.clone": torch.clone,
    "of a view": lambda x: x.view(2, 3).clone().view(6),
    "copy.deepcopy": copy.deepcopy,
    "a tensor of it": lambda x: x.new_tensor(x.tolist()),
    "to, copy": lambda x: x.to(x.dtype, copy=True),
    "+ 0": lambda x: x + 0,
    "empty_like, copy_": lambda x: torch.empty_like(x).copy_(x),
}


@claim("clone-then-view-is-independent")
@pytest.mark.cpu
@over(EVERY_MODE, memory=each(*MEMORIES), copied=each(*COPIED), numbers=each(*NUMBERS))
def test_a_copy_of_whatever_memory_is_in_memory_of_its_own(memory, copied, numbers):
    x = MEMORIES[memory](np.arange(1, 7, dtype=numbers), new_path())
    made = COPIED[copied](x)
    x.fill_(0)
    agree(made, np.arange(1, 7))
    made.view(2, 3).fill_(9)
    agree(x, np.zeros(6))


READ = {  # ways to read the one element of a tensor as a number
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist()[0],
    "float": float,
    "format": lambda x: float(f"{x.view(()):.1f}"),
    "cpu": lambda x: x.cpu().numpy()[0],
    "clone": lambda x: x.clone().item(),
    "sum": lambda x: x.sum().item(),
    "equal": lambda x: next(n for n in range(9) if x.eq(n).all()),
    "a view": lambda x: x.view(1, 1)[0, 0].item(),
}
WRITTEN = {  # and to write one into it
    "in place": lambda x, number: x.fill_(number),
    "data": lambda x, number: x.data.fill_(number),
    "detach": lambda x, number: x.detach().fill_(number),
    "a view": lambda x, number: x.view(1, 1)[0].fill_(number),
    "another tensor of its storage": lambda x, number: x.new_empty(0).set_(x.detach()).fill_(number),
    "new memory": lambda x, number: setattr(x, "data", torch.full((1,), number, dtype=x.dtype, device=x.device)),
    "an output": lambda x, number: torch.add(torch.full_like(x, number), 0, out=x),
    "several at once": lambda x, number: torch._foreach_add_([x, x.clone()], [x * -1 + number, x]),
    "an array": lambda x, number: x.numpy().fill(number) if x.device.type == "cpu" else x.fill_(number),
}


@claim("item-gives-a-python-number", "view-shares-data")
@over(EVERY_MODE, read=each(*READ), written=each(*WRITTEN), dtype=among(torch.float32, torch.float16, torch.int64))
def test_whatever_reads_a_tensor_sees_what_was_written_last_by_whichever_way(read, written, dtype):
    x = torch.full((1,), 7, dtype=dtype)
    assert READ[read](x) == 7
    for number in (3, 5, 3):
        WRITTEN[written](x, number)
        assert [READ[read](x) for _ in range(2)] == [number] * 2


@claim("view-shares-data", "clone-then-view-is-independent", "reshape-does-not-guarantee-a-copy")
@over(MODES, of=among(*KINDS), cut=each(*ALL_CUTS), made=each(*MADE))
def test_what_is_made_of_each_of_several_parts_of_one_memory_has_the_numbers_of_that_part(of, cut, made):
    x, array = Twin(of[0], (13, 71), "offset", second=of[1])
    for part, expected in zip(ALL_CUTS[cut](x), ALL_CUTS[cut](array)):
        agree(MADE[made](part), expected)
    untouched(x)


PUT = {  # ways to write one number into the whole of a part
    "fill_": lambda x, number: x.fill_(number),
    "[...]": lambda x, number: x.__setitem__(..., number),
    "copy_": lambda x, number: x.copy_(x.new_full(x.shape, number)),
    "a tensor assigned": lambda x, number: x.__setitem__(..., x.new_full(x.shape, number)),
    "zero_, +=": lambda x, number: operator.iadd(x.zero_(), number),
    "+= in place": lambda x, number: operator.iadd(operator.imul(x, 0), x.new_full(x.shape, number)),
    "through a view": lambda x, number: x.view(x.shape).__setitem__(..., number),
    "mask": lambda x, number: x.__setitem__(x == x, number),
    "masked_fill_": lambda x, number: x.masked_fill_(x == x, number),
    "out": lambda x, number: torch.mul(torch.ones_like(x), number, out=x),
    "each by index": lambda x, number: (x[None] if x.dim() == 0 else x).__setitem__(
        torch.arange(len(x) if x.dim() else 1, device=x.device), number
    ),
    "index_put_": lambda x, number: x[None].index_put_(
        (torch.tensor([0], device=x.device),), torch.tensor(number).to(x)
    ),
    "index_fill_": lambda x, number: x[None].index_fill_(0, torch.tensor([0], device=x.device), number),
    "index_copy_": lambda x, number: x[None].index_copy_(
        0, torch.tensor([0], device=x.device), x.new_full((1, *x.shape), number)
    ),
    "scatter_": lambda x, number: x[None].scatter_(
        0, torch.zeros((1, *x.shape), dtype=torch.int64, device=x.device), number
    ),
    "foreach": lambda x, number: (
        torch._foreach_copy_([x], [x.new_full(x.shape, number)])
        if hasattr(torch, "_foreach_copy_")
        else x.fill_(number)
    ),
}


@claim("view-shares-data", "augmented-assignment-writes-through")
@over(MODES, of=among(*(kind for kind in KINDS if kind[0] != torch.bool)), cut=each(*CUTS), put=each(*PUT))
def test_what_is_written_into_each_of_several_parts_of_one_memory_lies_there_and_nowhere_else(of, cut, put):
    x, array = Twin(of[0], (13, 71), "offset", second=of[1], kind="view")
    for number, (part, place) in enumerate(zip(CUTS[cut](x), CUTS[cut](array)), 1):
        PUT[put](part, number)
        place[...] = number
    agree(x, array)
    untouched(x)


REPEATED = {  # six numbers, each shown three times
    "expand": lambda x: x.expand(3, 6),
    "broadcast_to": lambda x: torch.broadcast_to(x, (2, 3, 6))[1],
    "rows": lambda x: x.view(6, 1).expand(6, 3).t(),
    "as_strided": lambda x: x.as_strided((3, 6), (0, 1)),
}


@claim("augmented-assignment-writes-through", "view-shares-data")
@claim("augmented-assignment-writes-through", truth=True)
@over(
    EVERY_MODE,
    repeated=each(*REPEATED),
    dtype=among(*(dtype for dtype in ANY if dtype != torch.bool)),
    second=among(False, True),
)
def test_a_write_to_one_of_the_places_that_show_an_element_is_one_write(repeated, dtype, second):
    x, array = Twin(dtype, (6,), second=second)
    view = REPEATED[repeated](x)
    view[0, 1] = 7
    view[2, 1] += 1
    view[1, 3] += 2
    view[1][4].mul_(2)
    view[2, :1] = 5
    array[1], array[3], array[4], array[0] = 8, array[3] + 2, array[4] * 2, 5
    for write in (view.add_, view.mul_, view.__iadd__, view.copy_):
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            write(torch.ones(3, 6, dtype=dtype, device=x.device))
    agree(x, array)
    agree(view, np.stack([array] * 3))


# Three read strides; of every release to 2.15 narrow_copy leaves those of ``out`` unread, and mode checks for the
# devices that it knows; and torch 2.0 leaves those of the weights of multi_margin_loss unread.
LEFT = ("view_as_complex", "as_strided_", "narrow_copy", "mode", *("multi_m",) * (RELEASE < (2, 2)))


@claim("view-shares-data")
@over(
    EVERY_MODE,
    name=among(*(name for name in FUNCTIONS if not name.startswith(LEFT))),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_a_function_of_functions_has_the_same_result_where_each_of_them_computes_into_a_part_of_a_memory(name, dtype):
    x = Twin(dtype, POINT.shape).tensor(POINT)
    expected = host(accepted(FUNCTIONS[name], x))
    with Into("gappy") as into:
        result = accepted(FUNCTIONS[name], x)

    agree(result, expected, 128, np.abs(expected).max(initial=1))  # of a function of functions in another order
    for part in into.parts:
        untouched(part)
    only_where(into.parts)  # some functions take no output at any step
