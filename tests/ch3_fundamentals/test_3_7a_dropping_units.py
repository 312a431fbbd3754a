"""3.7 Dropout: dropping units

While a network trains, dropout sets each hidden unit to zero with probability p. Which units go is drawn by chance, for
every example and in every forward pass, so that no unit can rely on another being there: the network trained is a
different, thinner one each time. Once trained it is evaluated whole. A module therefore has two modes, switched by
train() and eval(), and dropout acts in the first alone.
"""

from itertools import pairwise

import pytest
import torch
from harness.measured import curve
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

FORMS = [
    pytest.param(lambda x, p: nn.Dropout(p)(x), id="nn.Dropout"),
    pytest.param(lambda x, p: nn.Dropout(p, inplace=True)(x.clone()), id="nn.Dropout in place"),
    pytest.param(lambda x, p: F.dropout(x, p), id="functional.dropout"),
]


# ── dropout-counters-overfitting ──


@pytest.fixture(scope="module")
def problems():
    """Four classification problems: 20 inputs, the class given by a random linear rule, a fifth of the labels wrong.

    Holds (x, y) of 100 training examples and of 300 test examples, of shapes (4, examples, 20) and (4, examples, 1).
    """
    rule = torch.randn(4, 20, 1)

    def draw(examples):
        x = torch.randn(4, examples, 20)
        wrong = torch.rand(4, examples, 1) < 0.2
        return x, ((x @ rule > 0) ^ wrong).float()

    return draw(100), draw(300)


def losses_of_training(train, test, sizes, p, optimizer_type, steps, **options):
    """Trains four networks side by side, with dropout p after each hidden layer.

    Returns the mean training loss and the mean test loss of the whole networks, each after every tenth step.
    """
    layers = [(torch.rand(4, m + 1, n) * 2 - 1).div(m**0.5).requires_grad_() for m, n in pairwise(sizes)]

    def loss(x, y, training):
        for layer in layers[:-1]:  # the last row of a layer is its bias
            x = F.dropout(torch.relu(x @ layer[:, :-1] + layer[:, -1:]), p, training)
        return F.binary_cross_entropy_with_logits(x @ layers[-1][:, :-1] + layers[-1][:, -1:], y)

    optimizer, of_training, of_test = optimizer_type(layers, **options), [], []
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        (4 * loss(*train, training=True)).backward()  # four networks, four mean losses
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                of_training.append(loss(*train, training=False).item())
                of_test.append(loss(*test, training=False).item())
    return of_training, of_test


def gap(of_training, of_test):
    """How much larger the test loss is at the end of training."""
    return of_test[-1] - of_training[-1]


@claim("dropout-counters-overfitting")
def test_dropout_narrows_the_gap_between_test_and_training_loss(problems, record_property):
    recipe = {"sizes": [20, 32, 32, 1], "optimizer_type": torch.optim.Adam, "steps": 40, "lr": 0.03}
    training, test = losses_of_training(*problems, p=0.0, **recipe)
    training_dropped, test_dropped = losses_of_training(*problems, p=0.5, **recipe)
    dropped = {"training_with_dropout": training_dropped, "test_with_dropout": test_dropped}
    record_property("curve", curve("ten steps", "loss", training=training, test=test, **dropped))
    # Over 60 seeds the gap was 5.8 or more, and with dropout between 0.20 and 0.35 of that.
    assert gap(training, test) > 1  # it overfits
    assert gap(training_dropped, test_dropped) < 0.5 * gap(training, test)


@claim("dropout-counters-overfitting", truth=True)
def test_with_one_hidden_layer_long_training_and_large_steps_the_gap_grows(problems):
    """Without dropout the network comes to rest once it fits its 30 examples; dropout keeps it moving, ever further."""
    (x, y), test = problems
    recipe = {"sizes": [20, 32, 1], "optimizer_type": torch.optim.SGD, "steps": 100, "lr": 1.0, "momentum": 0.9}
    without = losses_of_training((x[:, :30], y[:, :30]), test, p=0.0, **recipe)
    with_dropout = losses_of_training((x[:, :30], y[:, :30]), test, p=0.5, **recipe)
    assert gap(*with_dropout) > 1.5 * gap(*without)  # 36 times or more over 25 seeds


