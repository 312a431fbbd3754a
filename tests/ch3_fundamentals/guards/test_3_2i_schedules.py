"""3.2 Learning rates: what schedulers make of them, step by step, for every group."""

import copy

import pytest
import torch
from hypothesis import assume
from populations import SINGLE_AND_DOUBLE, Twin, among, in_turn, over
from populations.comparing import accepted
from populations.optimizers import Recipe, optimizers
from populations.schedulers import SCHEDULERS

claim = pytest.mark.claim

BODY, HEAD = Twin(torch.float32, (3, 33), "gappy"), Twin(torch.float32, (5,), "offset", seed=1)
FREE = Twin(torch.float32, (), seed=2)


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
@pytest.mark.filterwarnings("ignore:The epoch parameter")  # torch 2.0 uses it itself
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
    assume(torch.__version__ >= (2, 11) or not optimizer.tensors or "SequentialLR" not in name)
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
