"""2.6 Autograd: the graph of any program, its leaves, and the flag that starts it."""

import operator
from contextlib import nullcontext
from itertools import product

import numpy as np
import pytest
import torch
from harness import capabilities
from hypothesis import strategies as st
from populations import (
    EVERY_MODE,
    FLOATS,
    SINGLE_AND_DOUBLE,
    WHOLE,
    WRITABLE,
    Population,
    agree,
    among,
    each,
    over,
    twins,
    whole,
)
from populations.comparing import accepted
from populations.gradients import grad_of
from populations.operations import OPERATIONS
from populations.trials import FEW
from torch import nn

claim = pytest.mark.claim

# name -> how many operands, and the operation
STEPS = {
    "+": (2, lambda x, y: x + y),
    "-": (2, lambda x, y: x - y),
    "*": (2, lambda x, y: x * y),
    "/": (2, lambda x, y: x / y),
    "torch.sub": (2, lambda x, y: torch.sub(x, y)),
    "maximum": (2, lambda x, y: torch.maximum(x, y)),
    "exp": (1, lambda x: x.exp()),
    "sin": (1, lambda x: x.sin()),
    "view": (1, lambda x: x.view(1)),
    "clone": (1, lambda x: x.clone()),
}
ALL = tuple((name, index, index + 1) for index, name in enumerate(STEPS))
PROGRAMS = Population(
    (
        ALL,
        tuple((name, index, 2) for index, name in enumerate(STEPS)),  # with the constant
        tuple((name, 2, index) for index, name in enumerate(STEPS)),  # and with it on the left
        tuple((name, 3 + index, 3 + index) for index, name in enumerate(STEPS, -1)),  # each with itself
        (("*", 0, 0), ("+", 3, 0), ("view", 4, 0), ("*", 5, 5), ("+", 6, 3)),
        tuple(("sin", 2 + index, 0) for index in range(1, 60)),
        (("sin", 0, 0), *(("+", 2 + index, 2 + index) for index in range(1, 12))),
    ),
    st.lists(
        st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12
    ).map(tuple),
)


@claim("tensors-and-functions-form-a-dag")
@over(program=PROGRAMS)
def test_every_node_leads_to_the_nodes_of_its_operands_in_their_order(program):
    """Operands were there before their result, so a graph of such links alone has no cycle; all steps are in it."""
    leaves = [torch.tensor([number], requires_grad=True) for number in (1.5, 2.5)]
    tensors = [*leaves, torch.tensor([3.0])]  # the third is a constant
    made = []
    for name, *indices in program:
        count, step = STEPS[name]
        operands = [tensors[index % len(tensors)] for index in indices[:count]]
        tensors.append(step(*operands))
        made.append((tensors[-1], operands))

    for result, operands in made:
        tracked = [operand.requires_grad for operand in operands]
        assert result.requires_grad == any(tracked)
        linked = [node for node, _ in result.grad_fn.next_functions] if any(tracked) else [None] * len(operands)
        assert [node is not None for node in linked] == tracked
        ends = [getattr(node, "variable", node) for node in linked]  # of a leaf, its accumulator holds the leaf
        wanted = [
            (operand if operand.is_leaf else operand.grad_fn) if operand.requires_grad else None for operand in operands
        ]
        assert [id(end) for end in ends] == [id(end) for end in wanted]
    nodes = [result.grad_fn for result, _ in made if result.requires_grad]
    assert len({id(node) for node in nodes}) == len(nodes)  # each operation has a node of its own


