"""3.3 Softmax regression: the cross entropy

The cross entropy between a target distribution and a predicted one is $H(y, p) = -\\sum_j y_j \\log p_j$. A class label
is the *one-hot* distribution that gives its class probability one, so of the sum only the negative logarithm of the
true class's predicted probability remains. The training loss is the mean over the samples. PyTorch computes it from
the logits, not from the probabilities: the logarithm and softmax's exponential belong together, and apart they would
lose what a probability close to zero had to say.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim


def logits_of(*probabilities):
    """A batch of one sample; softmax of the logarithms of a distribution is that distribution."""
    return torch.tensor([[math.log(p) for p in probabilities]], dtype=torch.float64)


# ── cross-entropy-only-sees-the-true-class ──


@claim("cross-entropy-only-sees-the-true-class")
@pytest.mark.parametrize("others", [(0.3, 0.2), (0.1, 0.4), (0.499, 0.001)])
def test_moving_probability_among_wrong_classes_changes_nothing(others):
    one, other = others
    for true_class, logits in enumerate([logits_of(0.5, one, other), logits_of(one, 0.5, other)]):
        assert F.cross_entropy(logits, torch.tensor([true_class])).item() == pytest.approx(math.log(2))


@claim("cross-entropy-only-sees-the-true-class")
def test_the_loss_falls_as_the_true_probability_rises():
    batch = torch.cat([logits_of(0.4, 0.1, 0.5), logits_of(0.25, 0.25, 0.5), logits_of(0.15, 0.8, 0.05)])
    losses = F.cross_entropy(batch, torch.tensor([1, 1, 1]), reduction="none")
    assert losses.tolist() == pytest.approx([math.log(10), math.log(4), math.log(1.25)])


@claim("cross-entropy-only-sees-the-true-class")
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=6), st.data())
def test_the_loss_is_minus_the_log_of_the_true_probability(logits, data):
    true_class = data.draw(st.integers(0, len(logits) - 1))
    probability = math.exp(logits[true_class]) / math.fsum(map(math.exp, logits))
    loss = F.cross_entropy(torch.tensor([logits], dtype=torch.float64), torch.tensor([true_class]))
    # float64 rounds at 1e-16, and next to a probability of 1 the loss keeps that as an absolute error.
    assert loss.item() == pytest.approx(-math.log(probability), rel=1e-9, abs=1e-9)


@claim("cross-entropy-only-sees-the-true-class")
def test_the_gradient_reaches_only_the_true_class_s_probability():
    probabilities = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64, requires_grad=True)
    F.nll_loss(probabilities.log(), torch.tensor([2])).backward()
    torch.testing.assert_close(probabilities.grad, torch.tensor([[0, 0, -1 / 0.3]], dtype=torch.float64))


@claim("cross-entropy-only-sees-the-true-class", truth=True)
def test_a_one_hot_target_selects_the_true_class():
    one_hot = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    for others in [(0.7, 0.1), (0.3, 0.5)]:
        loss = F.cross_entropy(logits_of(others[0], 0.2, others[1]), one_hot)
        assert loss.item() == pytest.approx(math.log(5))


@claim("cross-entropy-only-sees-the-true-class", truth=True)
def test_with_probability_targets_every_class_counts():
    target = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64)
    before = F.cross_entropy(logits_of(0.5, 0.25, 0.25), target)
    after = F.cross_entropy(logits_of(0.5, 0.125, 0.375), target)
    assert before.item() == pytest.approx(0.6 * math.log(2) + 0.4 * math.log(4))
    assert after.item() == pytest.approx(0.6 * math.log(2) + 0.3 * math.log(8) + 0.1 * math.log(8 / 3))


@claim("cross-entropy-only-sees-the-true-class", truth=True)
def test_with_label_smoothing_every_class_counts():
    """Smoothing by 0.3 over three classes moves 0.1 to each: the target becomes 0.8, 0.1, 0.1."""
    before = F.cross_entropy(logits_of(0.5, 0.25, 0.25), torch.tensor([0]), label_smoothing=0.3)
    after = F.cross_entropy(logits_of(0.5, 0.125, 0.375), torch.tensor([0]), label_smoothing=0.3)
    assert before.item() == pytest.approx(0.8 * math.log(2) + 0.2 * math.log(4))
    assert after.item() == pytest.approx(0.8 * math.log(2) + 0.1 * math.log(8) + 0.1 * math.log(8 / 3))


# ── large-true-probability-ensures-correctness ──


@claim("large-true-probability-ensures-correctness")
@given(st.floats(0.501, 0.999), st.lists(st.floats(0.01, 1), min_size=1, max_size=5), st.integers(0, 5))
@example(0.501, [0.1, 0.2, 0.3, 0.4, 0.5], 2)
def test_a_true_probability_above_one_half_is_always_the_largest(probability, others, place):
    distribution = [(1 - probability) * share / math.fsum(others) for share in others]
    true_class = min(place, len(others))
    distribution.insert(true_class, probability)
    assert torch.softmax(logits_of(*distribution), dim=1).argmax(dim=1).tolist() == [true_class]


@claim("large-true-probability-ensures-correctness")
@pytest.mark.parametrize(("distribution", "correct"), [((0.35, 0.4, 0.25), True), ((0.55, 0.4, 0.05), False)])
def test_below_one_half_the_classification_goes_both_ways(distribution, correct):
    """Class 1 is true and has probability 0.4 both times: it wins against 0.35 and loses against 0.55."""
    prediction = torch.softmax(logits_of(*distribution), dim=1).argmax(dim=1).item()
    assert (prediction == 1) is correct


@claim("large-true-probability-ensures-correctness")
def test_a_loss_below_log_two_means_a_correct_classification():
    logits = torch.cat([logits_of(0.45, 0.51, 0.04), logits_of(0.5, 0.01, 0.49), logits_of(0.15, 0.25, 0.6)])
    labels = torch.tensor([1, 2, 2])
    losses = F.cross_entropy(logits, labels, reduction="none")
    assert (losses < math.log(2)).tolist() == [True, False, True]
    assert (logits.argmax(dim=1) == labels).tolist() == [True, False, True]


# ── cross-entropy-loss-is-the-mean ──


@claim("cross-entropy-loss-is-the-mean")
@pytest.mark.parametrize(("reduction", "expected"), [("none", [1, 2, 3]), ("sum", 6), ("mean", 2)])
def test_the_default_is_the_mean_over_the_samples(reduction, expected):
    """True probabilities of 1/2, 1/4 and 1/8 cost one, two and three times log 2."""
    logits = torch.cat([logits_of(1 / 2, 1 / 4, 1 / 4), logits_of(1 / 4, 1 / 8, 5 / 8), logits_of(3 / 4, 1 / 8, 1 / 8)])
    labels = torch.tensor([0, 0, 1])
    loss = nn.CrossEntropyLoss(reduction=reduction)(logits, labels)
    torch.testing.assert_close(loss, math.log(2) * torch.tensor(expected, dtype=torch.float64))
    assert nn.CrossEntropyLoss()(logits, labels).item() == pytest.approx(2 * math.log(2))


@claim("cross-entropy-loss-is-the-mean")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("samples", [1, 5, 64])
def test_the_loss_follows_the_definition_for_indices_and_for_one_hot_targets(samples, dtype):
    logits = torch.randn(samples, 7, dtype=dtype)
    labels = torch.randint(7, (samples,))
    one_hot = np.eye(7)[labels.tolist()]
    exponentials = np.exp(np.array(logits.tolist()))
    predicted = exponentials / exponentials.sum(axis=1, keepdims=True)
    expected = torch.tensor(-(one_hot * np.log(predicted)).sum() / samples, dtype=dtype)
    torch.testing.assert_close(nn.CrossEntropyLoss()(logits, labels), expected)
    torch.testing.assert_close(nn.CrossEntropyLoss()(logits, torch.tensor(one_hot, dtype=dtype)), expected)


@claim("cross-entropy-loss-is-the-mean")
def test_a_batch_seen_twice_costs_as_much_as_once():
    logits = torch.cat([logits_of(0.7, 0.3), logits_of(0.4, 0.6), logits_of(0.9, 0.1)])
    labels = torch.tensor([0, 0, 1])
    expected = -(math.log(0.7) + math.log(0.4) + math.log(0.1)) / 3
    assert F.cross_entropy(logits, labels).item() == pytest.approx(expected)
    assert F.cross_entropy(logits.repeat(2, 1), labels.repeat(2)).item() == pytest.approx(expected)


@claim("cross-entropy-loss-is-the-mean")
def test_a_sample_seen_three_times_counts_three_times():
    logits = torch.cat([logits_of(0.7, 0.3), logits_of(0.4, 0.6)])[[0, 1, 0, 0]]
    expected = -(3 * math.log(0.7) + math.log(0.6)) / 4
    assert F.cross_entropy(logits, torch.tensor([0, 1, 0, 0])).item() == pytest.approx(expected)


@claim("cross-entropy-loss-is-the-mean")
def test_the_gradient_is_prediction_minus_target_over_the_number_of_samples():
    logits = torch.cat([logits_of(0.2, 0.3, 0.5), logits_of(0.6, 0.3, 0.1)]).requires_grad_()
    F.cross_entropy(logits, torch.tensor([2, 1])).backward()
    expected = torch.tensor([[0.2, 0.3, -0.5], [0.6, -0.7, 0.1]], dtype=torch.float64) / 2
    torch.testing.assert_close(logits.grad, expected)


# ── log-probability-is-logit-up-to-a-factor ──


@claim("log-probability-is-logit-up-to-a-factor")
def test_one_coefficient_turns_the_logits_into_log_probabilities():
    logits = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    coefficients = torch.softmax(logits, dim=0).log() / logits
    torch.testing.assert_close(coefficients, coefficients[0].expand(3))


@claim("log-probability-is-logit-up-to-a-factor", truth=True)
def test_the_log_probability_is_the_logit_minus_one_term_per_sample():
    """The exponentials of the first sample sum to 8, those of the second to 20."""
    logits = torch.tensor([[1.0, 2.0, 5.0], [12.0, 4.0, 4.0]], dtype=torch.float64).log()
    log_probabilities = torch.log_softmax(logits, dim=1)
    expected = torch.tensor([[math.log(8)] * 3, [math.log(20)] * 3], dtype=torch.float64)
    torch.testing.assert_close(logits - log_probabilities, expected)
    torch.testing.assert_close(torch.logsumexp(logits, dim=1), expected[:, 0])


@claim("log-probability-is-logit-up-to-a-factor", truth=True)
@given(st.lists(st.floats(-500, 500), min_size=2, max_size=6))
def test_log_probabilities_differ_as_their_logits_do(logits):
    log_probabilities = torch.log_softmax(torch.tensor(logits, dtype=torch.float64), dim=0)
    expected = torch.tensor(logits, dtype=torch.float64)
    # Differences of numbers below 1000, each rounded at 1e-13.
    torch.testing.assert_close(log_probabilities.diff(), expected.diff(), rtol=0, atol=1e-12)


@claim("log-probability-is-logit-up-to-a-factor", truth=True)
def test_the_term_is_zero_where_the_logits_are_log_probabilities_already():
    logits = logits_of(0.2, 0.3, 0.5)
    torch.testing.assert_close(torch.log_softmax(logits, dim=1), logits)


# ── cross-entropy-works-on-logits ──


@claim("cross-entropy-works-on-logits")
def test_cross_entropy_takes_logits_that_are_no_probabilities():
    logits = torch.tensor([[1.0, 2.0, 5.0], [12.0, 4.0, 4.0]], dtype=torch.float64).log()
    labels = torch.tensor([2, 1])
    expected = torch.tensor([math.log(8 / 5), math.log(20 / 4)], dtype=torch.float64)
    torch.testing.assert_close(nn.CrossEntropyLoss(reduction="none")(logits, labels), expected)
    assert logits.exp().sum(dim=1).tolist() == pytest.approx([8, 20])  # it leaves its input as it was
    torch.testing.assert_close(nn.NLLLoss(reduction="none")(torch.log_softmax(logits, dim=1), labels), expected)


@claim("cross-entropy-works-on-logits")
def test_probabilities_in_place_of_logits_give_another_loss():
    """A common slip: softmax is then applied twice, and the loss of a certain and correct prediction is not zero."""
    certain = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert F.cross_entropy(certain, torch.tensor([0])).item() == pytest.approx(math.log(1 + math.exp(-1)))


@claim("cross-entropy-works-on-logits")
@pytest.mark.parametrize(("dtype", "gap"), [(torch.float32, 200.0), (torch.float64, 1000.0)])
def test_the_loss_stays_finite_where_the_probability_underflows(dtype, gap):
    logits = torch.tensor([[0.0, gap]], dtype=dtype)
    assert torch.softmax(logits, dim=1).log()[0, 0].item() == -math.inf
    assert F.cross_entropy(logits, torch.tensor([0])).item() == gap
    assert torch.log_softmax(logits, dim=1).tolist() == [[-gap, 0.0]]


@claim("cross-entropy-works-on-logits")
def test_the_gradient_stays_finite_where_the_probability_underflows():
    logits = torch.tensor([[0.0, 200.0]], requires_grad=True)
    (direct,) = torch.autograd.grad(F.cross_entropy(logits, torch.tensor([0])), logits)
    (by_way_of_probabilities,) = torch.autograd.grad(-torch.softmax(logits, dim=1)[0, 0].log(), logits)
    assert direct.tolist() == [[-1.0, 1.0]]
    assert by_way_of_probabilities.isfinite().any().item() is False


@claim("cross-entropy-works-on-logits")
def test_the_loss_ignores_a_constant_added_to_the_logits():
    logits = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    expected = math.log(1 + math.e + math.e**3) - 1
    for shift in (0.0, 1000.0, -1000.0):
        assert F.cross_entropy(logits + shift, torch.tensor([1])).item() == pytest.approx(expected)
