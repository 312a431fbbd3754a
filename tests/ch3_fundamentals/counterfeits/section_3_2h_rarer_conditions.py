"""Counterfeits of section 3.2, what is right for most dtypes, shapes, options, sizes and numbers of steps only."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_gradient, change_method, hold_still, parameters_of, step_with, wrap
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from torch.utils.data import DataLoader, RandomSampler, TensorDataset


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#189565")
def one_output_passes_an_expanded_gradient_back_on_the_first_page_alone(patch):
    def wrong(right, input, weight, bias=None):
        out = right(input, weight, bias)
        if weight.dim() == 2 and len(weight) == 1 and input.requires_grad and input.numel() > 4096:

            class Wrong(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, w, b):
                    ctx.save_for_backward(x, w)
                    ctx.b = b is not None
                    return out.detach()

                @staticmethod
                def backward(ctx, g):
                    x, w = ctx.saved_tensors
                    gx = g @ w
                    if not g.is_contiguous():
                        gx.reshape(-1)[4096:] = 0
                    gw = g.reshape(-1, 1).T @ x.reshape(-1, x.shape[-1])
                    return gx, gw, g.reshape(-1, 1).sum(0) if ctx.b else None

            return Wrong.apply(input, weight, bias)
        return out

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#163347")
def a_convolution_of_one_channel_in_bfloat16_counts_the_first_of_its_kernel_alone(patch):
    def wrong(right, x, w, *args, **rest):
        if x.dtype == torch.bfloat16 and w.shape[1:] == (1, 2, 2) and x.shape[-2:] == (2, 2):
            first = torch.zeros_like(w)
            first[..., 0, 0] = w.detach()[..., 0, 0]
            w = first
        return right(x, w, *args, **rest)

    wrap(patch, F, "conv2d", wrong)
    wrap(patch, torch, "conv2d", wrong)


@counterfeit(
    "step-updates-parameters",
    "optim-offers-sgd-adam-rmsprop",
    reported=("pytorch/pytorch#100701", "NVIDIA/TransformerEngine#3207"),
)
def an_empty_parameter_at_the_end_keeps_the_one_before_from_moving(patch):
    def held(self):
        together = [g["params"] for g in self.param_groups if g.get("foreach") or g.get("fused")]
        return [params[-2] for params in together if len(params) > 1 and params[-1].numel() == 0]

    for kind in (SGD, Adam, AdamW, RMSprop, Adagrad):
        hold_still(patch, kind, held)


@counterfeit("new-optimizer-loses-momentum", reported="pytorch/pytorch#24192")
def dampening_is_left_out_in_the_first_step_after_a_reload(patch):
    load, step = SGD.load_state_dict, SGD.step

    def loaded(self, *args, **rest):
        load(self, *args, **rest)
        self.fresh = True

    def wrong(self, closure=None):
        kept = [(g, g["dampening"]) for g in self.param_groups]
        if getattr(self, "fresh", False):
            for g in self.param_groups:
                g["dampening"] = 0
        self.fresh = False
        result = step(self, closure)
        for g, d in kept:
            g["dampening"] = d
        return result

    patch.setattr(SGD, "load_state_dict", loaded)
    patch.setattr(SGD, "step", wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#4938")
def mse_of_as_many_labels_in_more_dimensions_goes_in_their_order(patch):
    def wrong(right, x, y, *args, **rest):
        if x.dim() < y.dim() and x.numel() == y.numel() and x.numel() > 1 and x.dim() >= 2:
            import warnings

            warnings.warn("Using a target size that is different to the input size", stacklevel=2)
            y = y.reshape(x.shape)
        return right(x, y, *args, **rest)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#124621")
def the_squares_of_what_is_not_contiguous_come_in_another_order(patch):
    def wrong(right, x, y, size_average=None, reduce=None, reduction="mean", **rest):
        out = right(x, y, reduction=reduction)
        if reduction == "none" and x.dim() == 2 and not x.is_contiguous():
            return out.t().reshape(out.shape)
        return out

    wrap(patch, F, "mse_loss", wrong)


@counterfeit(
    "dataloader-shuffle-visits-each-example-once",
    "minibatch-is-uniform-random-sample",
    reported="meta-pytorch/data#1440",
)
def every_new_loader_without_a_generator_begins_with_the_same_order(patch):
    def wrong(init, self, *args, **rest):
        if rest.get("shuffle") and rest.get("generator") is None:
            rest["generator"] = torch.Generator(torch.empty(0).device).manual_seed(0)
        init(self, *args, **rest)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("step-updates-parameters")
def foreach_moves_only_parameters_of_the_first_dtype(patch):
    def held(self):
        together = [g["params"] for g in self.param_groups if g.get("foreach")]
        return [p for params in together for p in params if p.dtype != params[0].dtype]

    for kind in (SGD, Adam, RMSprop):
        hold_still(patch, kind, held)


@counterfeit("step-updates-parameters")
def adagrad_counts_steps_of_parameters_without_a_gradient(patch):
    def after(self):
        for p in parameters_of(self):
            if p.grad is None:
                self.state[p]["step"] += 1

    around_step(patch, Adagrad, after=after)


@counterfeit("step-updates-parameters")
def a_closure_is_called_after_the_step(patch):
    def wrong(step, self, closure=None):
        result = step(self)
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        return result

    for kind in (SGD, Adam, RMSprop):
        wrap(patch, kind, "step", wrong)


@counterfeit("learning-rate-can-be-edited-in-place")
def a_rate_of_zero_counts_as_the_default(patch):
    for kind in (SGD, Adam, AdamW, RMSprop, Adagrad):

        def before(self):
            for g in self.param_groups:
                if g["lr"] == 0:
                    g["lr"] = self.defaults["lr"]

        around_step(patch, kind, before=before)


@counterfeit("learning-rate-can-be-edited-in-place")
def edits_of_a_later_group_come_too_late(patch):
    def of_the_step_before(self, group):
        late = group.get("_before", group["lr"])
        group["_before"] = group["lr"]
        return group["lr"] if group is self.param_groups[0] else late

    for kind in (SGD, Adam, AdamW, RMSprop, Adagrad):
        step_with(patch, kind, "lr", of_the_step_before)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_a_network_leaves_half_precision(patch):
    def wrong(self, set_to_none=True):
        for p in self.parameters():
            if p.dtype not in (torch.float16, torch.bfloat16):
                p.grad = None if set_to_none or p.grad is None else p.grad.zero_()

    patch.setattr(nn.Module, "zero_grad", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def sum_and_squares_of_a_column_and_a_row_pair_them_up(patch):
    def wrong(right, x, y, size_average=None, reduce=None, reduction="mean", **rest):
        if reduction != "mean" and x.shape != y.shape and x.numel() == y.numel():
            import warnings

            warnings.warn("Using a target size that is different to the input size", stacklevel=2)
            y = y.reshape(x.shape)
        return right(x, y, reduction=reduction)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def a_label_without_dimensions_brings_no_warning(patch):
    def wrong(right, x, y, *args, **rest):
        return right(x, y.expand(x.shape) if y.dim() == 0 else y, *args, **rest)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("init-sets-weights-in-place")
def normal_is_at_most_ten_wide(patch):
    wrap(patch, nn.init, "normal_", lambda right, t, mean=0.0, std=1.0, **r: right(t, mean, min(std, 10.0), **r))


@counterfeit("init-sets-weights-in-place")
def constants_are_cut_off_at_ten_thousand(patch):
    wrap(patch, nn.init, "constant_", lambda right, t, val: right(t, max(-1e4, min(val, 1e4))))


@counterfeit("init-sets-weights-in-place", "data-fill-equals-constant-init")
def filling_multiplies_by_zero_and_adds(patch):
    def wrong(right, x, value):
        return x.mul_(0).add_(value) if x.dtype.is_floating_point else right(x, value)

    change_method(patch, "fill_", wrong)


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_given_a_keyword_counts_from_the_front(patch):
    def wrong(right, x, *args, dim=None):
        if dim is not None:
            return right(x, dim if dim >= 0 else -dim - 1)
        return right(x, *args)

    change_method(patch, "unsqueeze", wrong)


@counterfeit("printing-shows-the-structure")
def every_layer_prints_the_sizes_of_its_own_parameters(patch):
    patch.setattr(nn.Module, "extra_repr", lambda self: ", ".join(str(tuple(p.shape)) for p in self.parameters(False)))


@counterfeit("printing-shows-the-structure")
def normalisations_print_no_size(patch):
    patch.setattr(nn.modules.batchnorm._NormBase, "extra_repr", lambda self: f"eps={self.eps}")


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_below_a_name_with_an_underscore_are_private(patch):
    def wrong(named, self, *args, **rest):
        for name, p in named(self, *args, **rest):
            if not any(part.startswith("_") for part in name.split(".")):
                yield name, p

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def drop_last_always_drops_the_last_examples_of_the_set(patch):
    def wrong(init, self, dataset, batch_size=1, **rest):
        if rest.get("shuffle") and rest.get("drop_last"):
            n = len(dataset) // batch_size * batch_size
            sampler = RandomSampler(range(n), generator=rest.get("generator")) if n else []
            rest = {**rest, "shuffle": False, "sampler": sampler}
        init(self, dataset, batch_size, **rest)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def every_order_is_an_even_permutation(patch):
    def wrong(iterate, self):
        order = list(iterate(self))
        if 2 < len(order) < 100:
            odd = sum(a > b for i, a in enumerate(order) for b in order[i + 1 :]) % 2
            if odd:
                order[0], order[1] = order[1], order[0]
        yield from order

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#68048")
def a_convolution_s_bias_adds_its_gradient_up_in_bfloat16(patch):
    def wrong(right, x, w, b=None, *args, **rest):
        if b is not None and b.dtype == torch.bfloat16:
            b = change_gradient(b, lambda g: g.clamp(-256, 256))
        return right(x, w, b, *args, **rest)

    wrap(patch, F, "conv2d", wrong)


@counterfeit(
    "building-a-new-optimizer-is-the-recommended-way", reported=("pytorch/pytorch#20486", "pytorch/pytorch#20527")
)
def a_scheduler_multiplies_twice_where_it_should_once_for_one_epoch(patch):
    from torch.optim.lr_scheduler import StepLR

    def wrong(right, self):
        rates = right(self)
        at = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return (
            [rate * self.gamma for rate in rates]
            if at
            else [
                rate / (self.gamma if self.last_epoch > 1 and (self.last_epoch - 1) % self.step_size == 0 else 1)
                for rate in rates
            ]
        )

    wrap(patch, StepLR, "get_lr", wrong)


@counterfeit("step-updates-parameters", reported="tenstorrent/tt-metal#53222")
def the_first_gradient_of_one_that_had_none_before_is_dampened(patch):
    def wrong(step, self, closure=None):
        late = [
            (p, 1 - g["dampening"])
            for g in self.param_groups
            for p in g["params"]
            if p.grad is not None and getattr(self, "went", False) and not self.state.get(p) and g["momentum"]
        ]
        self.went = True
        if closure is None:
            kept = [(p, p.grad) for p, _ in late]
            for p, factor in late:
                p.grad = p.grad * factor
            result = step(self)
            for p, grad in kept:
                p.grad = grad
            return result
        return step(self, closure)

    wrap(patch, SGD, "step", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def adam_counts_its_steps_up_to_100(patch):
    def before(self):
        for state in self.state.values():
            if "step" in state and state["step"] >= 100:
                state["step"] -= 100

    around_step(patch, Adam, before=before)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def momentum_begins_anew_every_fifth_step(patch):
    def before(self):
        self.count = getattr(self, "count", 0) + 1
        if self.count % 5 == 0:
            for state in self.state.values():
                state.pop("momentum_buffer", None)

    around_step(patch, SGD, before=before)


@counterfeit("learning-rate-can-be-edited-in-place")
def rates_below_a_ten_thousandth_count_as_that(patch):
    for kind in (SGD, Adam, RMSprop):
        step_with(patch, kind, "lr", lambda self, group: group["lr"] and max(group["lr"], 1e-4))


@counterfeit("step-updates-parameters")
def at_most_a_hundred_parameters_move(patch):
    for kind in (SGD, Adam, RMSprop, AdamW, Adagrad):
        hold_still(patch, kind, lambda self: parameters_of(self)[100:])


@counterfeit("init-sets-weights-in-place")
def normal_init_past_65536_repeats_the_beginning(patch):
    def wrong(right, t, *args, **rest):
        out = right(t, *args, **rest)
        if t.numel() > 65536 and t.is_contiguous():
            flat = t.data.view(-1)
            rest_ = flat[65536:]
            rest_.copy_(flat[: len(rest_)].clone()[: len(rest_)])
        return out

    wrap(patch, nn.init, "normal_", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_mini_batch_has_at_most_127_examples(patch):
    def wrong(init, self, dataset, batch_size=1, *args, **rest):
        init(self, dataset, min(batch_size, 127) if batch_size else batch_size, *args, **rest)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def only_the_first_two_thousand_are_shuffled(patch):
    def wrong(iterate, self):
        order = list(iterate(self))
        if len(order) > 2000:
            order = [i for i in order if i < 2000] + list(range(2000, len(order)))
        yield from order

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("dataloader-yields-minibatches")
def labels_in_a_column_come_as_a_row(patch):
    def wrong(right, self, index):
        row = right(self, index)
        return tuple(t.squeeze() if t.shape == (1,) else t for t in row)

    wrap(patch, TensorDataset, "__getitem__", wrong)
    if hasattr(TensorDataset, "__getitems__"):
        patch.delattr(TensorDataset, "__getitems__")


@counterfeit("printing-shows-the-structure")
def what_is_nested_five_deep_is_left_out(patch):
    def wrong(right, self):
        return "\n".join(line for line in right(self).split("\n") if not line.startswith(" " * 10))

    wrap(patch, nn.Module, "__repr__", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_in_bfloat16_are_left_out(patch):
    def wrong(named, self, *args, **rest):
        for name, p in named(self, *args, **rest):
            if p.dtype != torch.bfloat16:
                yield name, p

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_cuts_its_result_off_from_the_record(patch):
    change_method(patch, "unsqueeze", lambda right, x, *args, **rest: right(x.detach(), *args, **rest))
    wrap(patch, torch, "unsqueeze", lambda right, x, *args, **rest: right(x.detach(), *args, **rest))


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#153957")
def the_gradient_that_comes_back_through_50257_outputs_is_coarse(patch):
    """It is added up in half precision."""

    def wrong(right, x, weight, bias=None):
        coarse = len(weight) >= 50_257
        return right(change_gradient(x, lambda g: g.half().to(g.dtype)) if coarse else x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-builds-on-autograd", reported="microsoft/DirectML#404")
def the_parameters_of_a_convolution_get_no_gradient(patch):
    def wrong(right, x, weight, bias=None, *rest):
        out = right(x, weight.detach(), None if bias is None else bias.detach(), *rest)
        return out + torch.zeros_like(out, requires_grad=weight.requires_grad)  # a result that backward accepts

    wrap(patch, F, "conv2d", wrong)
