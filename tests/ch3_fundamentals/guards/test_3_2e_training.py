"""3.2 Training: the batch size, clearing gradients, what schedulers make of learning rates, and where it ends."""

import copy

import numpy as np
import pytest
import torch
from harness.measured import curve
from populations import FLOATS, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, in_turn, over, twins, whole
from populations.comparing import accepted, host
from populations.core import only_where
from populations.initialisers import RELEASE
from populations.modules import TREES, trees
from populations.optimizers import OPTIONS, RULES, Recipe, optimizers
from populations.schedulers import SCHEDULERS
from populations.tasks import grouped
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

claim = pytest.mark.claim


@claim("step-is-given-the-batch-size", truth=True)
@over(name=among(*RULES), given=among(((), {"batch_size": 3}), ((), {"n": 3}), ((3,), {})))
def test_no_optimizer_s_step_takes_a_batch_size(name, given):
    w = torch.zeros(1, requires_grad=True)
    w.grad = torch.ones(1)
    (place, named), optimizer = given, getattr(torch.optim, name)([w], lr=0.5)

    with pytest.raises(TypeError, match="|".join(named) or "callable"):
        optimizer.step(*place, **named)


NETS = trees(FLOATS, must=[TREES[2], TREES[5], TREES[7], TREES[9]])


@claim("optimizer-zero-grad-equals-net-zero-grad")
@over(tree=NETS)
def test_either_clears_every_gradient_at_any_depth_and_in_any_group(tree):
    net, plan = tree
    parameters = [member.tensor for member in plan.once()]  # the frozen ones too
    owners = (grouped(parameters, name) for name in RULES)
    for owner in (net.eval(), torch.optim.LBFGS([torch.zeros(1), *parameters]), *owners):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)[...]
        accepted(owner.zero_grad, set_to_none=False)
        assert not any(parameter.grad is None or parameter.grad.any() for parameter in parameters)
        accepted(owner.zero_grad)
        assert all(parameter.grad is None for parameter in parameters)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        accepted(owner.zero_grad)
        assert all(parameter.grad is None for parameter in parameters)


@claim("optimizer-zero-grad-equals-net-zero-grad")
@over(recipe=optimizers(dtypes=SINGLE_AND_DOUBLE, turn=2))
def test_neither_touches_parameters_or_the_optimizer_s_state(recipe):
    both, net = recipe.on([Twin(torch.float32, (2, 3))]), nn.Module()
    net._parameters["weight"] = both.tensors[0]

    for owner in (net, both.optimizer, both.optimizer):
        both.step()
        owner.zero_grad()
        assert net.weight.grad is None
    both.agree()


WORDS = torch.sparse_coo_tensor([[2, 0, 2]], torch.ones(3), (3,), device="cpu", check_invariants=True)


@claim("zero-grad-sets-gradients-to-zero", truth=True)
@over(twin=twins(FLOATS, WRITABLE), recorded=among(False, True))
def test_asked_to_it_fills_every_gradient_with_zeros_in_place_infinities_and_nan_too(twin, recorded):
    """One with a graph of its own, as ``create_graph=True`` leaves it, loses that."""
    gradient, array = twin
    gradient = gradient.requires_grad_() * 1 if recorded else gradient
    place, by = gradient.data_ptr(), ("net", "SGD", "Adam", "RMSprop")[twin.seed % 4]
    gradient.data[gradient > 6], gradient.data[gradient < -6] = float("inf"), float("nan")
    net = nn.Module()
    net.weight = nn.Parameter(torch.ones_like(gradient))
    net.weight.grad, net.without, net.other = gradient, nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    net.other.requires_grad_(recorded).grad = torch.ones(2)  # frozen by now
    net.words = nn.Parameter(WORDS.to_dense())
    net.words.grad = WORDS.clone()
    owner = net if by == "net" else grouped(net.parameters(), by, foreach=by != "SGD")

    accepted(owner.zero_grad, set_to_none=False)
    agree(net.weight.grad, np.zeros_like(array))
    agree(net.other.grad, np.zeros(2))
    agree(net.words.grad.to_dense(), np.zeros(3))
    assert (net.weight.grad.data_ptr(), net.weight.grad.requires_grad, net.without.grad) == (place, False, None)
    net.weight.grad = net.weight.requires_grad_(not recorded) * 1
    accepted(owner.zero_grad)
    assert net.weight.grad is None


