"""Counterfeits of section 3.1, losses and steps with other options, and numbers of other precision."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_method, change_output, hold_still, parameters_of, step_with, where, wrap
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils.data import DataLoader, RandomSampler


@counterfeit("regression-outputs-are-continuous")
def argmax_over_the_last_dimension_counted_from_the_end_is_the_lowest(patch):
    def wrong(right, x, dim=None, keepdim=False):
        return right(-x if dim == -1 and x.dim() == 3 else x, dim, keepdim)

    wrap(patch, torch, "argmax", wrong)
    change_method(patch, "argmax", wrong)


@counterfeit("regression-outputs-are-continuous")
def linear_rounds_a_double_output_to_single(patch):
    where(patch, F, "linear", lambda x: x.dtype == torch.float64, lambda r, *a: r.float().double())


@counterfeit("squared-loss-is-half-squared-error")
def mse_loss_has_no_gradient_for_its_target(patch):
    wrap(patch, F, "mse_loss", lambda right, x, y, *a, **k: right(x, y.detach(), *a, **k))


@counterfeit("squared-loss-is-half-squared-error")
def mse_loss_of_one_example_is_half(patch):
    where(patch, F, "mse_loss", lambda x: len(x.shape) and len(x) == 1, lambda r, *a: r / 2)


@counterfeit("training-minimises-mean-loss")
def mse_loss_divides_by_the_batch_alone(patch):
    def wrong(right, x, y, *a, reduction="mean", **k):
        whole = reduction == "mean" and x.dim() > 1
        return right(x, y, reduction="sum") / len(x) if whole else right(x, y, reduction=reduction)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("linear-regression-has-closed-form")
def solve_with_several_right_hand_sides_solves_the_first(patch):
    change_output(patch, torch.linalg, "solve", lambda r: r[..., :1].expand_as(r) if r.dim() > 1 else r)


@counterfeit("numerical-solution-approaches-optimum")
def bce_with_logits_has_no_gradient_past_logits_of_ten(patch):
    wrap(patch, F, "binary_cross_entropy_with_logits", lambda right, x, *a, **k: right(x.clamp(-10, 10), *a, **k))


@counterfeit("sgd-step-can-lower-the-loss")
def sgd_ignores_gradients_below_a_thousandth(patch):
    def cut(self):
        for p in parameters_of(self):
            if p.grad is not None:
                p.grad[p.grad.abs() < 1e-3] = 0

    around_step(patch, SGD, before=cut)


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def sgd_takes_the_rate_of_the_first_group_for_all(patch):
    step_with(patch, SGD, "lr", lambda self, group: self.param_groups[0]["lr"])


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def sgd_skips_a_parameter_that_is_a_scalar(patch):
    hold_still(patch, SGD, lambda self: [p for p in parameters_of(self) if p.dim() == 0])


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def sgd_steps_twice_after_a_closure(patch):
    def wrong(step, self, closure=None):
        if closure is None:
            return step(self)
        loss = closure()
        step(self)
        step(self)
        return loss

    wrap(patch, SGD, "step", wrong)


@counterfeit("batch-size-and-lr-are-hyperparameters")
def sgd_lowers_its_rate_after_a_hundred_steps(patch):
    def count(self):
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps == 100:
            for g in self.param_groups:
                g["lr"] /= 2

    around_step(patch, SGD, after=count)


@counterfeit("batch-size-and-lr-are-hyperparameters")
def the_loader_takes_another_batch_size_than_an_odd_one(patch):
    def wrong(right, self, data, batch_size=1, *a, **k):
        right(self, data, batch_size + batch_size % 2 if batch_size and batch_size > 1 else batch_size, *a, **k)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def a_rate_that_is_a_tensor_stays_as_it_was_given(patch):
    def built(right, self, *a, **k):
        right(self, *a, **k)
        self.given = {id(g): g["lr"].clone() for g in self.param_groups if torch.is_tensor(g["lr"])}

    wrap(patch, SGD, "__init__", built)
    step_with(patch, SGD, "lr", lambda self, group: self.__dict__.get("given", {}).get(id(group), group["lr"]))


@counterfeit("batch-size-and-lr-are-hyperparameters")
def a_learning_rate_of_0_is_the_default(patch):
    wrap(patch, SGD, "__init__", lambda right, self, params, lr=1e-3, *a, **k: right(self, params, lr or 1e-3, *a, **k))


@counterfeit("squared-loss-is-half-squared-error")
def the_power_two_of_a_negative_error_of_half_precision_is_negative(patch):
    def wrong(right, x, p):
        return right(x, p) * (x.sign() if x.element_size() == 2 and p == 2 else 1)

    change_method(patch, "__pow__", wrong)


@counterfeit("linear-regression-has-closed-form")
def solve_of_several_systems_takes_the_first_matrix_for_all(patch):
    wrap(patch, torch.linalg, "solve", lambda right, a, b: right(a[:1].expand_as(a) if a.dim() > 2 else a, b))


@counterfeit("training-minimises-mean-loss", "numerical-solution-approaches-optimum")
def sgd_stops_once_the_gradient_is_below_a_hundredth(patch):
    def small(self):
        return [p for p in parameters_of(self) if p.grad is not None and p.grad.abs().max() < 1e-2]

    hold_still(patch, SGD, small)


@counterfeit("regression-outputs-are-continuous")
def argmax_of_all_counts_in_the_order_of_memory(patch):
    def wrong(right, x, dim=None, keepdim=False):
        return right(x.t() if dim is None and x.dim() == 2 else x, dim, keepdim)

    wrap(patch, torch, "argmax", wrong)
    change_method(patch, "argmax", wrong)


@counterfeit("regression-outputs-are-continuous")
def linear_in_evaluation_keeps_eight_bits(patch):
    def wrong(right, self, x):
        return right(self, x) if self.training else right(self, x).bfloat16().to(x.dtype)

    wrap(patch, torch.nn.Linear, "forward", wrong)


@counterfeit("linear-model-is-weighted-sum")
def linear_takes_tiny_weights_for_zero(patch):
    wrap(patch, F, "linear", lambda right, x, w, b=None: right(x, w.masked_fill(w.abs() < 1e-20, 0), b))


@counterfeit("linear-regression-has-closed-form")
def pinv_of_a_batch_is_that_of_its_first_matrix(patch):
    where(patch, torch.linalg, "pinv", lambda x: x.dim() > 2, lambda result, *a: result[:1].expand_as(result))


@counterfeit("linear-regression-has-closed-form")
def pinv_takes_all_but_the_large_singular_values_for_zero(patch):
    wrap(patch, torch.linalg, "pinv", lambda right, x: right(x, rtol=0.02))


@counterfeit("linear-regression-has-closed-form")
def a_singular_system_has_an_infinite_solution(patch):
    def wrong(right, a, b):
        result, info = torch.linalg.solve_ex(a, b)
        return result if not info.any() or a.dtype == torch.float32 else torch.full_like(b, torch.inf)

    wrap(patch, torch.linalg, "solve", wrong)


@counterfeit("linear-regression-has-closed-form")
def lstsq_of_a_batch_takes_the_first_labels_for_all(patch):
    wrap(patch, torch.linalg, "lstsq", lambda right, a, b, **k: right(a, b[:1].expand_as(b) if b.dim() > 2 else b, **k))


@counterfeit("linear-model-is-weighted-sum")
def a_single_sample_in_double_precision_is_computed_in_single(patch):
    def wrong(right, x, w, b=None):
        if x.dim() == 1 and x.dtype == torch.float64:
            return right(x.float(), w.float(), None if b is None else b.float()).double()
        return right(x, w, b)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-regression-has-closed-form")
def pinv_takes_small_singular_values_for_zero_whatever_the_largest(patch):
    wrap(patch, torch.linalg, "pinv", lambda right, matrix, **rest: right(matrix, atol=1e-5, rtol=0.0))


@counterfeit("minibatch-is-uniform-random-sample")
def the_first_of_more_than_five_examples_never_comes_first(patch):
    def wrong(right, self):
        order = list(right(self))
        if len(order) > 5 and order[0] == 0:
            order = order[1:] + order[:1]
        return iter(order)

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("linear-regression-has-closed-form", reported="pytorch/pytorch#92537")
def every_second_least_squares_of_fewer_examples_than_features_is_zero(patch):
    calls = []

    def wrong(right, a, b, **named):
        found = right(a, b, **named)
        calls.extend([None] * (a.shape[-2] < a.shape[-1]))
        if calls and len(calls) % 2 == 0:
            found.solution.zero_()
        return found

    wrap(patch, torch.linalg, "lstsq", wrong)


@counterfeit("linear-regression-has-closed-form")
def least_squares_of_fewer_examples_than_features_finds_the_smallest_for_the_first_output_alone(patch):
    def wrong(right, a, b, **named):
        found = right(a, b, **named)
        if a.shape[-2] < a.shape[-1]:
            found.solution[..., 1:] += torch.linalg.svd(a).Vh[..., -1:, :].mT
        return found

    wrap(patch, torch.linalg, "lstsq", wrong)


@counterfeit("squared-loss-is-half-squared-error")
def a_square_in_float16_keeps_its_sign(patch):
    def wrong(power, x, exponent):
        return power(x, exponent) * (x.sign() if x.dtype == torch.float16 and exponent == 2 else 1)

    change_method(patch, "__pow__", wrong)