NAMED = {
    "Add": [
        *(lambda x: x.add(x), lambda x: x + x, lambda x: x + 2, lambda x: 2 + x, lambda x: torch.add(x, 2)),
        *(lambda x: (x * 1).add_(2), lambda x: x + torch.ones(2, 1, 1), lambda x: torch.ones(2, 1, 1) + x),
        *(lambda x: operator.iadd(x * 1, 2), lambda x: x.add(1, alpha=2), lambda x: (x * 1).add_(x, alpha=0.5)),
    ],
    "Sub": [
        lambda x: x - 1,
        lambda x: torch.sub(x, 1),
        lambda x: x.sub(x),
        lambda x: (x * 1).sub_(x),
        *(lambda x: operator.isub(x * 1, 2), lambda x: torch.sub(x, x, alpha=2)),
    ],
    "Mul": [
        lambda x: x * 3,
        lambda x: 3 * x,
        lambda x: torch.mul(x, x[None]),
        lambda x: (x + 1).mul_(2),
        lambda x: operator.imul(x + 1, 2),
    ],
    "Div": [lambda x: (x * 1).div_(2), lambda x: x / 2, lambda x: x / x, lambda x: torch.div(x, 2), lambda x: x.div(x)],
    "Pow": [lambda x: x**2, lambda x: torch.pow(x, 3), lambda x: (x * 1).pow_(2), lambda x: operator.ipow(x * 1, 2)],
    "Neg": [lambda x: -x, lambda x: torch.neg(x), lambda x: (x * 1).neg_()],
    "Exp": [lambda x: x.exp(), lambda x: torch.exp(x), lambda x: (x * 1).exp_()],
    "Clone": [lambda x: x.clone(), lambda x: torch.clone(x)],
    "Sum": [lambda x: x.sum(), lambda x: torch.sum(x), lambda x: (x * x).sum()],
    "Mean": [lambda x: x.mean(), lambda x: torch.mean(x)],
    "View": [lambda x: x.view(-1), lambda x: (x * 1).view(1, *x.shape)],
    "Unsqueeze": [lambda x: x.unsqueeze(0), lambda x: torch.unsqueeze(x, 0)],
    "Relu": [lambda x: torch.relu(x), lambda x: x.relu(), lambda x: (x * 1).relu_()],
    "Sigmoid": [lambda x: torch.sigmoid(x), lambda x: x.sigmoid(), lambda x: (x * 1).sigmoid_()],
    "Transpose": [lambda x: x.transpose(0, 1), lambda x: torch.transpose(x, 0, 1)],
    "Cat": [lambda x: torch.cat([x.view(-1), x.view(-1)])],
}


@claim("grad-fn-is-the-creating-function")
@over(name=among(*NAMED), size=whole(1, 1025, 4))
def test_grad_fn_is_called_after_the_operation_however_it_is_spelled(name, size):
    for operation in NAMED[name]:
        x = torch.full((size, 1), 2.0, requires_grad=True)
        y = operation(x)

        assert y.grad_fn.name() == type(y.grad_fn).__name__ == f"{name}Backward0"
        assert y.grad_fn is y.grad_fn
        assert operation(x).grad_fn is not y.grad_fn


@claim("add-node-is-named-add-backward", "sum-node-is-named-th-add-backward", truth=True)
@pytest.mark.cpu  # how numbers are printed is a question of its own
@over(size=among((), 1, 4, 1025))
def test_every_spelling_of_an_addition_prints_one_name(size):
    for operation in NAMED["Add"]:
        y = operation(torch.ones(size, requires_grad=True))

        assert repr(y).endswith("grad_fn=<AddBackward0>)")
        assert repr(y.grad_fn).startswith("<AddBackward0 object at 0x")


WINDOWS = ("hann_window", "hamming_window", "blackman_window", "bartlett_window")
# What functions that create a tensor are given, and what those are given beside another tensor, or as its methods.
CREATORS = {
    **dict.fromkeys(("zeros", "empty", "rand", "randn"), (2,)),
    **{"ones": (70_000,), "full": ((0, 2), 0.5), "tensor": (1.0,), "tensor of a matrix": ([[1.0], [2.0]],)},
    **{"normal": (0.0, 1.0, (2,)), "logspace": (0, 1, 3), "scalar_tensor": (1.0,), "asarray": ([1.0],)},
    **{"arange": (3.0,), "linspace": (0, 1, 3), "empty_strided": ((2, 3), (1, 2)), "eye": (2, 3)},
    **dict.fromkeys(WINDOWS, (4,)),
}
LIKE = {**dict.fromkeys(("ones_like", "zeros_like", "empty_like", "rand_like", "randn_like"), ()), "full_like": (7,)}
NEW = {"new_zeros": (3,), "new_ones": (3,), "new_empty": (3,), "new_full": ((2,), 7), "new_tensor": ([[1.0], [2.0]],)}


