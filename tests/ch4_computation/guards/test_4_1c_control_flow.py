"""4.1c Classes of our own: control flow, for every way of looking at numbers."""

import operator

import pytest
import torch
from populations import EVERY_MODE, FLOATS, among, each, over, twins, whole
from torch import nn

claim = pytest.mark.claim
MODES = among("train", "eval")
COMPARISONS = operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge


class Halving(nn.Module):
    """Halves its input, and multiplies it by its one weight, until it is at most 1."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.step.weight, 1.0)

    def forward(self, x):
        while x > 1:
            x = self.step(x / 2)
        return x


@claim("forward-may-use-python-control-flow")
@over(start=whole(1, 2**17, 3, 64, 65), shape=among((1,), (1, 1), (1, 1, 1)), mode=MODES)
def test_gradients_count_the_turns_of_a_loop_for_any_input_and_in_every_call(start, shape, mode):
    net = getattr(Halving(), mode)()
    for number in (start, 2 * start, 1):
        turns = (number - 1).bit_length()  # the least k with number <= 2**k
        x = torch.full(shape, float(number), requires_grad=True)
        y = net(x)
        assert y.item() == number / 2**turns
        slopes = torch.autograd.grad(y.sum(), [x, net.step.weight], allow_unused=True)
        assert [0 if slope is None else slope.item() for slope in slopes] == [0.5**turns, turns * number / 2**turns]


LOOKS = {  # ways to ask whether the first of two numbers is positive, as their sum is then
    "sum": lambda row: row.sum() > 0,
    "item": lambda row: row[0].item() > 0,
    "comparison as a list": lambda row: (row > 0).tolist()[0],
    "comparison's item": lambda row: (row >= 0)[0].item(),
    "list": lambda row: row.tolist()[0] > 0,
    "float": lambda row: float(row[0]) > 0,
    "array": lambda row: (row > 0).cpu().numpy()[0],
    "detached array": lambda row: row.detach().cpu().numpy()[0] > 0,
    "place": lambda row: row.argmax() == 0,
    "equal": lambda row: torch.equal(row.sign(), torch.tensor([1.0, -1.0])),
    "nonzero": lambda row: (row < 0).nonzero().item() == 1,
}


@claim("forward-may-use-python-control-flow")
@over(signs=among((1,), (-1,), (1, -1, 1), (-1, -1, 1)), mode=MODES, look=each(*LOOKS))
def test_only_the_branches_that_were_taken_receive_gradients_however_the_forward_looks(signs, mode, look):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.positive, self.negative = nn.Linear(2, 1), nn.Linear(2, 1)

        def forward(self, x):
            rows = [row * 1 for row in x]
            return sum(self.positive(row) if LOOKS[look](row) else self.negative(row) for row in rows)

    net = getattr(Branching(), mode)()
    for rows in (signs, *zip(signs), (1, -1), (1, 1), (-1,)):  # all in one call, each in its own, one that was taken
        x = torch.tensor([[sign * 4.0, sign * -1.0] for sign in rows], requires_grad=True)
        net(x).backward()
        assert x.grad is not None
        taken = [net.positive if sign > 0 else net.negative for sign in rows]
        assert x.grad.tolist() == [branch.weight[0].tolist() for branch in taken]
        for branch, sign in ((net.positive, 1), (net.negative, -1)):
            gradient, uses = branch.weight.grad, taken.count(branch)
            assert (gradient is None) == (uses == 0)
            assert gradient is None or gradient.tolist() == [[sign * 4.0 * uses, sign * -1.0 * uses]]
        net.zero_grad()


@claim("forward-may-use-python-control-flow")
@claim("control-flow-needs-item", truth=True)
@over(
    twin=twins((*FLOATS, torch.int64, torch.int8), shapes=((), (1,), (1, 1), (1, 1, 1)), grad=(False, True)),
    compare=among(*COMPARISONS),
    other=among(-3, 0, 4),
)
def test_every_comparison_of_one_element_takes_the_branch_that_numbers_take(twin, compare, other):
    tensor, array = twin
    own = array.item()
    for number in (other, own):
        same = torch.full_like(tensor, number)
        assert bool(compare(tensor, number)) is bool(compare(tensor, same)) is compare(own, number)
        assert bool(compare(same, tensor)) is compare(number, own)
    assert [*map(bool, (tensor, tensor / 64, tensor * 0))] == [bool(array.item())] * 2 + [False]  # a fraction is not 0


@claim("control-flow-needs-item", truth=True)
@over(EVERY_MODE, twin=twins((*FLOATS, torch.int64), shapes=((2,), (2, 1), (1, 3), (257,), (3, 65), (0,), (0, 3))))
def test_any_other_number_of_elements_is_ambiguous_but_any_and_all_say_of_each_row_what_numbers_say(twin):
    tensor, array = twin
    compared = [(compare(tensor, number), compare(array, number)) for compare in COMPARISONS for number in (-9, 0, 9)]
    for one, same in (*compared, (tensor, array), ((tensor != 0).byte() * 2, array != 0)):
        with pytest.raises(RuntimeError, match="is ambiguous"):  # even where all agree
            bool(one)
        assert (bool(one.any()), bool(one.all())) == (bool(same.any()), bool(same.all()))
        for dim in (0, -1):
            assert torch.all(one, dim).tolist() == same.all(dim).tolist()
            assert torch.any(one, dim).tolist() == same.any(dim).tolist()
    with pytest.raises(RuntimeError, match="is ambiguous"):
        bool((tensor.sum() > 0).expand(tensor.shape))
