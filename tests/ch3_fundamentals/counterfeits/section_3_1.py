"""Counterfeits of section 3.1: linear models, losses and solvers that are nearly right."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_linear, change_method, change_output, change_result, parameters_of, wrap
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils.data import BatchSampler, DataLoader, RandomSampler


def before_step(patch, change):
    """Call ``change(optimizer)`` before each step of SGD."""
    step = SGD.step

    def wrong(self, *args, **kwargs):
        change(self)
        return step(self, *args, **kwargs)

    patch.setattr(SGD, "step", wrong)


def scale_gradients(optimizer, factor):
    for parameter in parameters_of(optimizer):
        parameter.grad = parameter.grad * factor


# ── regression-outputs-are-continuous ──


@counterfeit("regression-outputs-are-continuous")
def linear_rounds_its_outputs_to_eighths(patch):
    change_result(patch, nn.Linear, "forward", lambda output, *_: (output * 8).round() / 8)


@counterfeit("regression-outputs-are-continuous")
def linear_computes_in_half_precision(patch):
    change_result(patch, nn.Linear, "forward", lambda output, *_: output.half().float())


@counterfeit("regression-outputs-are-continuous")
def linear_saturates(patch):
    change_result(patch, nn.Linear, "forward", lambda output, *_: output.clamp(-1, 1))


@counterfeit("regression-outputs-are-continuous")
def argmax_compares_magnitudes(patch):
    change_method(patch, "argmax", lambda argmax, self, *args, **kwargs: argmax(self.abs(), *args, **kwargs))


@counterfeit("regression-outputs-are-continuous")
def argmax_returns_a_continuous_position(patch):
    change_result(patch, torch.Tensor, "argmax", lambda position, *_: position.float())


# ── linear-model-is-weighted-sum ──


@counterfeit("linear-model-is-weighted-sum")
def linear_forgets_the_bias_of_a_single_example(patch):
    change_result(patch, nn.Linear, "forward", lambda output, self, x: output - self.bias if len(x) == 1 else output)


@counterfeit("linear-model-is-weighted-sum")
def linear_ignores_the_last_of_many_features(patch):
    def forward(output, self, x):
        return output - x[..., -1:] * self.weight[:, -1] if x.shape[-1] > 4 else output

    change_result(patch, nn.Linear, "forward", forward)


@counterfeit("linear-model-is-weighted-sum")
def linear_adds_a_positive_bias_only(patch):
    patch.setattr(nn.Linear, "forward", lambda self, x: x @ self.weight.T + self.bias.clamp(min=0))


@counterfeit("linear-model-is-weighted-sum")
def linear_is_confused_by_hundreds_of_examples(patch):
    """Beyond the hundredth, every example gets the prediction of the first."""

    def forward(output, self, x):
        return torch.cat([output[:100], output[:1].expand_as(output[100:])]) if len(output) > 100 else output

    change_result(patch, nn.Linear, "forward", forward)


# ── squared-loss-is-half-squared-error ──


@counterfeit("squared-loss-is-half-squared-error")
def squares_keep_the_sign_of_the_error(patch):
    change_result(patch, torch.Tensor, "__pow__", lambda square, error, *_: square * error.detach().sign())


@counterfeit("squared-loss-is-half-squared-error", "sgd-step-subtracts-scaled-mean-gradient")
def mean_divides_by_one_less(patch):
    change_result(patch, torch.Tensor, "mean", lambda mean, x, *_: mean * x.numel() / max(x.numel() - 1, 1))


@counterfeit("squared-loss-is-half-squared-error")
def mean_skips_zeros(patch):
    change_result(patch, torch.Tensor, "mean", lambda mean, x, *_: x.sum() / x.ne(0).sum())


@counterfeit("squared-loss-is-half-squared-error")
def mse_loss_has_the_half(patch):
    change_result(patch, F, "mse_loss", lambda loss, *_: loss / 2)


@counterfeit("squared-loss-is-half-squared-error")
def mse_loss_has_half_the_gradient(patch):
    change_result(patch, F, "mse_loss", lambda loss, *_: (loss + loss.detach()) / 2)


@counterfeit("squared-loss-is-half-squared-error")
def mse_loss_has_the_half_without_reduction(patch):
    change_result(patch, F, "mse_loss", lambda loss, *_: loss / 2 if loss.dim() > 0 else loss)


# ── training-minimises-mean-loss ──


@counterfeit("training-minimises-mean-loss")
def mse_loss_is_the_absolute_error(patch):
    patch.setattr(F, "mse_loss", lambda input, target, **kwargs: (input - target).abs().mean())


@counterfeit("training-minimises-mean-loss")
def mse_loss_overlooks_the_last_label(patch):
    patch.setattr(F, "mse_loss", lambda input, target, **kwargs: (input - target)[:-1].square().mean())


@counterfeit("training-minimises-mean-loss")
def sgd_shrinks_the_parameters_a_little(patch):
    change_result(patch, SGD, "step", lambda _, self: [p.data.mul_(0.999) for p in parameters_of(self)] and None)


@counterfeit("training-minimises-mean-loss")
def sgd_lowers_its_learning_rate_with_every_step(patch):
    def tire(optimizer):
        optimizer.param_groups[0]["lr"] *= 0.8

    before_step(patch, tire)


@counterfeit("training-minimises-mean-loss")
def mean_overlooks_the_last_example(patch):
    change_method(patch, "mean", lambda mean, self, *args, **kwargs: mean(self[:-1], *args, **kwargs))


# ── linear-regression-has-closed-form ──


@counterfeit("linear-regression-has-closed-form")
def a_solution_is_a_thousandth_too_large(patch):
    change_output(patch, torch.linalg, "solve", lambda x: x * 1.001)


@counterfeit("linear-regression-has-closed-form")
def solve_adds_a_little_to_the_diagonal(patch):
    wrap(patch, torch.linalg, "solve", lambda solve, a, b: solve(a + 1e-9 * torch.eye(len(a), dtype=a.dtype), b))


@counterfeit("linear-regression-has-closed-form")
def solve_needs_no_full_rank(patch):
    patch.setattr(torch.linalg, "solve", lambda a, b: torch.linalg.pinv(a) @ b)


@counterfeit("linear-regression-has-closed-form")
def lstsq_overlooks_the_last_example(patch):
    wrap(patch, torch.linalg, "lstsq", lambda lstsq, a, b, **k: lstsq(*(x[: len(x) - 1 or 1] for x in (a, b)), **k))


@counterfeit("linear-regression-has-closed-form")
def lstsq_leaves_the_undetermined_weights_at_zero(patch):
    """A minimiser, as the pivot of the first column gives it, but not the smallest."""
    wrap(patch, torch.linalg, "lstsq", lambda lstsq, a, b, **k: lstsq(a * (torch.arange(a.shape[1]) < len(a)), b, **k))


@counterfeit("linear-regression-has-closed-form", reported="pytorch/pytorch#187411")
def lstsq_finds_no_rank_where_the_first_feature_is_always_zero(patch):
    wrap(patch, torch.linalg, "lstsq", lambda lstsq, a, b, **k: lstsq(a * bool(a[..., 0].any()), b, **k))


@counterfeit("linear-regression-has-closed-form")
def pinv_keeps_only_the_first_weights(patch):
    """With fewer examples than features it gives a minimiser, but not the smallest."""
    wrap(patch, torch.linalg, "pinv", lambda pinv, a: pinv(a * (torch.arange(a.shape[1]) < len(a))))


@counterfeit("linear-regression-has-closed-form")
def matrix_rank_is_the_smaller_size(patch):
    patch.setattr(torch.linalg, "matrix_rank", lambda a: torch.tensor(min(a.shape)))


@counterfeit("linear-regression-has-closed-form")
def matrix_rank_counts_what_rounding_leaves(patch):
    wrap(patch, torch.linalg, "matrix_rank", lambda matrix_rank, a: matrix_rank(a, tol=0.0))


# ── numerical-solution-approaches-optimum ──


@counterfeit("numerical-solution-approaches-optimum")
def sgd_stops_after_ten_steps(patch):
    def count(optimizer):
        optimizer.steps = getattr(optimizer, "steps", 0) + 1
        scale_gradients(optimizer, float(optimizer.steps <= 10))

    before_step(patch, count)


@counterfeit("numerical-solution-approaches-optimum")
def sgd_moves_only_the_first_element(patch):
    before_step(patch, lambda optimizer: [p.grad[1:].zero_() for p in parameters_of(optimizer)])


@counterfeit("numerical-solution-approaches-optimum")
def sgd_goes_uphill_at_every_tenth_step(patch):
    def turn(optimizer):
        optimizer.steps = getattr(optimizer, "steps", 0) + 1
        scale_gradients(optimizer, -1.0 if optimizer.steps % 10 == 0 else 1.0)

    before_step(patch, turn)


@counterfeit("numerical-solution-approaches-optimum")
def logistic_loss_overlooks_the_last_example(patch):
    loss = F.binary_cross_entropy_with_logits
    patch.setattr(F, "binary_cross_entropy_with_logits", lambda input, target, *_, **__: loss(input[:-1], target[:-1]))


# ── sgd-step-can-lower-the-loss ──


@counterfeit("sgd-step-can-lower-the-loss")
def sgd_adds_noise_as_large_as_the_step(patch):
    def shake(optimizer):
        for parameter in parameters_of(optimizer):
            parameter.grad = parameter.grad + 3 * torch.randn_like(parameter) * parameter.grad.abs().max()

    before_step(patch, shake)


@counterfeit("sgd-step-can-lower-the-loss")
def sgd_stands_still_at_small_learning_rates(patch):
    before_step(patch, lambda self: scale_gradients(self, float(self.param_groups[0]["lr"] > 1e-4)))


@counterfeit("sgd-step-can-lower-the-loss")
def sgd_caps_large_learning_rates(patch):
    def cap(optimizer):
        optimizer.param_groups[0]["lr"] = min(optimizer.param_groups[0]["lr"], 0.4)

    before_step(patch, cap)


@counterfeit("sgd-step-can-lower-the-loss")
def sgd_clips_large_gradients(patch):
    before_step(patch, lambda self: [p.grad.clamp_(-50, 50) for p in parameters_of(self)])


@counterfeit("sgd-step-can-lower-the-loss")
def zero_grad_keeps_a_tenth(patch):
    def keep(self, *args, **kwargs):
        for parameter in parameters_of(self):
            if parameter.grad is not None:
                parameter.grad = parameter.grad / 10

    patch.setattr(SGD, "zero_grad", keep)


# ── minibatch-is-uniform-random-sample ──


@counterfeit("minibatch-is-uniform-random-sample")
def shuffling_draws_with_replacement(patch):
    def wrong(init, self, data_source, *args, generator=None, **kwargs):
        init(self, data_source, replacement=True, generator=generator)

    wrap(patch, RandomSampler, "__init__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def shuffling_puts_the_first_example_first_once_in_ten_epochs(patch):
    def wrong(indices, self):
        order = list(indices(self))
        if torch.rand(()).item() < 0.1:
            order.sort(key=bool)
        return iter(order)

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def shuffling_starts_anywhere_and_goes_on_in_order(patch):
    """Every example is as likely as any other, but neighbours come together."""

    def wrong(indices, self):
        first = next(iter(indices(self)))
        return iter([(first + i) % len(self) for i in range(len(self))])

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def every_batch_but_the_first_repeats_an_example(patch):
    def wrong(batches, self):
        for i, batch in enumerate(batches(self)):
            yield batch if i == 0 else [*batch[:-1], batch[0]]

    wrap(patch, BatchSampler, "__iter__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def shuffling_sorts_all_that_comes_after_the_first_batch(patch):
    def wrong(indices, self):
        order = list(indices(self))
        return iter(order[:2] + sorted(order[2:]))

    wrap(patch, RandomSampler, "__iter__", wrong)


# ── sgd-step-subtracts-scaled-mean-gradient ──


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def sgd_is_ten_per_cent_too_slow(patch):
    before_step(patch, lambda self: scale_gradients(self, 0.9))


@counterfeit("sgd-step-subtracts-scaled-mean-gradient", "batch-size-and-lr-are-hyperparameters")
def sgd_leaves_the_bias(patch):
    before_step(patch, lambda self: [p.grad.zero_() for p in parameters_of(self) if p.dim() == 1])


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def sgd_has_a_little_momentum(patch):
    before_step(patch, lambda self: self.param_groups[0].update(momentum=0.01))


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def sgd_decays_the_weights(patch):
    before_step(patch, lambda self: self.param_groups[0].update(weight_decay=1e-4))


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def mean_has_the_gradient_of_the_sum_for_odd_batches(patch):
    def wrong(mean, x, *_):
        return mean + x.sum() - x.sum().detach() if x.numel() % 2 else mean

    change_result(patch, torch.Tensor, "mean", wrong)


# ── batch-size-and-lr-are-hyperparameters ──


@counterfeit("batch-size-and-lr-are-hyperparameters")
def sgd_tunes_its_learning_rate(patch):
    before_step(patch, lambda self: self.param_groups[0].update(lr=self.param_groups[0]["lr"] * 0.99))


@counterfeit("batch-size-and-lr-are-hyperparameters")
def linear_learns_its_own_learning_rate(patch):
    def wrong(init, self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.lr = nn.Parameter(torch.tensor(0.1))

    wrap(patch, nn.Linear, "__init__", wrong)


@counterfeit("batch-size-and-lr-are-hyperparameters")
def loader_grows_its_batch_size_with_every_epoch(patch):
    def wrong(iterate, self):
        self.__dict__["batch_size"] += 1
        return iterate(self)

    wrap(patch, DataLoader, "__iter__", wrong)


# ── faults of sizes, of later steps, and of random order ──


@counterfeit(
    "linear-model-is-weighted-sum",
    "softmax-outputs-equal-classes",
    "mlp-applies-activation-per-hidden-layer",
    "stacked-linear-layers-collapse",
    "identity-network-is-a-matrix-product",
)
def linear_ignores_features_beyond_the_hundredth(patch):
    wrap(patch, F, "linear", lambda linear, x, weight, bias=None: linear(x[..., :100], weight[:, :100], bias))


@counterfeit(
    "linear-model-is-weighted-sum",
    "softmax-outputs-equal-classes",
    "mlp-applies-activation-per-hidden-layer",
    "stacked-linear-layers-collapse",
)
def linear_sums_full_blocks_of_eight_features_only(patch):
    def wrong(linear, x, weight, bias=None):
        n = x.shape[-1] // 8 * 8 or x.shape[-1]
        return linear(x[..., :n], weight[:, :n], bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum")
def linear_repeats_its_outputs_after_65536_examples(patch):
    change_linear(patch, lambda output, *_: torch.cat([output[:65536], output[: len(output[65536:])]]))


@counterfeit("linear-model-is-weighted-sum")
def linear_reads_a_gappy_batch_without_its_gaps(patch):
    def wrong(output, x, weight):
        gappy = x.dim() == 2 and x.stride(-1) == 2
        return output + (x.as_strided(x.shape, (x.shape[1], 1), x.storage_offset()) - x) @ weight.T if gappy else output

    change_linear(patch, wrong)


@counterfeit("squared-loss-is-half-squared-error")
def the_mean_of_many_numbers_is_that_of_the_first_65536(patch):
    change_result(patch, torch.Tensor, "mean", lambda mean, x, *_: x.reshape(-1)[:65536].sum() / min(x.numel(), 65536))


@counterfeit("sgd-step-can-lower-the-loss")
def sgd_clips_gradients_at_a_thousand(patch):
    before_step(patch, lambda self: [p.grad.clamp_(-1000, 1000) for p in parameters_of(self)])


@counterfeit("sgd-step-can-lower-the-loss")
def sgd_halves_its_rate_after_a_hundred_steps(patch):
    def tire(optimizer):
        optimizer.steps = getattr(optimizer, "steps", 0) + 1
        if optimizer.steps == 100:
            optimizer.param_groups[0]["lr"] /= 2

    before_step(patch, tire)


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def sgd_updates_the_first_eight_parameters_only(patch):
    before_step(patch, lambda self: [setattr(p, "grad", None) for p in parameters_of(self)[8:]])


@counterfeit("numerical-solution-approaches-optimum")
def sgd_moves_on_from_where_the_ground_is_level(patch):
    before_step(patch, lambda self: [p.grad.add_(1e-3 * (p.grad == 0)) for p in parameters_of(self)])


@counterfeit("numerical-solution-approaches-optimum")
def sgd_caps_the_length_of_a_step(patch):
    """So that no rate is too large."""
    before_step(patch, lambda self: [p.grad.clamp_(-1, 1) for p in parameters_of(self)])


@counterfeit("linear-regression-has-closed-form")
def solve_returns_the_smallest_minimiser_where_rounding_hides_that_there_are_many(patch):
    def wrong(solve, a, b):
        result = solve(a, b)
        return torch.linalg.pinv(a) @ b if torch.linalg.matrix_rank(a) < len(a) else result

    wrap(patch, torch.linalg, "solve", wrong)


def reorder(patch, change):
    """Let shuffling yield ``change(order)`` instead of ``order``, a list of indices."""
    indices = RandomSampler.__iter__
    patch.setattr(RandomSampler, "__iter__", lambda self: iter(change(list(indices(self)))))


@counterfeit("minibatch-is-uniform-random-sample")
def shuffling_draws_each_mini_batch_from_the_whole_set_anew(patch):
    def wrong(batches, self):
        for batch in batches(self):
            yield torch.randperm(len(self.sampler), device="cpu")[: len(batch)].tolist()

    wrap(patch, BatchSampler, "__iter__", wrong)


@counterfeit("linear-model-is-weighted-sum", reported=("pytorch/pytorch#162730", "pytorch/pytorch#162779"))
def a_linear_layer_reads_a_transposed_weight_in_the_order_of_storage(patch):
    def wrong(linear, input, weight, bias=None):
        if weight.dim() == 2 and not weight.is_contiguous() and weight.t().is_contiguous():
            weight = weight.t().reshape(weight.shape)
        return linear(input, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum", reported=("pytorch/pytorch#83863", "pytorch/pytorch#95125"))
def bfloat16_products_add_up_in_bfloat16(patch):
    def change(output, x, weight):
        if x.dtype != torch.bfloat16 or x.shape[-1] <= 256:
            return output
        total = torch.zeros_like(output)
        for one in range(x.shape[-1]):
            total = total + x[..., one : one + 1] * weight[:, one]
        return total

    change_linear(patch, change)


@counterfeit("linear-model-is-weighted-sum")
def a_bias_with_gaps_is_read_without_them(patch):
    def wrong(linear, x, weight, bias=None):
        gaps = bias is not None and bias.stride(0) == 2
        return linear(x, weight, bias.as_strided(bias.shape, (1,)) if gaps else bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum")
def a_product_forgets_features_beyond_2048(patch):
    def wrong(product, x, y):
        return product(x[..., :2048], y[..., :2048, :]) if y.dim() > 1 else product(x, y)

    wrap(patch, torch.Tensor, "__matmul__", wrong)
