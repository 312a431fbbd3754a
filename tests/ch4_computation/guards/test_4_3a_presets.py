"""4.3a Presets: every initialiser, on tensors of every shape, layout and dtype that it takes."""

import contextlib
import inspect
import itertools
import math

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, HALVES, SINGLE_AND_DOUBLE, agree, among, over, twins, untouched, whole
from populations.comparing import accepted, host
from populations.initialisers import EXACT, GAINS, OTHER, RANDOM, RANKS, RELEASE, Filling, fillings, random_fillings
from populations.rounding import as_held
from populations.statistics import occur_as_often
from torch import nn
from torch.nn import init

claim = pytest.mark.claim
pytestmark = pytest.mark.start_values  # all is about what the device itself draws
TRUNCATED = FLOATS if RELEASE >= (2, 12) else SINGLE_AND_DOUBLE


@claim("init-runs-without-recording", "init-offers-preset-methods")
@over(filling=fillings(dtypes=(torch.float32, torch.bfloat16)), recording=among(True, False))
def test_an_initialiser_fills_the_parameter_itself_and_leaves_no_trace_but_its_version(filling, recording):
    parameter = nn.Parameter(filling.blank(1))
    place = parameter.data_ptr()
    y, result = (parameter * parameter).sum(), parameter * 3
    parameter.data.fill_(math.nan)
    node, call = result.grad_fn, getattr(init, filling.name)
    by_name = "generator" in inspect.signature(call).parameters  # in torch 2.2, not in 2.0
    sources = [None, torch.Generator(parameter.device)] if by_name else []

    with torch.set_grad_enabled(recording):
        assert filling(parameter) is parameter
        assert filling(result).grad_fn is node
        for source in sources:
            assert accepted(call, parameter, **dict(filling.arguments), generator=source) is parameter
        assert torch.is_grad_enabled() is recording
    assert (parameter.is_leaf, parameter.grad_fn, parameter.requires_grad) == (True, None, True)
    assert parameter.data_ptr() == place
    assert not np.isnan(host(parameter)).any()
    untouched(parameter)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()  # not recorded, but noticed
    assert parameter.grad is None
    result.sum().backward()
    agree(parameter.grad, np.full(filling.shape, 3))


@claim("init-offers-preset-methods")
@over(EVERY_MODE, filling=random_fillings())
def test_a_random_initialiser_draws_every_element_of_every_call_from_the_distribution_of_its_formula(filling):
    filling.follow(filling.drawn(), filling.drawn())


