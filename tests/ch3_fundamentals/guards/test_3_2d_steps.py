"""3.2 Steps: every parameter moves by its optimizer's rule, whatever its size, layout and dtype."""

import contextlib

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, in_turn, optimizers, over, places, twins
from populations.comparing import accepted, host
from populations.decay import DECAY
from populations.optimizers import FURTHER_RECIPES, OPTIONS, RULES, WAYS, Recipe
from torch import nn

claim = pytest.mark.claim

TWINS = twins((torch.float32,), WRITABLE)


@claim("step-updates-parameters")
@over(pair=in_turn(TWINS.also(*TWINS.must), optimizers()))
def test_every_element_moves_by_the_rule_whatever_the_parameter_s_size_and_layout(pair):
    twin, optimizer = pair
    both = optimizer.on([twin])
    place = both.tensors[0].data_ptr()

    both.step()
    both.tensors[0].requires_grad_(False)  # which counts for backward alone
    torch.no_grad()(both.step)()
    both.agree()
    both.tensors[0].grad = torch.full_like(both.tensors[0], torch.nan if twin.seed else -torch.inf)
    both.optimizer.step()
    assert not np.isfinite(host(both.tensors[0])).any()
    assert both.tensors[0].data_ptr() == place


COMPLEX = (torch.complex64, torch.complex128)


@claim("step-updates-parameters", "optim-offers-sgd-adam-rmsprop", "sgd-step-subtracts-scaled-mean-gradient")
@claim("weight-decay-decays-bias-by-default")
@claim("weight-decay-equals-l2-regularisation", truth=True)
@over(recipe=among(*(Recipe(n, (), way, None).but(**OPTIONS[n][1] | DECAY) for n in RULES for way in WAYS[1:])))
def test_every_one_of_many_parameters_moves_whatever_its_dtype_and_all_of_a_long_one_beside_an_empty_one(recipe):
    real = recipe.way == "fused" or ("Adam" in recipe.name and torch.__version__ < (2, 1))
    taken = SINGLE_AND_DOUBLE if real else (*SINGLE_AND_DOUBLE, *COMPLEX)
    dtypes = [dtype for dtype in taken if not places.lacks(dtype)]
    shapes = (3, 5, 1), (13,), (2, 6), (), (2, 3, 2, 2), (3, 1, 1, 2, 3), (11, 1), (2, 7)  # each remainder by 8
    many = 13 if recipe.name == "SGD" or recipe.way == "foreach" else 1
    small = [Twin(dtypes[-n % len(dtypes)], shape, WRITABLE[n % 5], seed=n) for n, shape in enumerate(shapes * many)]
    first = [] if Recipe(recipe.name, (), recipe.way, torch.bfloat16).lacking() else [Twin(torch.bfloat16, (5,))]
    both = recipe.on([*first, *small, Twin(torch.float32, (65537,)), Twin(torch.float32, (0,))])
    both.step()
    both.step()
    both.agree()


SINGLE = torch.float32
LARGE = (
    *(Twin(SINGLE, (300, 2), "transposed"), Twin(SINGLE, (2, 1300), second=True), Twin(SINGLE, (1,), "offset")),
    *(Twin(SINGLE, (2, 3, 4, 5), "channels last"), Twin(SINGLE, (3, 2, 5), "gappy", second=True)),
)
# The six optimizers that no other guard of sizes and layouts has met, each with all of these.
FURTHER = [(recipe, (*LARGE, *TWINS.must[at % 8 :: 8])) for at, recipe in enumerate(FURTHER_RECIPES)]


@claim("step-updates-parameters", "optim-offers-sgd-adam-rmsprop")
@over(case=in_turn(optimizers(ways=WAYS[1:], turn=1, turns=3), among(LARGE)).also(*FURTHER))
def test_under_every_option_parameters_of_many_rows_or_columns_and_of_images_move_by_the_rule(case):
    optimizer, parameters = case
    both = optimizer.on([*parameters])
    both.step()
    both.step()
    both.agree()


