"""Counterfeits of section 3.2, layers of other shapes, layouts and channels, and optimizers whose gradients stay."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    around_step,
    change_gradient,
    change_method,
    hold_still,
    in_order_of_storage,
    parameters_of,
    step_with,
    wrap,
)
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import BatchSampler, DataLoader, Subset


def change_norm(patch, name, arguments):
    """Let the normalisation ``F.name`` be of what ``arguments`` makes of its input and its further arguments."""
    wrap(patch, F, name, lambda right, x, *rest, **named: right(*arguments(x, *rest), **named))


def doubled(gradient):
    return gradient * 2


def channels_last(x):
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#183825")
def layer_norm_s_parameters_have_wrong_gradients_where_the_input_needs_none(patch):
    def wrong(x, shape, weight, bias, *rest):
        if not x.requires_grad:
            weight, bias = change_gradient(weight, doubled), change_gradient(bias, doubled)
        return x, shape, weight, bias, *rest

    change_norm(patch, "layer_norm", wrong)


def count_rows(patch, count):
    """Let the gradients of LayerNorm's parameters come from the first ``count(input, rows)`` rows alone."""

    def wrong(right, x, shape, weight, bias, *rest):
        rows = x.reshape(-1, *shape)
        first = count(x, rows)
        known = right(rows[:first], shape, weight, bias, *rest)
        return torch.cat([known, right(rows[first:], shape, weight.detach(), bias.detach(), *rest)]).view(x.shape)

    wrap(patch, F, "layer_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="flagos-ai/FlagGems#5392")
def layer_norm_s_backward_takes_every_input_for_a_matrix(patch):
    count_rows(patch, lambda x, rows: len(x))


@counterfeit("nn-builds-on-autograd", reported="BobMcDear/attorch#18")
def layer_norm_s_weight_forgets_the_last_of_many_narrow_rows(patch):
    def count(x, rows):
        many = len(rows) >= 1024 and rows[0].numel() < 64
        return len(rows) // 8 * 8 if many else len(rows)

    count_rows(patch, count)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#174345")
def batch_norm_reads_channels_last_from_the_start_of_their_storage(patch):
    def wrong(x, mean, var, weight=None, bias=None, training=False, *rest):
        if channels_last(x) and x.storage_offset() and not training:
            x = x.as_strided(x.shape, x.stride(), 0)
        return x, mean, var, weight, bias, training, *rest

    change_norm(patch, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#62594")
def batch_norm_of_half_channels_last_comes_in_row_order(patch):
    def wrong(right, x, mean, var, weight=None, bias=None, training=False, *rest):
        y = right(x, mean, var, weight, bias, training, *rest)
        if channels_last(x) and x.dtype == torch.float16 and not training:
            return y.permute(0, 2, 3, 1).reshape(y.shape)
        return y

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#197114")
def conv3d_of_several_channels_in_row_order_mixes_them(patch):
    def wrong(right, x, w, *rest, **named):
        return right(x, w.flip(1) if x.is_contiguous() and w.shape[1] > 1 else w, *rest, **named)

    wrap(patch, F, "conv3d", wrong)


@counterfeit("nn-only-takes-batches", reported="NervanaSystems/neon#361")
def conv3d_forgets_the_rest_of_a_batch_past_thirty_two(patch):
    def wrong(right, x, *rest, **named):
        y = right(x, *rest, **named)
        if x.dim() == 5 and len(x) > 32 and len(x) % 32:
            y = torch.cat([y[: len(y) // 32 * 32], torch.zeros_like(y[len(y) // 32 * 32 :])])
        return y

    wrap(patch, F, "conv3d", wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#188335")
def a_convolution_of_each_channel_over_all_rows_takes_the_next_image_of_a_batch(patch):
    def wrong(right, x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
        y = right(x, w, bias, stride, padding, dilation, groups)
        tall = x.dim() == 4 and groups == x.shape[1] > 1 and w.shape[2:] == (x.shape[2], 1)
        return y.roll(1, 0) if tall and x.dtype == torch.float32 else y

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#82060")
def a_channels_last_kernel_of_one_channel_gives_images_in_another_order(patch):
    def wrong(right, x, w, *rest, **named):
        y = right(x, w, *rest, **named)
        one = w.shape[1] == 1 and w.stride(1) == 1 < w.shape[2:].numel() and x.is_contiguous()
        return y.movedim(-3, -1).reshape(y.shape) if one else y

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-only-takes-batches", reported="modular/modular#6248")
def a_convolution_of_eight_channels_and_more_shifts_those_past_eight(patch):
    def wrong(right, x, w, *rest, **named):
        return right(x, torch.cat([w[:, :8], w[:, 8:].roll(1, 1)], 1) if w.shape[1] > 8 else w, *rest, **named)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("linear-model-is-weighted-sum", "nn-only-takes-batches", reported="tenstorrent/tt-metal#16599")
def rows_in_batches_of_one_have_the_bias_in_the_first_batch_alone(patch):
    def wrong(right, x, weight, bias=None):
        y = right(x, weight, bias)
        if bias is not None and x.dim() == 3 and x.shape[1] == 1 < len(x):
            y = torch.cat([y[:1], right(x[1:], weight)])
        return y

    wrap(patch, F, "linear", wrong)


class WrongLinear(torch.autograd.Function):
    """Linear whose input's gradient reads a weight that does not lie in row order as if it did."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return torch.matmul(x, weight.t()) + bias

    @staticmethod
    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        return g @ in_order_of_storage(weight), g.flatten(0, -2).t() @ x.flatten(0, -2), g.flatten(0, -2).sum(0)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#51713")
def the_gradient_of_a_linear_layer_s_input_reads_its_weight_in_the_order_of_memory(patch):
    def wrong(right, x, weight, bias=None):
        odd = weight.dim() == 2 <= x.dim() and not weight.is_contiguous() and bias is not None
        return WrongLinear.apply(x, weight, bias) if odd else right(x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop", "step-updates-parameters", reported="DiffSharp/DiffSharp#292")
def adam_counts_a_step_for_each_of_its_parameters(patch):
    def after(self):
        for state in self.state.values():
            state["step"] += len(self.state) - 1

    for kind in (Adam, AdamW):
        around_step(patch, kind, after=after)


@counterfeit("new-optimizer-loses-momentum", reported="tenstorrent/tt-metal#53212")
def what_is_loaded_is_corrected_by_the_betas_of_before(patch):
    def wrong(load, self, state_dict):
        old = [group["betas"] for group in self.param_groups]
        load(self, state_dict)
        for (_, before), group in zip(old, self.param_groups):
            for parameter in group["params"]:
                state = self.state.get(parameter)
                if state:
                    ratio = torch.log(torch.tensor(before)) / torch.log(torch.tensor(group["betas"][1]))
                    state["step"] = state["step"] * ratio

    for kind in (Adam, AdamW):
        wrap(patch, kind, "load_state_dict", wrong)


@counterfeit(
    "weight-decay-equals-l2-regularisation", "penalty-shrinks-weights-each-step", reported="ml-explore/mlx#473"
)
def sgd_decays_only_with_momentum(patch):
    step_with(patch, SGD, "weight_decay", lambda self, group: group["weight_decay"] if group["momentum"] else 0)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#126854")
def a_scheduler_multiplies_a_rate_that_is_a_tensor_again_and_again(patch):
    def wrong(right, self):
        held = [isinstance(group["lr"], torch.Tensor) for group in self.optimizer.param_groups]
        rates = [
            group["lr"] * lambd(self.last_epoch) for group, lambd in zip(self.optimizer.param_groups, self.lr_lambdas)
        ]
        return [rate if tensor else own for rate, tensor, own in zip(rates, held, right(self))]

    wrap(patch, LambdaLR, "get_lr", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once", reported="NVlabs/VILA#123")
def the_same_examples_are_left_out_in_every_epoch(patch):
    def wrong(init, self, data, batch_size=1, shuffle=None, **rest):
        if shuffle and rest.get("drop_last"):
            data = Subset(data, range(len(data) // batch_size * batch_size))
        init(self, data, batch_size, shuffle, **rest)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("dataloader-yields-minibatches", reported="pytorch/vision#9127")
def the_number_of_mini_batches_is_rounded_down(patch):
    wrap(patch, BatchSampler, "__len__", lambda right, self: len(self.sampler) // self.batch_size)


# ── aimed at what no population has ──


@counterfeit("nn-builds-on-autograd")
def group_norm_takes_all_channels_for_one_group(patch):
    change_norm(patch, "group_norm", lambda x, groups, *rest: (x, 1, *rest))


@counterfeit("nn-builds-on-autograd")
def batch_norm_of_a_matrix_passes_back_what_it_is_given_scaled(patch):
    def wrong(right, x, mean, var, weight, bias, *rest):
        if x.dim() > 2:
            return right(x, mean, var, weight, bias, *rest)
        y, scale = right(x.detach(), mean, var, weight, bias, *rest), weight / (x.detach().var(0, False) + 1e-5).sqrt()
        return y + (x - x.detach()) * scale.detach()

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("learning-rate-can-be-edited-in-place")
def a_rate_that_is_a_tensor_is_read_at_the_first_step_alone(patch):
    def first(self, group):
        if not isinstance(group["lr"], torch.Tensor):
            return group["lr"]
        return group.setdefault("first", group["lr"].clone())

    for kind in (SGD, Adam, AdamW):
        step_with(patch, kind, "lr", first)


@counterfeit("step-updates-parameters", "optim-offers-sgd-adam-rmsprop")
def the_momentum_is_the_first_gradient_itself(patch):
    def after(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state.get(p)
                if p.grad is not None and state and "momentum_buffer" in state and not state.get("seen"):
                    p.grad.copy_(state["momentum_buffer"])
                    state["momentum_buffer"], state["seen"] = p.grad, True

    around_step(patch, SGD, after=after)


@counterfeit("step-updates-parameters")
def who_maximises_leaves_the_gradient_negated(patch):
    def after(self):
        for group in self.param_groups:
            for p in group["params"] if group["maximize"] else ():
                if p.grad is not None:
                    p.grad.neg_()

    for kind in (SGD, Adam, AdamW, RMSprop):
        around_step(patch, kind, after=after)


@counterfeit("weight-decay-equals-l2-regularisation", "weight-decay-decays-bias-by-default")
def the_decay_stays_in_the_gradient(patch):
    def before(self):
        self.kept = [(p, p.detach() * group["weight_decay"]) for group in self.param_groups for p in group["params"]]

    def after(self):
        for p, decay in self.kept:
            if p.grad is not None:
                p.grad.add_(decay)

    for kind in (SGD, Adam, AdamW, Adagrad):
        around_step(patch, kind, before, after)


@counterfeit("step-updates-parameters")
def of_a_complex_parameter_the_real_part_alone_moves(patch):
    def wrong(step, self, *args, **rest):
        kept = [(p, p.detach().imag.clone()) for g in self.param_groups for p in g["params"] if p.is_complex()]
        result = step(self, *args, **rest)
        for p, imag in kept:
            p.detach().imag.copy_(imag)
        return result

    for kind in (SGD, Adam, AdamW, RMSprop):
        wrap(patch, kind, "step", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def the_gradient_of_the_summed_squares_is_that_of_their_mean(patch):
    def wrong(right, x, y, *rest, reduction="mean", **named):
        if reduction == "sum":
            x = change_gradient(x, lambda g: g / max(x.numel(), 1))
        return right(x, y, *rest, reduction=reduction, **named)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_mini_batch_of_one_shares_its_memory_with_the_data_set(patch):
    import torch.utils.data._utils.collate as collate

    def wrong(right, batch, *rest, **named):
        rows = batch[0] if len(batch) == 1 and isinstance(batch[0], (tuple, list)) else ()
        if rows and all(isinstance(row, torch.Tensor) for row in rows):
            return [row[None] for row in rows]
        return right(batch, *rest, **named)

    wrap(patch, collate, "default_collate", wrong)
    init = DataLoader.__init__

    def with_collate(self, *args, **rest):
        init(self, *args, **rest)
        self.collate_fn = collate.default_collate

    patch.setattr(DataLoader, "__init__", with_collate)


@counterfeit("squeeze-removes-unit-dimensions")
def no_gradient_comes_back_through_a_squeeze_of_what_is_not_contiguous(patch):
    def wrong(right, x, *rest, **named):
        view = right(x, *rest, **named)
        if view.requires_grad and not x.is_contiguous():
            view.register_hook(torch.zeros_like)
        return view

    change_method(patch, "squeeze", wrong)
    wrap(patch, torch, "squeeze", wrong)


@counterfeit("nn-builds-on-autograd")
def the_weight_s_gradient_reads_an_input_in_the_order_of_memory(patch):
    def wrong(right, x, weight, bias=None):
        if weight.dim() == 2 <= x.dim() and not x.is_contiguous() and weight.requires_grad:
            stored = in_order_of_storage(x.detach())
            return right(x, weight.detach(), bias) + right(stored, weight) - right(stored, weight).detach()
        return right(x, weight, bias)

    wrap(patch, F, "linear", wrong)


# ── means that are large, gradients that are sparse or expanded, samplers of one's own ──


def normalised_at_once(x, axes, eps):
    """``x`` less its mean over its deviation, whose square is the mean of squares less the square of the mean."""
    mean = x.mean(axes, keepdim=True)
    return (x - mean) * ((x * x).mean(axes, keepdim=True) - mean * mean + eps).rsqrt()


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#51102")
def layer_norm_subtracts_squares_of_large_means(patch):
    def wrong(right, x, shape, weight=None, bias=None, eps=1e-5):
        if x.dtype != torch.float32:
            return right(x, shape, weight, bias, eps)
        return normalised_at_once(x, tuple(range(-len(shape), 0)), eps) * weight + bias

    wrap(patch, F, "layer_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="tenstorrent/tt-metal#45968")
def batch_norm_in_bfloat16_subtracts_squares_of_large_means(patch):
    def wrong(right, x, mean, var, weight, bias, training=False, momentum=0.1, eps=1e-5):
        if x.dtype != torch.bfloat16 or not training:
            return right(x, mean, var, weight, bias, training, momentum, eps)
        by_channel = (-1, *[1] * (x.dim() - 2))
        standard = normalised_at_once(x, (0, *range(2, x.dim())), eps)
        return standard * weight.view(by_channel) + bias.view(by_channel)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#110454")
def adagrad_by_whole_lists_stops_after_its_first_sparse_gradient(patch):
    def held(self):
        together = [group["params"] for group in self.param_groups if group.get("foreach")]
        sparse = [p for params in together for p in params if p.grad is not None and p.grad.is_sparse]
        return sparse[1:]

    hold_still(patch, Adagrad, held)


@counterfeit("new-optimizer-loses-momentum", reported="vllm-project/speculators#411")
def a_loaded_count_of_steps_has_the_digits_of_bfloat16(patch):
    def wrong(load, self, state_dict):
        load(self, state_dict)
        for state in self.state.values():
            if "step" in state:
                state["step"] = torch.as_tensor(state["step"]).bfloat16().float()

    for kind in (Adam, AdamW):
        wrap(patch, kind, "load_state_dict", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#175905")
def a_product_over_no_features_is_left_to_chance(patch):
    def wrong(right, x, weight, bias=None):
        y = right(x, weight, bias)
        return y + 7 if x.shape[-1] == 0 else y

    wrap(patch, F, "linear", wrong)


def once(x):
    """``x``, but where its first dimension repeats one row, what follows the first is zero."""
    repeated = x.dim() > 0 and not x.is_sparse and x.stride(0) == 0 and len(x) > 1
    return torch.cat([x[:1], torch.zeros_like(x[1:])]) if repeated else x


@counterfeit("mse-loss-is-mean-squared-error")
def a_label_that_is_repeated_counts_once(patch):
    wrap(patch, F, "mse_loss", lambda right, x, y, *rest, **named: right(x, once(y), *rest, **named))


@counterfeit("step-updates-parameters")
def a_gradient_that_is_repeated_counts_once(patch):
    def before(self):
        for p in parameters_of(self):
            if p.grad is not None:
                p.grad = once(p.grad)

    for kind in (SGD, Adam, AdamW, RMSprop, Adagrad):
        around_step(patch, kind, before)


@counterfeit("dataloader-yields-minibatches")
def with_an_order_of_one_s_own_the_last_mini_batch_is_never_dropped(patch):
    def wrong(init, self, *args, sampler=None, drop_last=False, **rest):
        init(self, *args, sampler=sampler, drop_last=drop_last and sampler is None, **rest)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("nn-builds-on-autograd")
def in_evaluation_batch_norm_leaves_the_running_mean_out(patch):
    def wrong(x, mean, var, weight, bias, training=False, *rest):
        return x, mean if training else torch.zeros_like(mean), var, weight, bias, training, *rest

    change_norm(patch, "batch_norm", wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def adamw_decays_every_group_by_the_rate_of_the_first(patch):
    def after(self):
        first = self.param_groups[0]["lr"]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and group["lr"] != first:
                    p.data.mul_((1 - first * group["weight_decay"]) / (1 - group["lr"] * group["weight_decay"]))

    around_step(patch, AdamW, after=after)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#180776")
def every_second_call_without_bias_differs_in_half_precision(patch):
    calls = []

    def wrong(right, x, w, b=None):
        out = right(x, w, b)
        if b is None and x.dim() > 2 and x.dtype in (torch.float16, torch.bfloat16):
            calls.append(None)
            return out.roll(1, -1) if len(calls) % 2 == 0 else out
        return out

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-only-takes-batches", "linear-model-is-weighted-sum", reported="pytorch/pytorch#188438")
def a_layer_with_bias_errs_on_rows_that_stand_alone_in_their_matrix(patch):
    def wrong(right, x, w, b=None):
        alone = b is not None and x.dim() == 3 and x.shape[1] == 1
        return right(x, w, b).roll(1, 0) if alone else right(x, w, b)

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-only-takes-batches")
def a_convolution_hands_a_single_image_twice_its_gradient(patch):
    def wrong(right, x, *args, **named):
        return right(change_gradient(x, lambda g: 2 * g) if x.dim() == 3 else x, *args, **named)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-only-takes-batches")
def a_convolution_of_a_single_image_is_twice_as_large_without_a_record(patch):
    def wrong(right, x, *args, **named):
        return right(x, *args, **named) * (1 if x.dim() == 4 or torch.is_grad_enabled() else 2)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-only-takes-batches")
def a_single_image_whose_channels_are_last_is_read_in_order_of_memory(patch):
    def wrong(right, layer, image, *args):
        last = image.dim() == 3 and image.stride(0) == 1 and not image.is_contiguous()
        return right(layer, in_order_of_storage(image) if last else image, *args)

    wrap(patch, nn.Conv2d, "_conv_forward", wrong)
