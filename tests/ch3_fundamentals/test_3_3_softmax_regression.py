"""3.3 Softmax regression

Linear regression predicts a number; softmax regression predicts a class. It computes one score per class, called a
*logit*, each a weighted sum of the features, and softmax turns the logits of a sample into a probability distribution
over the classes: the most probable class is the prediction. How wrong it is, the *cross entropy* measures,
$H(y, p) = -\\sum_j y_j \\log p_j$. A class label puts all of $y$ on one class, so that of the sum only minus the
logarithm of the true class's probability remains; the training loss is the mean over the samples. PyTorch computes it
from the logits, in one go: apart, the exponential and the logarithm would lose what a tiny probability had to say.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim


@claim("softmax-suits-discrete-targets")
def test_the_prediction_is_a_class_the_index_of_the_largest_score():
    scores = torch.tensor([[0.5, 2.5, -1.0, 1.0], [3.0, 1.0, 0.0, -2.0], [-4.0, -2.0, -3.0, -1.0]])
    names = ["shirt", "coat", "bag", "boot"]

    classes = scores.argmax(dim=1)

    assert classes.dtype == torch.int64
    assert [names[index] for index in classes.tolist()] == ["coat", "shirt", "boot"]


@claim("softmax-gives-a-distribution")
def test_exponentials_divided_by_their_sum():
    logits = torch.tensor([math.log(5), math.log(1), math.log(2)])

    probabilities = torch.softmax(logits, dim=0).tolist()

    assert probabilities == pytest.approx([5 / 8, 1 / 8, 2 / 8])
    assert sum(probabilities) == pytest.approx(1)


@claim("softmax-gives-a-distribution", truth=True)
def test_a_probability_too_small_for_its_dtype_is_zero_and_nan_spreads():
    assert torch.softmax(torch.tensor([0.0, 200.0]), dim=0).tolist() == [0.0, 1.0]  # exp(-200) = 1e-87
    assert torch.softmax(torch.tensor([0.0, 2.0**-40]), dim=0).tolist() == [0.5, 0.5]  # one share, two logits
    assert sum(torch.softmax(torch.zeros(3), dim=0).tolist()) != 1  # three thirds, each of them rounded
    assert torch.softmax(torch.tensor([1.0, -math.inf, 1.0]), dim=0).tolist() == [0.5, 0.0, 0.5]

    for logit in (math.nan, math.inf):
        assert torch.softmax(torch.tensor([1.0, logit]), dim=0).isnan().tolist() == [True, True]
    assert torch.softmax(torch.tensor([-math.inf, -math.inf]), dim=0).isnan().tolist() == [True, True]


@claim("softmax-outputs-equal-classes")
def test_each_of_three_classes_has_a_weighted_sum_of_four_features():
    net = nn.Linear(4, 3)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, -1.0, 0.0, 1.0], [5.0, 0.0, 0.0, 0.0]]))
        net.bias.copy_(torch.tensor([10.0, 20.0, 30.0]))

    scores = net(torch.tensor([[1.0, 1.0, 2.0, 3.0], [0.0, 4.0, 0.0, 0.0]]))

    assert scores.tolist() == [[1 + 2 + 6 + 12 + 10, -1 + 3 + 20, 5 + 30], [8 + 10, -4 + 20, 30]]


@claim("cross-entropy-only-sees-the-true-class")
def test_only_the_true_class_s_probability_counts():
    one = torch.tensor([[0.5, 0.3, 0.2]]).log()
    other = torch.tensor([[0.5, 0.1, 0.4]]).log()  # the wrong classes share the other half in another way
    label = torch.tensor([0])

    assert F.cross_entropy(one, label).item() == pytest.approx(math.log(2))  # -log 0.5
    assert F.cross_entropy(other, label).item() == pytest.approx(math.log(2))


@claim("cross-entropy-only-sees-the-true-class", truth=True)
def test_where_the_target_is_mixed_every_class_counts():
    one = torch.tensor([[0.5, 0.25, 0.25]]).log()
    other = torch.tensor([[0.5, 0.125, 0.375]]).log()

    mixed = torch.tensor([[0.8, 0.1, 0.1]])  # what smoothing by 0.3 makes of class 0: a tenth for each class
    for target, smoothing in ((mixed, 0.0), (torch.tensor([0]), 0.3)):
        losses = [F.cross_entropy(logits, target, label_smoothing=smoothing).item() for logits in (one, other)]
        assert losses[0] == pytest.approx(0.8 * math.log(2) + 0.2 * math.log(4))
        assert losses[1] == pytest.approx(0.8 * math.log(2) + 0.1 * math.log(8) + 0.1 * math.log(8 / 3))

    one_hot = torch.tensor([[1.0, 0.0, 0.0]])
    assert F.cross_entropy(one, one_hot).item() == pytest.approx(math.log(2))


@claim("large-true-probability-ensures-correctness")
def test_more_than_one_half_is_always_the_largest():
    probabilities = torch.tensor([[0.45, 0.51, 0.04], [0.5, 0.1, 0.4], [0.35, 0.4, 0.25]])
    label = torch.tensor([1, 1, 1])

    right = [found == 1 for found in probabilities.argmax(dim=1).tolist()]

    assert right == [True, False, True]  # 0.51 must be right; below one half it goes both ways
    losses = F.cross_entropy(probabilities.log(), label, reduction="none")
    assert (losses < math.log(2)).tolist() == [True, False, False]  # the same, as a loss


@claim("cross-entropy-loss-is-the-mean")
def test_three_samples_cost_their_mean():
    # the true classes have the probabilities 1/2, 1/4 and 1/8
    logits = torch.tensor([[4 / 8, 3 / 8, 1 / 8], [5 / 8, 2 / 8, 1 / 8], [4 / 8, 3 / 8, 1 / 8]]).log()
    labels = torch.tensor([0, 1, 2])

    assert nn.CrossEntropyLoss()(logits, labels).item() == pytest.approx((1 + 2 + 3) / 3 * math.log(2))


@claim("cross-entropy-loss-is-the-mean", truth=True)
def test_class_weights_weigh_the_mean_and_minus_100_is_no_sample():
    logits = torch.tensor([[0.5, 0.5], [0.75, 0.25]]).log()  # costs log 2 and 2 log 2 for the labels 0 and 1
    labels = torch.tensor([0, 1])

    weighted = nn.CrossEntropyLoss(weight=torch.tensor([3.0, 1.0]))(logits, labels)
    given = nn.CrossEntropyLoss(weight=torch.tensor([3.0, 1.0]))(logits, torch.eye(2))  # the labels as probabilities
    first = nn.CrossEntropyLoss()(logits, torch.tensor([0, -100]))
    nothing = nn.CrossEntropyLoss()(logits[:0], labels[:0])

    assert weighted.item() == pytest.approx((3 * 1 + 1 * 2) / (3 + 1) * math.log(2))
    assert given.item() == pytest.approx((3 * 1 + 1 * 2) / 2 * math.log(2))  # over the number of samples
    assert first.item() == pytest.approx(math.log(2))
    assert math.isnan(nothing.item())
    assert nn.CrossEntropyLoss(reduction="sum")(logits, labels).item() == pytest.approx(3 * math.log(2))


@claim("log-probability-is-logit-up-to-a-factor")
def test_one_coefficient_makes_log_probabilities_of_logits():
    """Mistaken: the quotients differ from class to class; what is the same for all is the difference."""
    logits = torch.tensor([1.0, 2.0, 4.0])
    log_probabilities = torch.softmax(logits, dim=0).log()

    quotients = (log_probabilities / logits).tolist()

    assert quotients == pytest.approx([quotients[0]] * 3)


@claim("log-probability-is-logit-up-to-a-factor", truth=True)
def test_a_log_probability_is_the_logit_minus_one_number_a_sample():
    logits = torch.tensor([[1.0, 2.0, 5.0], [12.0, 4.0, 4.0]]).log()  # the exponentials add up to 8 and to 20

    below = logits - torch.log_softmax(logits, dim=1)

    assert below[0].tolist() == pytest.approx([math.log(8)] * 3)
    assert below[1].tolist() == pytest.approx([math.log(20)] * 3)
    assert torch.logsumexp(logits, dim=1).tolist() == pytest.approx([math.log(8), math.log(20)])


@claim("cross-entropy-works-on-logits")
def test_what_it_is_given_need_be_no_probabilities():
    logits = torch.tensor([[1.0, 2.0, 5.0]]).log()  # exponentials that add up to 8
    label = torch.tensor([2])
    assert F.cross_entropy(logits, label).item() == pytest.approx(math.log(8 / 5))

    probabilities = torch.tensor([[0.0, 1.0]])  # certain and right, but taken for logits
    assert F.cross_entropy(probabilities, torch.tensor([1])).item() == pytest.approx(math.log(1 + math.exp(-1)))

    far = torch.tensor([[0.0, 200.0]])  # softmax gives 0 and 1, and log 0 is infinite
    assert F.cross_entropy(far, torch.tensor([0])).item() == 200