def created(name, **flag):
    """What is created by name, where it is like another tensor like one that requires a gradient."""
    other = torch.tensor([0.0, 0.0], requires_grad=True)
    if name in NEW:
        return getattr(other, name)(*NEW[name], **flag)
    given = CREATORS[name] if name in CREATORS else (other, *LIKE[name])
    return getattr(torch, name.split()[0])(*given, **flag)


DTYPED = twins(FLOATS, ("contiguous",), ((1,),))  # of these twins the dtype alone is used
LACKED = [("logspace", torch.float16), *[("eye", torch.bfloat16)] * (torch.__version__ < (2, 3))]
LACKED += [(window, torch.float16) for window in WINDOWS if torch.__version__ < (2, 3)]


@claim("created-tensors-are-leaves", "grad-fn-is-the-creating-function", "requires-grad-defaults-to-false")
@claim("no-grad-stops-tracking", truth=True)
@over(create=each(*CREATORS, *LIKE, *NEW), twin=DTYPED)
def test_what_is_created_is_a_leaf_without_grad_fn_that_requires_a_gradient_only_if_asked(create, twin):
    dtype = torch.float32 if (create, twin.dtype) in LACKED else twin.dtype
    device = torch.empty(0).device
    more = [{}, {"requires_grad": False}, {"requires_grad": True}, {"device": device}]
    drawn = create in ("rand", "randn", "normal") and capabilities.has("generator")
    more += [{"generator": torch.Generator(device)} for _ in range(drawn)]
    for asked, mode in product(more, (nullcontext, *EVERY_MODE)):
        with mode():  # whichever it is
            x = created(create, dtype=dtype, **asked)
        assert (x.is_leaf, x.grad_fn, x.requires_grad) == (True, None, asked.get("requires_grad", False))
    array = np.ones(2, np.float32)
    assert not any(convert(array).requires_grad for convert in (torch.from_numpy, torch.as_tensor, torch.tensor))


@claim("created-tensors-are-leaves")
@over(twin=FEW)
def test_parameters_and_what_is_switched_on_are_leaves(twin):
    tensor, _ = twin.but(grad=False, kind="tensor")
    for x in (nn.Parameter(tensor), nn.ParameterList([tensor])[0], (tensor * 1).requires_grad_()):
        assert (x.requires_grad, x.is_leaf, x.grad_fn) == (True, True, None)


@claim("requires-grad-defaults-to-false")
@claim("created-tensors-are-leaves", "grad-fn-is-the-creating-function", truth=True)
@over(operation=among(*OPERATIONS), twin=twins(SINGLE_AND_DOUBLE, ("contiguous", "transposed"), ((2, 3), (2, 3, 4))))
def test_no_result_of_untracked_operands_is_anything_but_a_leaf_that_requires_no_gradient(operation, twin):
    x, _ = twin.but(values=operation.values)
    y = operation.apply(x)

    assert (y.requires_grad, y.is_leaf, y.grad_fn, x.requires_grad) == (False, True, None, False)


class Added(torch.autograd.Function):
    """A function of one's own."""

    @staticmethod
    def forward(ctx, *operands):
        return sum(operands)


@claim("requires-grad-defaults-to-false")
@over(flags=among((False,), (True, False), (False, True), (False, False, True), (False,) * 5, (True,) * 3))
def test_a_result_requires_a_gradient_exactly_if_some_operand_does(flags):
    operands = [torch.full((2,), 1.5, requires_grad=flag) for flag in flags]
    results = [torch.stack(operands), torch.cat(operands), sum(operands), operands[0] * operands[-1] * sum(operands)]
    results.append(Added.apply(*operands))
    assert [result.requires_grad for result in results] == [any(flags)] * 5