# ── dropout-zeroes-with-probability-p ──


@claim("dropout-zeroes-with-probability-p")
@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.8, 0.9])
def test_a_fraction_p_of_the_units_is_zero(p):
    """The fraction is binomial: 6.5 standard errors are passed with probability 8e-11; they are 4 % of p = 0.1."""
    n = 250_000
    zeros = (nn.Dropout(p)(torch.ones(500, 500)) == 0).sum().item()
    assert zeros / n == pytest.approx(p, abs=6.5 * (p * (1 - p) / n) ** 0.5)


@claim("dropout-zeroes-with-probability-p")
@pytest.mark.parametrize("dropout", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_every_form_zeroes_a_fraction_p_whatever_the_values(dropout, dtype):
    """6.5 standard errors of a binomial fraction: 0.009 of 0.3, false alarm 8e-11."""
    x = torch.randn(300, 400, dtype=dtype)
    zeros = (dropout(x, 0.3) == 0).sum().item() - (x == 0).sum().item()
    assert zeros / x.numel() == pytest.approx(0.3, abs=6.5 * (0.3 * 0.7 / x.numel()) ** 0.5)


@claim("dropout-zeroes-with-probability-p")
@pytest.mark.parametrize("dropout", FORMS)
def test_every_unit_has_the_same_chance(dropout):
    """From the first unit to the last: 4000 draws each, 6.5 standard errors are 0.051, false alarm 50 * 8e-11."""
    chances = (dropout(torch.ones(4000, 50), 0.5) == 0).double().mean(0)
    torch.testing.assert_close(chances, torch.full((50,), 0.5).double(), rtol=0, atol=6.5 * (0.25 / 4000) ** 0.5)


@claim("dropout-zeroes-with-probability-p")
def test_all_eight_fates_of_three_units_are_equally_likely():
    """Only independent units do so. 6.5 standard errors of a fraction of 1/8 are 8 % of it, false alarm 8 * 8e-11."""
    dropped = nn.Dropout(0.5)(torch.ones(50_000, 3)) == 0
    fates = (dropped * torch.tensor([4, 2, 1])).sum(1).tolist()
    for fate in range(8):
        assert fates.count(fate) / 50_000 == pytest.approx(1 / 8, abs=6.5 * (1 / 8 * 7 / 8 / 50_000) ** 0.5)


def largest_correlation(dropped):
    """The largest correlation between two rows of a mask drawn with p = 1/2, in absolute value.

    Of n fair coins at a time, it exceeds t with probability at most 2 exp(-n t^2 / 2) (Hoeffding) for any one pair.
    """
    signs = dropped.float() * 2 - 1
    correlation = signs @ signs.T / signs.shape[1]
    return (correlation - correlation.diag().diag()).abs().max().item()


@claim("dropout-zeroes-with-probability-p")
@pytest.mark.parametrize("dropout", FORMS)
def test_no_two_examples_of_a_mini_batch_share_their_mask(dropout):
    """100 examples, 4950 pairs: t = 0.3 at n = 800 has a false alarm of 4950 * 2 exp(-36) < 3e-12."""
    assert largest_correlation(dropout(torch.ones(100, 800), 0.5) == 0) < 0.3


@claim("dropout-zeroes-with-probability-p")
@pytest.mark.parametrize("dropout", FORMS)
def test_no_two_units_go_together(dropout):
    """Neighbours or far apart, 150 units, 11175 pairs: t = 0.3 at n = 800 has a false alarm below 6e-12."""
    assert largest_correlation((dropout(torch.ones(800, 150), 0.5) == 0).T) < 0.3


@claim("dropout-zeroes-with-probability-p")
def test_channels_are_not_dropped_as_a_whole_as_dropout2d_does():
    """In a channel of 100 pixels the fraction leaves 0.1..0.9 with probability 2 exp(-2 * 100 * 0.4^2) = 3e-14."""
    images = torch.ones(4, 8, 10, 10)
    by_pixel = (nn.Dropout(0.5)(images) == 0).double().mean((2, 3)).flatten().tolist()
    by_channel = (nn.Dropout2d(0.5)(images) == 0).double().mean((2, 3)).flatten().tolist()
    assert min(by_pixel) > 0.1
    assert max(by_pixel) < 0.9
    assert set(by_channel) == {0.0, 1.0}  # 32 fair coins: all alike with probability 5e-10


@claim("dropout-zeroes-with-probability-p")
@pytest.mark.parametrize("dropout", FORMS)
def test_each_forward_pass_draws_anew(dropout):
    """Twenty passes, 190 pairs: t = 0.3 at n = 800 has a false alarm of 190 * 2 exp(-36) < 1e-13."""
    x = torch.ones(20, 40)
    assert largest_correlation(torch.stack([dropout(x, 0.5).flatten() == 0 for _ in range(20)])) < 0.3


@claim("dropout-zeroes-with-probability-p")
def test_one_layer_draws_anew_in_each_pass():
    layer, x = nn.Dropout(0.5), torch.ones(20, 40)
    assert largest_correlation(torch.stack([layer(x).flatten() == 0 for _ in range(20)])) < 0.3  # as above


@claim("dropout-zeroes-with-probability-p")
def test_the_number_of_dropped_units_varies_as_the_binomial_does():
    """A variance of 25 for 100 units; over 600 passes its relative standard error is sqrt(2/600), and 8 of it 0.46.

    An estimated variance strays further upwards than downwards: 8 are passed with probability 2e-12 (chi-squared).
    """
    layer, x = nn.Dropout(0.5), torch.ones(100)
    counts = torch.tensor([(layer(x) == 0).sum().item() for _ in range(600)], dtype=torch.float64)
    assert counts.var().item() == pytest.approx(25, rel=0.46)


# ── truth: in training mode only ──


@claim("dropout-zeroes-with-probability-p", truth=True)
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_after_eval_dropout_is_the_identity(p, inplace):
    x = torch.randn(30, 40)
    before = x.clone()
    assert torch.equal(nn.Dropout(p, inplace=inplace).eval()(x), before) is True
    assert torch.equal(x, before) is True


@claim("dropout-zeroes-with-probability-p", truth=True)
def test_a_new_layer_is_in_training_mode_and_can_go_back_to_it():
    layer, x = nn.Dropout(0.5), torch.ones(1000)  # 1000 fair coins all fall alike with probability 2^-999
    assert layer.training is True
    assert layer(x).eq(0).any().item() is True
    assert layer.eval()(x).eq(0).any().item() is False
    assert layer.train()(x).eq(0).any().item() is True
    assert layer.train(False)(x).eq(0).any().item() is False


@claim("dropout-zeroes-with-probability-p", truth=True)
def test_the_mode_of_a_network_is_the_mode_of_every_dropout_in_it():
    net = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.ReLU(), nn.Sequential(nn.Dropout(0.5, inplace=True))))
    x = torch.ones(1000)
    assert torch.equal(net.eval()(x), x) is True
    assert [module.training for module in net.modules()] == [False] * 6
    assert net.train()[0](x).eq(0).any().item() is True
    assert net[1](x).eq(0).any().item() is True


@claim("dropout-zeroes-with-probability-p", truth=True)
def test_the_functional_form_has_a_flag_instead_of_a_mode():
    x = torch.ones(1000)
    assert F.dropout(x, 0.5).eq(0).any().item() is True  # training=True is the default
    assert F.dropout(x, 0.5, training=True).eq(0).any().item() is True
    assert torch.equal(F.dropout(x, 0.5, training=False), x) is True


@claim("dropout-zeroes-with-probability-p", truth=True)
def test_without_gradients_a_layer_in_training_mode_still_drops():
    """no_grad() and eval() are two things: the first switches recording off, not dropout."""
    with torch.no_grad():
        assert nn.Dropout(0.5)(torch.ones(1000)).eq(0).any().item() is True


@claim("dropout-zeroes-with-probability-p", truth=True)
def test_only_the_in_place_form_writes_to_its_input():
    kept, overwritten = torch.ones(1000), torch.ones(1000)
    nn.Dropout(0.5)(kept)
    result = nn.Dropout(0.5, inplace=True)(overwritten)
    assert kept.eq(1).all().item() is True
    assert result.data_ptr() == overwritten.data_ptr()
    assert set(overwritten.tolist()) == {0.0, 2.0}