@claim("linear-regression-converges")
def test_three_epochs_bring_the_loss_over_the_whole_set_down_to_the_noise(record_property):
    """Each step takes 6 % of the error, and 0.94**300 leaves nothing; the noise's variance, 1e-4, is known from 1000
    examples to 4.5 %, a ninth of the bound.
    """
    features = torch.tensor(np.random.normal(0, 1, (1000, 2)), dtype=torch.float32)
    labels = 2 * features[:, :1] - 3.4 * features[:, 1:] + 4.2
    labels += torch.tensor(np.random.normal(0, 0.01, (1000, 1)), dtype=torch.float32)
    net, loss = nn.Sequential(nn.Linear(2, 1)), nn.MSELoss()
    nn.init.normal_(net[0].weight, mean=0, std=0.01)
    nn.init.constant_(net[0].bias, val=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03)

    losses = {"whole_set": [], "last_batch": []}
    for _ in range(3):
        order = np.random.permutation(1000).tolist()
        for x, y in DataLoader(TensorDataset(features, labels), batch_size=10, sampler=order):
            error = loss(net(x), y)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        losses["last_batch"].append(error.item())
        losses["whole_set"].append(loss(net(features), labels).item())
    record_property("curve", curve("epoch", "loss", **losses))
    assert losses["whole_set"][2] == pytest.approx(1e-4, rel=0.4)
    # ten errors of the noise alone have a mean square above 1e-3 once in 1e16 mini-batches
    assert losses["last_batch"][2] < 1e-3


@claim("epoch-loss-weights-batches-by-size")
@over(examples=whole(2, 40, 21, 30), batch_size=whole(1, 12, 10))
def test_weighted_by_their_sizes_the_mini_batches_losses_give_that_of_the_whole_set(examples, batch_size):
    """Only the last example costs anything, so that its mini-batch's loss is no other's, and counts for too much where
    that is smaller. Whole numbers, so that every sum is exact, and every mean rounds once.
    """
    label = torch.zeros(examples)
    label[-1] = 64
    batches, loss = DataLoader(TensorDataset(torch.zeros(examples), label), batch_size), nn.MSELoss()
    losses, sizes = np.array([(loss(x, y).item(), len(y)) for x, y in batches]).T

    of_the_whole_set = pytest.approx(64**2 / examples, rel=2**-22)
    assert losses @ sizes / sizes.sum() == of_the_whole_set
    assert losses[-1] == pytest.approx(64**2 / sizes[-1], rel=2**-22)
    assert (losses.mean() == of_the_whole_set) == (len(losses) == 1 or examples % batch_size == 0)
    assert (losses[-1] == of_the_whole_set) == (len(losses) == 1)


GIVEN = {  # ways to tell an optimizer which parameters it is to change
    "list": lambda net: [*net.parameters()],
    "tuple": lambda net: tuple(net.parameters()),
    "filter": lambda net: filter(lambda w: w.requires_grad, net.parameters()),
    "values": lambda net: dict(net.named_parameters()).values(),
    "group": lambda net: [{"params": net.parameters()}],
    "groups": lambda net: [{"params": layer.parameters()} for layer in net],
    "a group each": lambda net: [{"params": w} for w in net.parameters()],
    "names": lambda net: net.named_parameters() if RELEASE >= (2, 6) else net.parameters(),
    "ParameterList": lambda net: nn.ParameterList(net.parameters()),
}


