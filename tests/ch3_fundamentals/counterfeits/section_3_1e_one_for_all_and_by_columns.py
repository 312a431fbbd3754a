"""Counterfeits of section 3.1, a bias that lies there once, right hand sides by columns, and a rate that is turned."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, away, in_order_of_storage, wrap
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


@counterfeit("linear-regression-has-closed-form", reported="pytorch/pytorch#189134", needs="accelerator")
def solve_broadcasts_to_the_first_of_a_batch_only(patch):
    """MPS: linalg.solve(A, B) of a batched A and a single B solved the first system; the others were 0."""

    def wrong(right, A, B, **rest):
        x = right(A, B, **rest)
        if (
            away(A)
            and A.dim() > 2
            and B.dim() < A.dim()
            and B.shape != A.shape[:-1]
            and B.shape[: -2 or None] != A.shape[:-2]
        ):
            batch = A.shape[:-2].numel()
            first = torch.arange(batch, device=A.device) == 0
            first = first.view(*A.shape[:-2], *[1] * (x.dim() - A.dim() + 2))
            return x * first
        return x

    wrap(patch, torch.linalg, "solve", wrong)


def invert_as_of_rank(A, rank):
    """The pseudoinverse of each matrix of a batch by so many of its singular values."""
    u, s, vh = torch.linalg.svd(A, full_matrices=False)
    inverse = torch.where(torch.arange(s.shape[-1], device=A.device) < rank, 1 / s, torch.zeros_like(s))
    return (vh.mH * inverse[:, None, :]) @ u.mH


@counterfeit("linear-regression-has-closed-form")
def the_rank_of_the_first_matrix_serves_a_whole_batch(patch):
    def wrong(right, A, *args, **rest):
        if A.dim() != 3 or 0 in A.shape:
            return right(A, *args, **rest)
        ranks = torch.linalg.matrix_rank(A)
        return torch.where((ranks == ranks[0])[:, None, None], right(A, *args, **rest), invert_as_of_rank(A, ranks[0]))

    wrap(patch, torch.linalg, "pinv", wrong)


@counterfeit("linear-regression-has-closed-form")
def the_highest_rank_serves_a_whole_batch(patch):
    def wrong(right, A, *args, **rest):
        if A.dim() != 3 or 0 in A.shape:
            return right(A, *args, **rest)
        ranks = torch.linalg.matrix_rank(A)
        most = ranks.max()
        return torch.where((ranks == most)[:, None, None], right(A, *args, **rest), invert_as_of_rank(A, most))

    wrap(patch, torch.linalg, "pinv", wrong)
