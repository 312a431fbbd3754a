"""3.3 Cross-entropy: on logits, or in steps

`cross_entropy` takes logits and computes the logarithm of the softmax in one go. Written out, softmax and logarithm
each write a whole table, and the second one needs what the first has rounded.
"""

import pytest
import torch
from torch.nn import functional as F


@pytest.mark.comparison(size="examples of ten classes", claims=["cross-entropy-works-on-logits"])
@pytest.mark.parametrize("way", ["cross_entropy", "nll_loss of log_softmax", "log of softmax"])
@pytest.mark.parametrize("size", [10, 100, 1000, 10_000, 100_000])
def test_cross_entropy(size, way, measure):
    logits, labels = torch.randn(size, 10), torch.arange(size) % 10
    ways = {
        "cross_entropy": lambda: F.cross_entropy(logits, labels),
        "nll_loss of log_softmax": lambda: F.nll_loss(F.log_softmax(logits, dim=1), labels),
        "log of softmax": lambda: -logits.softmax(dim=1).log().gather(1, labels.view(-1, 1)).mean(),
    }
    loss = measure(ways[way])
    exponentials = logits.cpu().double().exp().numpy()
    of_the_label = exponentials[range(size), labels.cpu().numpy()]
    expected = -torch.tensor(of_the_label / exponentials.sum(axis=1)).log().mean().item()
    assert loss.item() == pytest.approx(expected, rel=1e-4)  # float32, against float64: a thousand roundings
