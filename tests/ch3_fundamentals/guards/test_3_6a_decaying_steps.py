"""3.6 Weight decay: every optimizer's option beside its rule, for parameters of every rank, size, layout and dtype."""

import inspect
from itertools import product

import numpy as np
import pytest
import torch
from populations import HALVES, SINGLE_AND_DOUBLE, WRITABLE, agree, among, over, twins
from populations.comparing import host
from populations.decay import DECAY, DTYPES, OTHERS, SHAPES, aged, parameters
from populations.optimizers import DIFFERENTIABLE, OPTIONS, RULES, WAYS, Recipe, optimizers
from torch.optim import SGD

claim = pytest.mark.claim


# Since torch 2.7 Adam can decay as AdamW does.
APART = {"decoupled_weight_decay": True} if torch.__version__ >= (2, 7) else {}
ADAM = Recipe("Adam", tuple({"lr": 0.1, **DECAY, **APART}.items()))


@claim("weight-decay-equals-l2-regularisation")
@claim("weight-decay-equals-l2-regularisation", truth=True)
@claim("weight-decay-decays-bias-by-default", "step-updates-parameters", "batch-size-and-lr-are-hyperparameters")
@over(optimizer=optimizers(dtypes=DTYPES, options=DECAY, tensors=(False, True)).also(ADAM, *DIFFERENTIABLE))
def test_biases_and_all_other_parameters_of_all_groups_decay_by_the_rule_where_they_have_a_gradient(optimizer):
    first, second = parameters(optimizer)[:3], parameters(optimizer)[3:]
    beside = optimizer.on(first, (second, {"weight_decay": 0.5, "lr": 0.125}))
    assert [group["weight_decay"] for group in beside.optimizer.param_groups] == [0.25, 0.5]
    beside.step()
    beside.step()
    beside.edit(0, weight_decay=0.75)
    beside.reload()
    beside.step(without=(1, 4))
    beside.agree()


ALL = [Recipe(name, tuple(OPTIONS[name][1].items()), way, dtype) for name in RULES for way in WAYS for dtype in HALVES]


@claim("step-updates-parameters")
@claim("weight-decay-equals-l2-regularisation", truth=True)
@claim("weight-decay-decays-bias-by-default")
@over(recipe=among(*ALL), up=among(False, True))
def test_every_implementation_decays_every_group_in_either_half_precision(recipe, up):
    decaying = recipe.but(**DECAY, maximize=up)
    both = decaying.on(parameters(recipe, ((3, 33),)), parameters(recipe, ((5,), (), (4099,))))
    both.step()
    both.step()
    both.agree()


@claim("weight-decay-decays-bias-by-default")
@over(name=among(*OTHERS), dtype=among(*SINGLE_AND_DOUBLE), foreach=among(False, True))
def test_where_gradients_are_zero_the_option_alone_moves_every_element_towards_zero(name, dtype, foreach):
    twins_of = parameters(Recipe(name, (), "default", dtype), [shape for shape in SHAPES if 0 not in shape])
    tensors = [next(iter(twin.but(grad=True))) for twin in twins_of]  # Adafactor divides by the number of elements
    options = {"lr": 0.01, "foreach": foreach, **DECAY, **({"lambd": 0} if name == "ASGD" else {})}  # its other decay
    optimizer = getattr(torch.optim, name)([{"params": tensors[:3]}, {"params": tensors[3:]}], **options)
    for _ in range(3):
        old = np.concatenate([host(tensor).ravel() for tensor in tensors])
        (0 * sum(tensor.sum() for tensor in tensors)).backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        new = np.concatenate([host(tensor).ravel() for tensor in tensors])
        assert np.all((new * old > 0) & (abs(new) < abs(old)) | (new == 0) & (old == 0))


# the factor shrinks, is 0, changes the sign, and grows
RATES = ((0.5, 0.5), (0.25, 1.0), (0.125, 7.0), (0.5, 2.0), (0.5, 3.0), (1.0, 3.0), (0.25, 16.0))
HOW = ({}, {"foreach": True}, {"foreach": False}, {"differentiable": True})
HOW += ({"maximize": True, "foreach": True}, {"maximize": True, "foreach": False})