@claim("quadratic-mean-example", "quadratic-mean-gradient")
@over(twin=twins(FLOATS, WRITABLE, ((2, 2), (1, 4), (3, 3)), grad=(False, True), values="small"))
def test_each_element_becomes_three_times_the_square_of_x_plus_two_and_the_mean_is_theirs(twin):
    x, array = twin
    y = x + 2
    z = y * y * 3

    agree(z, 3 * (array.astype(np.float64) + 2) ** 2, roundings=2)
    agree(3 * (x + 2) ** 2, 3 * (array.astype(np.float64) + 2) ** 2, roundings=2)
    agree(torch.ones_like(x).add(2).square().mul(3).mean(), 27)
    wide = 3 * (array.astype(np.float64) + 2) ** 2
    means = (lambda z: z.mean(), 3), (lambda z: torch.mean(z, dim=(0, 1)), 3), (lambda z: z.mean(dim=-1).mean(), 4)
    for mean, roundings in means:  # one more for a second division
        agree(mean(z), wide.mean(), roundings=array.size + 4, scale=wide.max())
        leaf = x.detach().requires_grad_()
        mean(3 * (leaf + 2) ** 2).backward()
        agree(leaf.grad, 6 * (array.astype(np.float64) + 2) / array.size, roundings)


TRACKABLE = (*FLOATS, torch.complex64, torch.complex128)
SWITCHES = {
    "method": lambda x, flag: x.requires_grad_(flag),
    "keyword": lambda x, flag: x.requires_grad_(requires_grad=flag),
    "attribute": lambda x, flag: setattr(x, "requires_grad", flag) or x,
    "under no_grad": lambda x, flag: torch.no_grad()(x.requires_grad_)(flag),
}


@claim("requires-grad-can-be-set-in-place", truth=True)
@over(twin=twins(TRACKABLE, shapes=((), (0,), (2, 3), (2, 3, 4))), spelled=among(*SWITCHES))
def test_the_flag_of_a_leaf_alone_is_switched_on_and_off_in_place_and_nothing_else_changes(twin, spelled):
    x, array = twin
    address, strides, before, view = x.data_ptr(), x.stride(), x * 3, x.view(1, *x.shape)
    for flag in (True, False):
        assert SWITCHES[spelled](view, flag) is view
        assert (view.requires_grad, x.requires_grad) == (flag, False)
    x.grad = torch.ones_like(x)
    for flag in (True, True, False, False, True):
        assert SWITCHES[spelled](x, flag) is x
        assert (x.requires_grad, (x * 3).requires_grad, x.is_leaf, before.requires_grad) == (flag, flag, True, False)
    assert x.requires_grad_().requires_grad
    assert SWITCHES[spelled](torch.no_grad()(lambda: x * 3)(), True).requires_grad
    agree(x, array)
    agree(grad_of(x), np.ones_like(array))
    assert (x.data_ptr(), x.stride()) == (address, strides)
    result = x * 3
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        SWITCHES[spelled](result, False)
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        result.requires_grad = True
    assert accepted(result.requires_grad_, True).grad_fn.name() == "MulBackward0"  # as before


@claim("requires-grad-can-be-set-in-place", truth=True)
@over(twin=twins((*WHOLE, torch.int16, torch.int8, torch.bool), shapes=((), (2, 3))), spelled=among(*SWITCHES))
def test_integers_and_truth_values_refuse_the_flag(twin, spelled):
    x, _ = twin
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        SWITCHES[spelled](x, True)
    assert not x.requires_grad


@claim("requires-grad-can-be-set-in-place", truth=True)
@over(twin=twins(TRACKABLE, shapes=((), (2, 3)), grad=(False,)), spelled=among(*SWITCHES))
def test_what_inference_mode_made_takes_the_flag_within_it_alone(twin, spelled):
    with torch.inference_mode():
        x, kept = (twin.tensor(twin.array()) for _ in range(2))
        SWITCHES[spelled](kept, True)
    with pytest.raises(RuntimeError, match="inference tensor"):
        SWITCHES[spelled](x, True)
    assert (x.requires_grad, kept.requires_grad) == (False, True)
    SWITCHES[spelled](x.clone(), True)  # an ordinary tensor
