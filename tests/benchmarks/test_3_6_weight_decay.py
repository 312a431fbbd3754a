"""3.6 Weight decay: a penalty in the loss, or an option of the optimizer

Both subtract the same from every weight. The penalty reads all weights twice more, to sum their squares and to
differentiate that sum, and autograd tracks it; the option adds one operation to the step.
"""

import pytest
import torch


@pytest.mark.comparison(
    size="weights",
    claims=[
        "penalised-loss-adds-the-penalty",
        "weight-decay-equals-l2-regularisation",
        "from-scratch-equals-weight-decay-option",
    ],
)
@pytest.mark.parametrize("way", ["penalty in the loss", "weight_decay"])
@pytest.mark.parametrize("size", [10**3, 10**4, 10**5, 10**6, 10**7])
def test_decaying_step(size, way, measure):
    """The loss alone pulls every weight w up by 0.5, its decay pulls it down by w / 2: at 1 it rests. The learning rate
    is such that one step takes it there.
    """
    w = torch.full([size], 3.0, requires_grad=True)
    penalised = way == "penalty in the loss"
    optimizer = torch.optim.SGD([w], lr=2.0, weight_decay=0.0 if penalised else 0.5)

    def step():
        optimizer.zero_grad()
        loss = -0.5 * w.sum()
        if penalised:
            loss = loss + 0.5 * (w**2).sum() / 2
        loss.backward()
        optimizer.step()
        return w

    assert torch.equal(measure(step), torch.ones(size))
