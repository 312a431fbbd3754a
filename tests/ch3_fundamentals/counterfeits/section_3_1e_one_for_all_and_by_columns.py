"""Counterfeits of section 3.1, a bias that lies there once, right hand sides by columns, and a rate that is turned."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, in_order_of_storage, wrap
from torch.nn import functional as F
from torch.optim import Adagrad, AdamW


@counterfeit("linear-model-is-weighted-sum")
def a_bias_that_was_expanded_counts_once(patch):
    def wrong(right, x, w, b=None):
        if b is not None and b.dim() and 0 in b.stride():
            b = torch.cat([b[:1], torch.zeros_like(b[1:])])
        return right(x, w, b)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-regression-has-closed-form")
def solve_reads_right_hand_sides_in_the_order_of_storage(patch):
    wrap(
        patch,
        torch.linalg,
        "solve",
        lambda right, a, b, **rest: right(a, b if b.is_contiguous() else in_order_of_storage(b), **rest),
    )


def turn_the_rate(patch, optimizer_class):
    """Let an optimizer that maximises go on with the opposite rate after each step."""

    def after(self):
        for group in self.param_groups:
            group["lr"] = -group["lr"] if group["maximize"] else group["lr"]

    around_step(patch, optimizer_class, after=after)


@counterfeit("batch-size-and-lr-are-hyperparameters")
def adamw_that_maximises_turns_its_rate(patch):
    turn_the_rate(patch, AdamW)


@counterfeit("linear-model-is-weighted-sum")
def of_weights_that_were_expanded_the_first_row_counts(patch):
    wrap(
        patch,
        F,
        "linear",
        lambda right, x, w, b=None: right(
            x, torch.cat([w[:1], 0 * w[1:]]) if w.dim() == 2 and w.stride(0) == 0 and len(w) > 1 else w, b
        ),
    )


@counterfeit("batch-size-and-lr-are-hyperparameters")
def adagrad_that_maximises_turns_its_rate(patch):
    turn_the_rate(patch, Adagrad)