@claim("step-updates-parameters", truth=True)
@over(name=among("Adam", "AdamW"), dtype=among(*COMPLEX))
def test_fused_refuses_complex_parameters_and_before_torch_2_1_so_do_amsgrad_and_adam_s_decay_by_foreach(name, dtype):
    w = torch.zeros(2, dtype=dtype, requires_grad=True)
    w.grad = torch.ones_like(w)
    with pytest.raises(RuntimeError, match="floating point"):
        getattr(torch.optim, name)([w], fused=True).step()
    early = [{"amsgrad": True, "foreach": foreach} for foreach in (False, True)]
    early += [{"weight_decay": 0.5, "foreach": True}] * (name == "Adam")  # which in AdamW leaves the gradient alone
    for options in early:
        with pytest.raises(RuntimeError) if torch.__version__ < (2, 1) else contextlib.nullcontext():
            getattr(torch.optim, name)([w], **options).step()


@claim("step-updates-parameters", "sgd-step-subtracts-scaled-mean-gradient")
@pytest.mark.cpu  # few other devices have sparse tensors
@over(name=among("SGD", "Adagrad"), way=among("for-loop", "foreach"), tables=among(1, 3))
def test_every_row_that_has_a_sparse_gradient_moves_in_every_table(name, way, tables):
    """By the rate, where the first gradient is 1, and of a word that comes twice by SGD twice as far."""
    words = [nn.Embedding(5, 2, sparse=True) for _ in range(tables)]
    before = [host(each.weight).copy() for each in words]
    optimizer = Recipe(name, (("lr", 0.5),), way).new([each.weight for each in words])
    sum(each(torch.tensor([3, 1, 3])).sum() for each in words).backward()

    optimizer.step()
    for table, old in zip(words, before):
        moved = np.array([0, 1, 0, 2 if name == "SGD" else 1, 0])[:, None]
        agree(table.weight, old - 0.5 * moved, roundings=4, scale=8)


@claim("step-updates-parameters", truth=True)
@over(
    optimizer=optimizers(dtypes=SINGLE_AND_DOUBLE, turn=2).rarely(
        *(Recipe(name, tuple(each.items()), "foreach") for name in RULES for each in OPTIONS[name])
    )
)
def test_whoever_has_no_gradient_stays_and_keeps_its_state_for_the_next_step(optimizer):
    both = optimizer.on([Twin(torch.float32, (2, 3), seed=each) for each in range(3)])

    late = () if optimizer.way == "fused" else (2,)  # which refuses a first gradient after those of others
    for left_out in (late, (1,), (), (0, 2)):  # in the second step no gradient is zero
        before = [tensor.tolist() for tensor in both.tensors]
        both.step(without=left_out)
        assert all(both.tensors[each].tolist() == before[each] for each in left_out)
    both.agree()


@claim("step-updates-parameters", truth=True)
@over(shape=among((), (3,), (2, 33)))
def test_lbfgs_steps_against_the_gradient_that_its_closure_computes_and_without_one_not_at_all(shape):
    """The first step of a small gradient is the rate times it: here all elements of it add up to 1/2."""
    w, v = torch.zeros(shape, requires_grad=True), torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.LBFGS([w, v], lr=0.25, max_iter=1)
    with pytest.raises(TypeError):
        optimizer.step()

    def closure():
        optimizer.zero_grad()
        loss = w.sum() / (4 * w.numel()) + v.sum() / 16
        loss.backward()
        return loss

    optimizer.step(closure)
    agree(w, np.full(shape, -0.25 / (4 * w.numel())), roundings=2)
    agree(v, np.full(4, -0.25 / 16))