@claim("penalty-shrinks-weights-each-step")
@claim("penalty-may-include-bias", "weight-decay-makes-parameters-smaller")
@claim("penalty-shrinks-weights-each-step", "weight-decay-equals-l2-regularisation", truth=True)
@claim("weight-decay-makes-parameters-smaller", "weight-decay-counters-overfitting", truth=True)
@over(
    twin=twins(SINGLE_AND_DOUBLE, WRITABLE, SHAPES),
    rates=among(*RATES),
    course=among(*product((1, 2, 3), HOW)),
    beside=twins(SINGLE_AND_DOUBLE, WRITABLE, ((3, 4), (5,))),
)
def test_each_step_multiplies_by_one_minus_lr_lambda_even_beyond_one_and_subtracts_the_gradient(
    twin, rates, course, beside
):
    """In two groups, each with rates of its own, which a schedule halves after each step, and each with a parameter of
    perhaps another dtype and layout besides; the second step is given a closure, and gradients of 0; before the third
    the state is loaded. Before three, a hundred at a rate of 0 came.
    """
    (lr, lambd), (steps, how), sign = rates, course, -1 if course[1].get("maximize") else 1
    four = [each.but(seed=each.seed + turn) for turn in (0, 1) for each in (twin, beside)]
    tensors, arrays = map(list, zip(*(each.but(grad="differentiable" not in how) for each in four)))
    groups = {"params": tensors[:2]}, {"params": tensors[2:], "lr": 0.5, "weight_decay": 1}
    optimizer = SGD(groups, lr, weight_decay=lambd, **how)
    schedule = torch.optim.lr_scheduler.StepLR(aged(optimizer) if steps == 3 else optimizer, 1, 0.5)
    for step in range(steps):
        for place, (tensor, each) in enumerate(zip(tensors, four)):
            tensor.grad, gradient = each.but(seed=100 * step + place, values="fractions")
            tensor.grad *= step != 1
            rate, decay = (lr, lambd) if place < 2 else (0.5, 1)
            rate *= 0.5**step
            arrays[place] = (1 - rate * decay) * arrays[place] - sign * rate * gradient * (step != 1)
        optimizer.step((lambda: 0.5) if step == 1 else optimizer.load_state_dict(optimizer.state_dict()))
        schedule.step()
    for tensor, array in zip(tensors, arrays):
        agree(tensor, array)  # exact: all are short binary fractions


@claim("penalty-shrinks-weights-each-step", "weight-decay-decays-bias-by-default")
@over(dtype=among(*SINGLE_AND_DOUBLE), lambd=among(0.1, 1 / 3, 0.0123, 1e-4), how=among(*HOW))
def test_a_penalty_counts_with_all_the_digits_that_the_parameters_have(dtype, lambd, how):
    w = torch.ones(9, dtype=dtype, requires_grad="differentiable" not in how)
    w.grad = torch.zeros(9, dtype=dtype)
    SGD([w], 1, weight_decay=lambd, **how).step()
    agree(w, np.full(9, 1 - lambd), roundings=4)


@claim("weight-decay-decays-bias-by-default")
@claim("step-updates-parameters", truth=True)
@pytest.mark.cpu  # few other devices have sparse tensors
@over(
    decay=among(0.5, 0.0),
    name=among("Adam", "AdamW", "RMSprop", "SGD that decays", "Adagrad that decays"),
    way=among(*WAYS[:3]),
)
def test_a_sparse_gradient_is_refused_by_adam_and_its_kin_and_by_whoever_decays(decay, name, way):
    words, (name, *decays) = torch.nn.Embedding(5, 2, sparse=True), name.split(" that ")
    options = (("lr", 0.1), ("weight_decay", 0.5 if decays else decay))
    optimizer = Recipe(name, options, way).new(words.parameters())
    words(torch.tensor([1, 3])).sum().backward()
    before = words.weight.tolist()

    with pytest.raises(RuntimeError):
        optimizer.step()
    assert words.weight.tolist() == before


# Those of single tensors and steps: LBFGS calls the loss again, SparseAdam wants sparse gradients.
STEPPING = [
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "SparseAdam")
]


@claim("step-updates-parameters", "parameters-carry-data-and-grad")
@over(name=among(*STEPPING), dtype=among(*SINGLE_AND_DOUBLE))
def test_no_optimizer_of_dense_steps_touches_what_has_no_gradient_or_has_lost_it_or_writes_to_one(name, dtype):
    """Matrices, the only parameters that all of them take, with a momentum and decay where there are such."""
    optimizer_of = getattr(torch.optim, name)
    options = inspect.signature(optimizer_of).parameters.keys() & {"momentum", "weight_decay"}
    matrices = [torch.full((3, 3), 2.0, dtype=dtype, requires_grad=True) for _ in range(4)]
    optimizer = optimizer_of(matrices, lr=0.5, **dict.fromkeys(options, 0.5))
    for step in (1, 2, 3, 4):
        optimizer.zero_grad()
        count = 2 if step < 3 else 1
        before = [host(w).copy() for w in matrices]
        for w in matrices[:count]:
            w.grad = torch.arange(9.0, dtype=dtype).view(3, 3) + step
        optimizer.step()
        for w, old in zip(matrices[:count], before):
            assert (host(w) != old).any()
            agree(w.grad, np.arange(9.0).reshape(3, 3) + step)
        for w, old in zip(matrices[count:], before[count:]):
            assert w.grad is None
            agree(w, old)


MOVING = ({}, {"momentum": 0.5}, {"momentum": 0.5, "nesterov": True}, {"momentum": 0.5, "dampening": 0.25})


@claim("weight-decay-makes-parameters-smaller", "penalised-loss-adds-the-penalty")
@over(how=among(*MOVING), foreach=among(False, True), dtype=among(*SINGLE_AND_DOUBLE))
def test_sgd_ends_the_nearer_to_zero_the_larger_the_decay_whatever_its_momentum_does(how, foreach, dtype):
    """The loss (w - 2)² / 2 and its penalty λ w² / 2 are least at 2 / (1 + λ)."""
    for lambd in (0.0, 0.5, 1.0, 3.0):
        w = torch.tensor([5.0, -1.0], dtype=dtype, requires_grad=True)
        optimizer = SGD([w], lr=0.25, weight_decay=lambd, foreach=foreach, **how)
        for _ in range(60):
            w.grad = w.detach() - 2
            optimizer.step()
        np.testing.assert_allclose(host(w), 2 / (1 + lambd), rtol=1e-5)