def exact(filling):
    """What an initialiser that draws nothing should give."""
    if filling.name == "eye_":
        return np.eye(*filling.shape)
    if filling.name == "dirac_":  # a one in the centre of the kernel, from each channel of a group to itself
        weight, groups = np.zeros(filling.shape), dict(filling.arguments).get("groups", 1)
        size = filling.shape[0] // groups
        for group, channel in itertools.product(range(groups), range(min(size, filling.shape[1]))):
            weight[(group * size + channel, channel, *(size // 2 for size in filling.shape[2:]))] = 1
        return weight
    given = {"val": filling.name == "ones_"} | dict(filling.arguments)
    return np.full(filling.shape, given.get("mean", given.get("a", given["val"])), np.float64)


@claim("init-offers-preset-methods")
@over(twin=twins(TRUNCATED, shapes=((),)), std=among(0.02, 0.5, 1e-3, 1e-6), cut=among(2, 50))
def test_where_the_cuts_lie_far_out_no_truncated_normal_number_is_near_them(twin, std, cut):
    """A normal number lies beyond 7 standard deviations once in 4e11 times."""
    cut = max(cut, 100 * std)
    x = init.trunc_normal_(torch.empty(20_000, dtype=twin.dtype), std=std, a=-cut, b=cut)
    assert np.abs(host(x)).max() <= 7 * std


@claim("init-offers-preset-methods")
@over(mean=among(3, -3, 2.5))
def test_a_mean_beyond_a_cut_leaves_a_tail_and_piles_nothing_up(mean):
    """Of 5,000 numbers of 24 bits in the tail some ten occur twice; those clipped would all be one."""
    filling = Filling("trunc_normal_", (("mean", mean),), (5_000,))
    x = filling.drawn()
    filling.follow(x)
    assert -2 <= x.min() <= x.max() <= 2
    assert len(np.unique(x)) > 4_750


@claim("init-offers-preset-methods", "init-constant-over-biases")
@over(EVERY_MODE, filling=fillings(EXACT))
def test_an_initialiser_without_chance_gives_exactly_its_matrix(filling):
    assert np.array_equal(filling.drawn(), as_held(exact(filling), filling.dtype))


@claim("init-offers-preset-methods")
@over(
    shape=among(
        *((4, 4), (3, 7), (7, 3), (20, 50), (50, 20), (1, 6), (6, 1), (4, 3, 2, 2)),
        *((64, 3, 3, 3), (9, 4, 2), (7, 1, 1, 2, 3), (0, 1), (0, 3, 2), (3, 0)),  # taller ones, and none
    ),
    gain=among(1, 2.5),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_an_orthogonal_weight_has_rows_or_columns_of_length_gain_at_right_angles(shape, gain, dtype):
    filling = Filling("orthogonal_", (("gain", gain),), shape, dtype)
    weight = accepted(filling.drawn).reshape(shape[0], math.prod(shape[1:]))
    wide = weight if shape[0] <= weight.shape[1] else weight.T
    # Householder's QR of an m × n matrix is orthogonal up to m n units of rounding (Higham, theorem 19.4)
    assert (
        np.abs(wide @ wide.T - gain**2 * np.eye(len(wide))).max(initial=0)
        <= weight.size * torch.finfo(dtype).eps * gain**2
    )


@claim("init-offers-preset-methods")
def test_an_orthogonal_weight_takes_either_sign_at_every_place():
    weights = [Filling("orthogonal_", (), (2, 3)).drawn().ravel() for _ in range(150)]
    occur_as_often(np.array(weights) > 0, 1 / 2, cases=6)


@claim("init-offers-preset-methods")
@over(share=among(0.26, 0.3, 0.9), layout=among("contiguous", "transposed"))
def test_sparse_zeroes_a_share_of_each_column_at_random_and_draws_the_rest(share, layout):
    filling = Filling("sparse_", (("sparsity", share), ("std", 0.2)), (40, 250), layout=layout)
    (values, again), zeros = (filling.drawn() for _ in range(2)), math.ceil(share * 40)

    found = np.stack([values == 0, again == 0]).sum(1)
    # A normal draw may be zero, too: one pair of 2^24 is. In a column both times that has a probability below 1e-9, and
    # more than two pairs in the 20,000 draws one below 1e-10.
    assert found.min(0).tolist() == [zeros] * 250 and found.sum() <= 2 * 250 * zeros + 4
    occur_as_often(values.T == 0, zeros / 40, cases=40)
    Filling("normal_", (("std", 0.2),), (250, 40 - zeros)).follow(values.T[values.T != 0])


@claim("init-offers-preset-methods")
@over(EVERY_MODE, name=among(*GAINS), slope=among(0.01, 0.2, 3, -0.5, 0))
def test_the_gain_belongs_to_the_activation(name, slope):
    assert init.calculate_gain(name) == pytest.approx(GAINS[name], rel=1e-15)
    assert init.calculate_gain("leaky_relu", slope) == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=1e-15)
    assert init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / (1 + 0.01**2)), rel=1e-15)


@claim("init-offers-preset-methods", truth=True)
@over(name=among(*RANKS), rank=among(1, 2, 3, 4, 5))
def test_an_initialiser_takes_as_many_dimensions_as_its_formula_and_refuses_others(name, rank):
    filling, (low, high) = Filling(name, (("sparsity", 0.5),) if name == "sparse_" else (), (3,) * rank), RANKS[name]
    with contextlib.nullcontext() if low <= rank <= high else pytest.raises(ValueError, match="dimensions"):
        filling(filling.blank())
    assert torch.is_grad_enabled()


@claim("init-offers-preset-methods", truth=True)
@pytest.mark.cpu
def test_before_torch_2_12_some_truncated_normal_numbers_of_half_precision_are_on_the_lower_cut():
    x = host(init.trunc_normal_(torch.empty(20_000, dtype=torch.bfloat16), std=0.02))
    # one in 250 was; a normal number is 100 deviations out once in 1e2000
    assert (x.min() == -2) == (RELEASE < (2, 12))


@claim("init-offers-preset-methods", truth=True)
@over(EVERY_MODE, name=among("kaiming_normal_", "kaiming_uniform_"), mode=among("fan_sum", "in", ""))
def test_an_unknown_mode_is_refused(name, mode):
    with pytest.raises(ValueError, match="not supported"):
        Filling(name, (("mode", mode),)).drawn()


@claim("init-offers-preset-methods", truth=True)
@over(EVERY_MODE, layout=among("channels last", "transposed"), half=among(*HALVES))
def test_orthogonal_refuses_half_precision_and_convolutions_in_another_order(layout, half):
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        init.orthogonal_(Filling("orthogonal_", (), (4, 3, 2, 2), layout=layout).blank())
    with pytest.raises(RuntimeError, match="not implemented"):
        init.orthogonal_(Filling("orthogonal_", (), (4, 4), half).blank())


@pytest.mark.cpu
@pytest.mark.skipif(RELEASE < (2, 3), reason="before torch 2.3 initialisers take no generator")
@claim("init-offers-preset-methods")
@over(
    # but sparse_, which up to torch 2.15 takes the places of its zeros from the usual one
    law=among(*((name, arguments) for name, arguments, *_ in (*RANDOM, *OTHER) if name != "sparse_")),
    shape=among((6, 4), (70, 33)),
    seed=whole(0, 9),
)
def test_a_generator_of_one_s_own_gives_the_numbers_that_its_seed_gives_otherwise(law, shape, seed):
    (name, arguments), drawn = law, []
    for own in (True, False):
        torch.manual_seed(99 if own else seed)
        given = {"generator": torch.Generator().manual_seed(seed)} if own else {}
        drawn.append(getattr(init, name)(torch.empty(shape), **arguments, **given))
    agree(drawn[0], host(drawn[1]))