@claim("step-updates-parameters")
@over(
    search=among(None, "strong_wolfe"),
    twin=among(*(Twin(dtype, (2, 33), grad=True) for dtype in SINGLE_AND_DOUBLE)).rarely(
        *(Twin(dtype, (), grad=True) for dtype in SINGLE_AND_DOUBLE)
    ),
    moves=among(1, 4),
    kept=among(1, 100),
    rests=among((), (0, 2)),
)
def test_every_step_of_lbfgs_lowers_the_loss_whether_or_not_it_searches_along_a_line(search, twin, moves, kept, rests):
    """Every element begins at zero and has the same way to go, so that they stay equal. Before some steps there is one
    that has nowhere to go.
    """
    (w, _), losses = twin, []
    w.data.zero_()
    optimizer = torch.optim.LBFGS([w], lr=0.25, max_iter=moves, history_size=kept, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = ((w - 3) ** 4).sum()
        loss.backward()
        return loss

    def nowhere():
        optimizer.zero_grad()
        loss = (0 * w).sum()
        loss.backward()
        return loss

    for count in range(3):
        here = host(w).copy()
        for _ in range(count in rests):
            optimizer.step(nowhere)
        agree(w, here)
        losses.append(accepted(optimizer.step, closure).item())  # before the step
    assert np.all(np.diff(losses) < 0)
    values = host(w).reshape(-1)
    np.testing.assert_allclose(values, values[0], rtol=1e-5)  # sums over all are the only roundings
    assert values[0] > 0


@pytest.mark.cpu
@claim("step-updates-parameters", truth=True)
@over(recipe=among(*(Recipe(n, (("lr", 1.0),), "fused") for n in RULES if n != "RMSprop")), size=among(2, 33, 2050))
def test_every_fused_optimizer_on_the_cpu_takes_parameter_and_gradient_from_the_start_of_their_memory(recipe, size):
    """The first step goes against the sign of the gradient, for whichever optimizer."""
    memory, (gradients, g) = torch.zeros(size, 2), Twin(torch.float32, (size, 2), values="fractions")
    w = memory[:, 0].detach().requires_grad_()
    w.grad = gradients[:, 0]

    recipe.new([w]).step()
    agree(memory.flatten().sign(), np.r_[-np.sign(g.flatten()[:size]), np.zeros(size)])


@pytest.mark.cpu
@claim("step-updates-parameters", truth=True)
@over(recipe=among(Recipe("SGD", (("lr", 0.5),), "fused")), half=among(torch.float16, torch.bfloat16))
def test_before_torch_2_14_fused_sgd_on_the_cpu_skips_full_vectors_of_half_precision(recipe, half):
    w = torch.zeros(64, dtype=half, requires_grad=True)
    w.grad = torch.ones_like(w)
    torch.optim.SGD([w], lr=0.5, fused=True).step()
    assert (w != 0).sum().item() == (64 if torch.__version__ >= (2, 14) else 0)


UNFUSED = [(name, way) for name in RULES if name != "SGD" for way in ("default", "for-loop", "foreach")]


@claim("step-updates-parameters", truth=True)
@over(recipe=among(*(Recipe(name, (("lr", 0.5),), way, torch.float16) for name, way in UNFUSED)), size=among(3, 33))
def test_in_float16_who_divides_by_the_root_of_a_square_makes_nan_of_an_element_without_a_gradient(recipe, size):
    """1e-8 is less than half of the smallest number of float16, 6e-8; a larger epsilon holds."""
    w, kept = (torch.ones(size, dtype=torch.float16, requires_grad=True) for _ in range(2))
    for x in (w, kept):
        x.grad = torch.ones_like(x)
        x.grad[0], x.grad[1] = 0.0, 1e-4  # 1e-8 is the square

    optimizer = recipe.new([w])
    optimizer.step()
    recipe.but(eps=1e-4, weight_decay=0).new([kept]).step()
    assert np.isnan(host(w)).tolist() == [True] + [False] * (size - 1)
    assert (host(w)[1], host(kept)[0], np.isfinite(host(kept)).all()) == (-np.inf, 1, True)
    w.grad.zero_()
    optimizer.step()
    assert np.isfinite(host(w)).tolist() == [False, False] + [True] * (size - 2)


@claim("step-updates-parameters", truth=True)
@over(recipe=among(Recipe("SGD", (("lr", 0.5), ("momentum", 0.5)), "fused")), late=among(0, 1))
def test_fused_sgd_with_momentum_refuses_a_gradient_that_comes_after_others(recipe, late):
    pair = [torch.zeros(3, requires_grad=True) for _ in range(2)]
    optimizer = recipe.new(pair)
    pair[1 - late].grad = torch.ones(3)
    optimizer.step()
    pair[late].grad = torch.ones(3)

    with pytest.raises(TypeError):
        optimizer.step()


@claim("step-updates-parameters", truth=True)
@over(way=among("for-loop", "foreach"), twin=twins(SINGLE_AND_DOUBLE, WRITABLE, ((3,), (2, 3), (257,))))
def test_nesterov_s_momentum_by_whole_lists_is_added_to_the_gradient_itself(way, twin):
    """Half of the momentum, which is the gradient in the first step."""
    (w, _), (w.grad, g) = twin.but(grad=True), twin.but(seed=twin.seed + 1)
    Recipe("SGD", (("lr", 0.5), ("momentum", 0.5), ("nesterov", True)), way, twin.dtype).new([w]).step()
    agree(w.grad, {"for-loop": g, "foreach": 1.5 * g}[way])