@claim("linear-regression-converges", "step-updates-parameters", "parameter-groups-have-own-learning-rates")
@over(name=each(*RULES), given=among(*GIVEN))
def test_parameters_learn_alike_however_they_are_given_to_the_optimizer(name, given):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    other, start, ends = copy.deepcopy(net), [host(w).copy() for w in net.parameters()], []
    for model, parameters in ((net, net.parameters()), (other, GIVEN[given](other))):
        optimizer = getattr(torch.optim, name)(parameters, lr=0.5)
        for step in range(3):
            for w in model.parameters():
                w.grad = torch.full_like(w, 1.0 + step)
            optimizer.step()
        ends.append([host(w) for w in model.parameters()])
    for one, same in zip(*ends):
        np.testing.assert_allclose(same, one, rtol=1e-5, atol=1e-6)  # lists and loops round differently
    for one, old in zip(ends[0], start):
        assert (one != old).all()


@claim("numerical-solution-approaches-optimum", truth=True)
@over(recipe=among(*(Recipe(name, tuple(each.items())) for name in OPTIONS for each in OPTIONS[name])))
def test_from_a_start_where_the_gradient_is_zero_no_optimizer_without_decay_moves(recipe):
    w = torch.ones(2, 3, requires_grad=True)
    optimizer = recipe.but(weight_decay=0).new([w])
    for _ in range(3):
        optimizer.zero_grad()
        (((w - 1) ** 2) * (1 if dict(recipe.options).get("maximize") else -1)).sum().backward()  # the worst point
        optimizer.step()
    agree(w, np.ones((2, 3)))


BODY, HEAD = Twin(torch.float32, (3, 33), "gappy"), Twin(torch.float32, (5,), "offset", seed=1)
FREE = Twin(torch.float32, (), seed=2)


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
@over(
    case=in_turn(
        # so that each scheduler meets an optimizer that has a state, with rates of both kinds
        optimizers("SGD", "Adam", "RMSprop", dtypes=SINGLE_AND_DOUBLE, turn=2, tensors=(False, True)).also(
            *(Recipe("Adam", (("lr", 0.1),)) for _ in SCHEDULERS),
            *(Recipe("Adam", (("lr", 0.1),), tensors=True) for _ in SCHEDULERS),
        ),
        among(*((name, (at + turn) % 2) for turn in (0, 1) for at, name in enumerate(SCHEDULERS))),
    )
)
def test_a_scheduler_changes_the_rate_of_every_group_by_its_rule_and_keeps_the_state(case):
    optimizer, (name, before) = case
    # which halves tensors again as the next schedule begins, as was seen from 2.4 to 2.9; from 2.11 on it does not
    only_where(torch.__version__ >= (2, 11) or not optimizer.tensors or "SequentialLR" not in name)
    make, factor = SCHEDULERS[name]
    start, gamma = dict(optimizer.options)["lr"], 0.25 if optimizer.name == "SGD" else 2.0
    both = optimizer.on([HEAD], ([FREE], {"lr": 0.5}), ([BODY], {"lr": 0.25}))
    for _ in range(before):  # it may be built in the midst of a training
        both.step()
    scheduler = make(both.optimizer, gamma)
    for count in range(5):
        for group, (held, rate) in enumerate(zip(both.optimizer.param_groups, (start, 0.5, 0.25))):
            assert float(held["lr"]) == pytest.approx(rate * factor(gamma, count))
            both.expect(group, lr=float(held["lr"]))
        both.step()
        both.agree()
        for _ in range(count == 2 - before):  # training goes on with another scheduler that is told where it was
            told, kept = copy.deepcopy((scheduler.state_dict(), both.optimizer.state_dict()))
            scheduler = make(both.optimizer, gamma)
            both.optimizer.load_state_dict(kept)
            scheduler.load_state_dict(told)
        counted = [count + 1] * (before and count in (0, 3) and name[:5] not in ("Chain", "Seque"))  # which take none
        accepted(scheduler.step, *[1.0] * (name[:6] == "Reduce"), *counted)  # a loss that no longer falls
        rates = [float(group["lr"]) for group in both.optimizer.param_groups]
        if name[:6] != "Reduce" or torch.__version__ >= (2, 2):  # which before had no way to tell
            assert [*map(float, scheduler.get_last_lr())] == rates
    assert rates == pytest.approx([rate * factor(gamma, 5) for rate in (start, 0.5, 0.25)])
