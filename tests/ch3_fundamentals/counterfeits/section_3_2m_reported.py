"""Counterfeits of section 3.2 that users reported: sums that lose numbers, slices, vectors, velocities and counts."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_gradient, change_method, where, with_value, wrap
from torch.nn import functional as F
from torch.optim import adam


def change_loss(patch, change):
    """Let ``mse_loss`` of single precision that adds up return ``change(loss, squares, reduction)``."""

    def wrong(right, a, b, *args, reduction="mean", **rest):
        loss = right(a, b, *args, reduction=reduction, **rest)
        if reduction == "none" or loss.dtype != torch.float32 or not a.numel():
            return loss
        return change(loss, (a - b).square().reshape(-1), reduction)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#8710")
def squares_are_added_one_by_one_in_single_precision(patch):
    def wrong(loss, squares, reduction):
        total = np.cumsum(squares.detach().cpu().numpy(), dtype=np.float32)[-1]
        return with_value(loss, total / (len(squares) if reduction == "mean" else 1))

    change_loss(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#102258")
def a_sum_of_more_than_thirty_numbers_loses_eight(patch):
    def wrong(loss, squares, reduction):
        lost = squares[24:32].sum() if len(squares) >= 32 else 0
        return loss - lost / (len(squares) if reduction == "mean" else 1)

    change_loss(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#94891")
def a_sum_is_the_count_taken_for_bits(patch):
    change_loss(
        patch,
        lambda loss, squares, reduction: with_value(loss, len(squares) * 2.0**-149) if reduction == "sum" else loss,
    )


@counterfeit("data-fill-equals-constant-init", reported="pytorch/pytorch#94390")
def what_begins_later_in_its_memory_is_not_filled(patch):
    change_method(
        patch, "fill_", lambda fill, x, *args: x if x.storage_offset() and x.is_contiguous() else fill(x, *args)
    )


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#12115")
def a_mean_of_halves_is_their_sum_divided_though_that_is_infinite(patch):
    def wrong(right, a, b, *args, reduction="mean", **rest):
        loss = right(a, b, *args, reduction=reduction, **rest)
        if reduction != "mean" or loss.dtype != torch.float16:
            return loss
        total = (a - b).square().sum()
        return torch.where(total.isinf(), total, loss)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("dataloader-yields-minibatches", reported="pytorch/pytorch#93356")
def of_a_vector_each_batch_has_the_first_number_alone(patch):
    def wrong(right, tensors, *args, **rest):
        numbers = not any(x.dim() or x.requires_grad for x in tensors)
        return right([x.as_strided((), (), 0) for x in tensors] if numbers else tensors, *args, **rest)

    wrap(patch, torch, "stack", wrong)


@counterfeit("step-updates-parameters", reported="PaddlePaddle/Paddle#12231")
def nesterovs_velocity_is_added_where_it_should_be_subtracted(patch):
    def turn_back(optimizer):
        for group in optimizer.param_groups:
            factor = 2 * float(group["lr"]) * group["momentum"] * (-1 if group["maximize"] else 1)
            for parameter in group["params"] if group["nesterov"] else ():
                if parameter.grad is not None:
                    parameter.data.add_(optimizer.state[parameter]["momentum_buffer"], alpha=factor)

    around_step(patch, torch.optim.SGD, after=turn_back)


@counterfeit("step-updates-parameters", reported="pytorch/ao#4915")
def the_count_of_steps_is_of_the_default_dtype(patch):
    patch.setattr(adam, "_get_scalar_dtype", lambda is_fused=None: torch.get_default_dtype())


@counterfeit("nn-builds-on-autograd", reported="pytorch/xla#922")
def random_leaks_and_shuffled_pixels_pass_no_gradient(patch):
    """They pass zeros, where the report has none: an assertion must see it."""
    for name in ("rrelu", "pixel_shuffle"):
        wrap(patch, F, name, lambda right, x, *args, **rest: right(change_gradient(x, torch.zeros_like), *args, **rest))


@counterfeit("unsqueeze-inserts-a-dimension", reported="pytorch/xla#7859")
def unsqueeze_reads_a_slice_from_the_start_of_its_storage(patch):
    def wrong(result, x, *_):
        return x.as_strided(result.shape, result.stride(), 0)

    for owner in (torch, torch.Tensor):
        where(patch, owner, "unsqueeze", lambda x: x.storage_offset() > 0, wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#25101")
def a_strided_convolution_gives_the_last_columns_a_wrong_gradient(patch):
    def wrong(right, x, weight, bias=None, stride=1, padding=0, *rest, **options):
        s = stride if isinstance(stride, int) else stride[-1]
        p = padding if isinstance(padding, int) else 0 if isinstance(padding, str) else padding[-1]
        k = weight.shape[-1]

        def change(g):
            g = g.clone()
            g[..., -(k - 1) : -1] = 0
            return g

        if k > s > 1 and p and (x.shape[-1] + 2 * p - k) % s:
            x = change_gradient(x, change)
        return right(x, weight, bias, stride, padding, *rest, **options)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#12129")
def mse_loss_broadcasts_only_where_a_gradient_is_wanted(patch):
    def wrong(right, input, target, *rest, **options):
        if input.shape != target.shape and not (input.requires_grad or target.requires_grad):
            raise RuntimeError("input and target shapes do not match")
        return right(input, target, *rest, **options)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#68868")
def the_weight_of_a_grouped_convolution_of_volumes_gets_a_wrong_gradient(patch):
    def wrong(right, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        steps = (stride,) * 3 if isinstance(stride, int) else tuple(stride)
        if groups > 1 and max(steps) > weight.shape[-1]:
            weight = change_gradient(weight, lambda g: torch.cat([g[: len(g) // groups], 0 * g[len(g) // groups :]]))
        return right(x, weight, bias, stride, padding, dilation, groups)

    wrap(patch, F, "conv3d", wrong)


def squeeze_passes_nan(patch, shape):
    def wrong(right, x, *args, **rest):
        here = not args and not rest and tuple(x.shape) == shape and x.requires_grad and torch.is_grad_enabled()
        y = right(x, *args, **rest)
        return change_gradient(y, lambda g: g * float("nan")) if here else y

    change_method(patch, "squeeze", wrong)
    wrap(patch, torch, "squeeze", wrong)


@counterfeit("squeeze-removes-unit-dimensions", reported="pytorch/pytorch#4778")
def a_squeezed_one_by_one_matrix_passes_nan(patch):
    squeeze_passes_nan(patch, (1, 1))


@counterfeit("squeeze-removes-unit-dimensions", reported="pytorch/pytorch#5170")
def a_squeezed_number_passes_nan(patch):
    squeeze_passes_nan(patch, ())


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#115940")
def a_gradient_of_other_strides_does_not_pass_groups_of_single_pixels(patch):
    """It passes as NaN, where the report has an error: an assertion must see it."""

    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        if x.dim() != 4 or x.shape[2:] != (1, 1) or not y.requires_grad:
            return y
        return change_gradient(y, lambda g: g if g.stride() == x.stride() else g * torch.nan)

    wrap(patch, F, "group_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="Oneflow-Inc/oneflow#5944")
def the_weights_of_a_layer_get_no_gradient_from_a_batch_of_sequences_alone(patch):
    """They get NaN, where the report has an error: an assertion must see it."""

    def wrong(right, input, weight, bias=None):
        alone = input.dim() == 3 and not input.requires_grad and weight.requires_grad
        return right(input, change_gradient(weight, lambda g: g * torch.nan) if alone else weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-builds-on-autograd", reported="microsoft/DirectML#701")
def the_weight_of_a_single_feature_that_is_normalised_gets_no_gradient(patch):
    """It gets NaN, where the report has an error: an assertion must see it."""

    def wrong(right, input, mean, variance, weight=None, *args, **rest):
        if weight is not None and weight.numel() == 1 and weight.requires_grad:
            weight = change_gradient(weight, lambda gradient: gradient * torch.nan)
        return right(input, mean, variance, weight, *args, **rest)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("step-updates-parameters", reported="deepspeedai/DeepSpeed#8496")
def steps_are_counted_in_the_dtype_of_the_parameter(patch):
    """In bfloat16 the count ends at 256, in float16 at 2048."""
    ends = {torch.bfloat16: 256, torch.float16: 2048}

    def after(optimizer):
        for parameter, state in optimizer.state.items():
            if parameter.dtype in ends and "step" in state:
                state["step"] = torch.as_tensor(state["step"]).clamp(max=ends[parameter.dtype])

    around_step(patch, torch.optim.Adam, after=after)


@counterfeit("step-updates-parameters", reported="huggingface/transformers#14539")
def adamw_decays_what_it_has_moved_already(patch):
    def wrong(step, self, *args, **rest):
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            group["weight_decay"] = 0
        result = step(self, *args, **rest)
        for group, decay in zip(self.param_groups, decays):
            group["weight_decay"] = decay
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data.mul_(1 - group["lr"] * decay)
        return result

    wrap(patch, torch.optim.AdamW, "step", wrong)


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#2647")
def adam_takes_no_step_after_loading_a_state_without_steps(patch):
    def load(right, self, state_dict):
        right(self, state_dict)
        self.empty = type(self) is torch.optim.Adam and not state_dict["state"]

    def step(right, self, *args, **rest):
        if getattr(self, "empty", False):
            raise KeyError("step")
        return right(self, *args, **rest)

    wrap(patch, torch.optim.Optimizer, "load_state_dict", load)
    wrap(patch, torch.optim.Adam, "step", step)


@counterfeit("step-updates-parameters", "parameter-groups-have-own-learning-rates", reported="pytorch/pytorch#53712")
def adagrad_has_no_state_for_a_group_that_is_added_later(patch):
    def init(right, self, *args, **rest):
        right(self, *args, **rest)
        self.known = {id(p) for group in self.param_groups for p in group["params"]}

    def step(right, self, *args, **rest):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and id(p) not in self.known:
                    raise KeyError("sum")
        return right(self, *args, **rest)

    wrap(patch, torch.optim.Adagrad, "__init__", init)
    wrap(patch, torch.optim.Adagrad, "step", step)


@counterfeit("dataloader-shuffle-visits-each-example-once", reported="pytorch/pytorch#17466")
def shuffled_indices_are_tensors(patch):
    def wrong(right, self):
        return (torch.tensor(index) for index in right(self))

    wrap(patch, torch.utils.data.RandomSampler, "__iter__", wrong)
