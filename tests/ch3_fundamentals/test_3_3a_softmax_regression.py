"""3.3 Softmax regression: from scores to classes

Linear regression predicts a number. Softmax regression predicts a class: it computes one score per class, called a
*logit*, each a linear combination of the input's features. The softmax function then turns the logits of a sample into
a probability distribution over the classes, and the class with the largest probability is the prediction. Training
makes the probability of the true class large; how that is measured is the subject of the second half of the section.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

# Wide enough to be interesting, narrow enough that no probability rounds to zero.
finite_logits = st.lists(st.floats(-20, 20), min_size=1, max_size=6)


def fit(features, labels, classes, steps=100, rate=0.5):
    """Softmax regression by full-batch gradient descent, from parameters of zero."""
    weight = torch.zeros(features.shape[1], classes, dtype=features.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=features.dtype, requires_grad=True)
    for _ in range(steps):
        loss = F.cross_entropy(features @ weight + bias, labels)
        for_weight, for_bias = torch.autograd.grad(loss, [weight, bias])
        with torch.no_grad():
            weight -= rate * for_weight
            bias -= rate * for_bias
    return weight.detach(), bias.detach()


# ── softmax-suits-discrete-targets ──


@claim("softmax-suits-discrete-targets")
def test_the_predicted_class_is_the_index_of_the_largest_probability():
    logits = torch.tensor([[0.5, 2.5, -1.0, 1.0], [3.0, 1.0, 0.0, -2.0], [-4.0, -2.0, -3.0, -1.0]])
    predictions = torch.softmax(logits, dim=1).argmax(dim=1)
    assert predictions.dtype == torch.int64
    assert predictions.tolist() == [1, 0, 3]


@claim("softmax-suits-discrete-targets")
def test_training_separates_three_clusters_of_points():
    labels = torch.arange(3).repeat(200)
    corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    points = corners[labels] + 0.5 * torch.randn(600, 2, dtype=torch.float64)
    weight, bias = fit(points[:300], labels[:300], classes=3)
    predictions = (points[300:] @ weight + bias).argmax(dim=1)
    # Over 200 seeds a run made 0.085 errors in 300 on average, and 2 at most. Were it ten times as many, more than 15
    # would still have a (Poisson) probability under 1e-14.
    assert (predictions == labels[300:]).double().mean().item() >= 0.95


@claim("softmax-suits-discrete-targets")
def test_training_tells_small_images_apart():
    """The class of a 5x4 image is the number of its bright row."""
    labels = torch.arange(5).repeat(80)
    images = 0.3 * torch.randn(400, 5, 4, dtype=torch.float64)
    images[torch.arange(400), labels] += 1
    weight, bias = fit(images[:200].flatten(start_dim=1), labels[:200], classes=5)
    predictions = (images[200:].flatten(start_dim=1) @ weight + bias).argmax(dim=1)
    # Bright and dark rows are 1 / 0.3 = 3.3 standard deviations apart in each of four pixels; 200 seeds saw no error.
    assert (predictions == labels[200:]).double().mean().item() >= 0.95


@claim("softmax-suits-discrete-targets")
def test_labels_that_are_unrelated_to_the_points_cannot_be_predicted():
    labels = torch.arange(3).repeat(400)
    points = torch.randn(1200, 2, dtype=torch.float64)
    weight, bias = fit(points[:600], labels[:600], classes=3)
    predictions = (points[600:] @ weight + bias).argmax(dim=1)
    # Each of the 600 guesses is right with probability 1/3. Hoeffding: above one half with probability at most
    # exp(-2 * 600 / 6 ** 2) = 3e-15.
    assert (predictions == labels[600:]).double().mean().item() < 0.5


# ── softmax-gives-a-distribution ──


@claim("softmax-gives-a-distribution")
def test_softmax_divides_the_exponentials_by_their_sum():
    logits = torch.tensor([math.log(1), math.log(2), math.log(5)], dtype=torch.float64)
    expected = torch.tensor([1 / 8, 2 / 8, 5 / 8], dtype=torch.float64)
    torch.testing.assert_close(torch.softmax(logits, dim=0), expected)


@claim("softmax-gives-a-distribution")
@given(finite_logits)
def test_softmax_equals_its_definition_for_any_logits(logits):
    exponentials = np.exp(logits)
    expected = torch.tensor(exponentials / exponentials.sum())
    torch.testing.assert_close(torch.softmax(torch.tensor(logits, dtype=torch.float64), dim=0), expected)


@claim("softmax-gives-a-distribution")
@given(finite_logits)
def test_probabilities_are_positive_and_sum_to_one(logits):
    probabilities = torch.softmax(torch.tensor(logits, dtype=torch.float64), dim=0).tolist()
    assert min(probabilities) > 0
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-14)  # a few roundings of 1e-16 each


@claim("softmax-gives-a-distribution")
def test_a_tiny_probability_is_as_precise_as_a_large_one():
    """Nothing is rounded to zero: the relative error stays at a few roundings."""
    probabilities = torch.softmax(torch.tensor([-600.0, 0.0, -30.0], dtype=torch.float64), dim=0).tolist()
    assert probabilities == pytest.approx([math.exp(-600), 1, math.exp(-30)], rel=1e-12, abs=0)


@claim("softmax-gives-a-distribution")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_sample_gets_its_own_distribution(dtype):
    logits = torch.tensor([[1.0, 3.0, 9.0], [4.0, 4.0, 8.0], [2.0, 6.0, 2.0]], dtype=dtype).log()
    by_row = torch.tensor([[1 / 13, 3 / 13, 9 / 13], [4 / 16, 4 / 16, 8 / 16], [2 / 10, 6 / 10, 2 / 10]], dtype=dtype)
    by_column = torch.tensor([[1 / 7, 3 / 13, 9 / 19], [4 / 7, 4 / 13, 8 / 19], [2 / 7, 6 / 13, 2 / 19]], dtype=dtype)
    torch.testing.assert_close(torch.softmax(logits, dim=1), by_row)
    torch.testing.assert_close(nn.Softmax(dim=1)(logits), by_row)
    torch.testing.assert_close(logits.softmax(dim=0), by_column)


@claim("softmax-gives-a-distribution")
def test_raw_outputs_are_no_distribution():
    """Two samples whose logits look alike, and whose probabilities say how much they differ."""
    outputs = torch.tensor([[0.1, 10.0, 0.1], [1000.0, 10.0, 999.0]], dtype=torch.float64)
    assert outputs.sum(dim=1).tolist() == pytest.approx([10.2, 2009.0])
    probabilities = torch.softmax(outputs, dim=1)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, dtype=torch.float64))
    assert probabilities[0, 1].item() == pytest.approx(1 / (1 + 2 * math.exp(-9.9)))
    assert probabilities[1, 1].item() == pytest.approx(0, abs=1e-300)  # exp(-990) is 1e-430


@claim("softmax-gives-a-distribution")
@given(st.permutations([-3.0, -1.5, 0.0, 0.25, 7.0]))
def test_softmax_keeps_the_order_and_so_the_largest(logits):
    probabilities = torch.softmax(torch.tensor(logits, dtype=torch.float64), dim=0)
    assert probabilities.argsort().tolist() == np.argsort(logits).tolist()
    assert probabilities.argmax().item() == logits.index(7.0)


@claim("softmax-gives-a-distribution")
@pytest.mark.parametrize("shift", [-1000.0, 0.5, 1000.0])
def test_a_constant_added_to_every_logit_changes_nothing(shift):
    """Not even where the exponentials themselves would overflow or vanish."""
    logits = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    weights = [1, math.e, math.e**3]
    expected = torch.tensor([w / sum(weights) for w in weights], dtype=torch.float64)
    torch.testing.assert_close(torch.softmax(logits + shift, dim=0), expected)


@claim("softmax-gives-a-distribution")
def test_a_factor_on_every_logit_sharpens_the_distribution():
    """The control for the shift: softmax does not ignore every change that keeps the order."""
    logits = torch.tensor([0.0, math.log(3)], dtype=torch.float64)
    torch.testing.assert_close(torch.softmax(logits, dim=0), torch.tensor([1 / 4, 3 / 4], dtype=torch.float64))
    torch.testing.assert_close(torch.softmax(2 * logits, dim=0), torch.tensor([1 / 10, 9 / 10], dtype=torch.float64))


# ── softmax-outputs-equal-classes ──


@claim("softmax-outputs-equal-classes")
def test_each_output_is_a_weighted_sum_of_the_features_plus_a_bias():
    net = nn.Linear(4, 3)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, -1.0, 0.0, 1.0], [5.0, 0.0, 0.0, 0.0]]))
        net.bias.copy_(torch.tensor([10.0, 20.0, 30.0]))
    outputs = net(torch.tensor([[1.0, 1.0, 2.0, 3.0], [0.0, 4.0, 0.0, 0.0]]))
    assert outputs.tolist() == [[1 + 2 + 6 + 12 + 10, -1 + 3 + 20, 5 + 30], [8 + 10, -4 + 20, 30]]
    assert net(torch.tensor([0.0, 4.0, 0.0, 0.0])).tolist() == [8 + 10, -4 + 20, 30]


@claim("softmax-outputs-equal-classes")
@pytest.mark.parametrize(("features", "classes"), [(4, 3), (2, 2), (784, 10)])
def test_there_is_one_output_per_class(features, classes):
    net = nn.Linear(features, classes)
    assert net.weight.shape == (classes, features)
    assert net.bias.shape == (classes,)
    assert net(torch.zeros(7, features)).shape == (7, classes)
    assert net(torch.zeros(features)).shape == (classes,)


@claim("softmax-outputs-equal-classes")
def test_the_class_of_every_output_can_be_the_label():
    """Equal logits give each of three classes the probability 1/3."""
    logits = torch.tensor([[0.0, 0.0, 0.0]], dtype=torch.float64)
    losses = [F.cross_entropy(logits, torch.tensor([label])).item() for label in range(3)]
    assert losses == pytest.approx([math.log(3)] * 3)


@claim("softmax-outputs-equal-classes")
@pytest.mark.cpu  # an accelerator reports a bad label late and may leave the process unusable
def test_a_label_without_an_output_is_refused():
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 3]))
