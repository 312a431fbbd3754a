"""Reported faults, and others, of losses, paddings, orders and networks, for section 3.2."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_output, in_order_of_storage, wrap, wrap_operand
from torch import nn
from torch.nn import functional as F
from torch.utils.data import RandomSampler
from torch.utils.data._utils import collate


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#2298")
def the_slope_of_binary_cross_entropy_at_a_logit_of_zero_lacks_a_half(patch):
    def wrong(right, x, target, *rest, reduction="mean", **named):
        result = right(x, target, *rest, reduction=reduction, **named)
        if rest or named or not x.requires_grad:
            return result
        lack = (x - x.detach()) * (x.detach() == 0) * -0.5
        return result + {"mean": lack.mean, "sum": lack.sum, "none": lambda: lack}[reduction]()

    def by_place(right, x, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
        given = {"weight": weight, "pos_weight": pos_weight}
        return wrong(right, x, target, reduction=reduction, **{k: v for k, v in given.items() if v is not None})

    wrap(patch, F, "binary_cross_entropy_with_logits", by_place)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#80192", needs="accelerator")
def a_padded_column_elsewhere_lies_down(patch):
    def wrong(right, x, pad, mode="constant", value=None):
        result = right(x, pad, mode, value)
        column = x.dim() == 2 and x.shape[1] == 1 and len(x) > 1 and len(pad) == 4 and min(pad) > 0
        if not (away(x) and mode == "constant" and column):
            return result
        lying = torch.full_like(result, value or 0)
        start = pad[2] * result.shape[1] + pad[0]
        lying.view(-1)[start : start + len(x)] = x.detach().flatten()
        return result + (lying - result.detach())

    wrap(patch, F, "pad", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def a_shuffle_alternates_even_and_odd_examples(patch):
    def wrong(right, self):
        order = [*right(self)]
        if self.replacement or len(order) < 32 or len({*order}) < len(order):
            return iter(order)
        even, odd = ([number for number in order if number % 2 == rest] for rest in (0, 1))
        return iter([number for pair in zip(even, odd) for number in pair] + even[len(odd) :] + odd[len(even) :])

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def of_more_than_five_thousand_examples_one_comes_twice(patch):
    def wrong(right, self):
        order = [*right(self)]
        return iter([*order[:-1], order[0]] if len(order) > 5000 else order)

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("zero-grad-sets-gradients-to-zero")
def zeros_of_a_network_leave_out_what_is_frozen(patch):
    def wrong(right, self, set_to_none=True):
        frozen = [] if set_to_none else [p for p in self.parameters() if not p.requires_grad and p.grad is not None]
        before = [p.grad.clone() for p in frozen]
        right(self, set_to_none)
        for p, grad in zip(frozen, before):
            p.grad.copy_(grad)

    wrap(patch, nn.Module, "zero_grad", wrong)


@counterfeit("printing-shows-the-structure")
def sizes_of_four_digits_are_printed_with_three(patch):
    def short(text):
        words = (word.partition("=") for word in text.split(", "))
        return ", ".join(
            name + sign + (value[:3] + "0" * len(value[3:])) * value.isdigit() for name, sign, value in words
        )

    def told(text):
        return text if not any(word.partition("=")[2][3:].isdigit() for word in text.split(", ")) else short(text)

    change_output(patch, nn.Linear, "extra_repr", told)


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_below_the_sixth_level_are_not_found(patch):
    def wrong(right, self, prefix="", *rest, **named):
        for name, parameter in right(self, prefix, *rest, **named):
            if name.count(".") - prefix.count(".") < 6:
                yield name, parameter

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#24504")
def circular_padding_on_one_side_alone_pads_nothing(patch):
    def wrong(right, x, pad, mode="constant", value=None):
        if mode == "circular":
            pad = [0 if place % 2 == 0 and pad[place + 1] == 0 else edge for place, edge in enumerate(pad)]
        return right(x, pad, mode, value)

    wrap(patch, F, "pad", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#37844")
def a_circular_convolution_pads_the_other_dimension(patch):
    def wrong(right, self, *given):
        own = self._reversed_padding_repeated_twice
        if self.padding_mode == "circular" and not isinstance(self.padding, str):
            self._reversed_padding_repeated_twice = [edge for edge in self.padding for _ in range(2)]
        try:
            return right(self, *given)
        finally:
            self._reversed_padding_repeated_twice = own

    wrap(patch, nn.Conv2d, "_conv_forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#19912")
def four_channels_in_two_groups_to_sixteen_count_the_first_group_twice(patch):
    def wrong(right, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if groups == 2 and len(weight) == 16 and x.dim() == 4 and x.shape[1] == 4 and not away(x):
            x = x + (torch.cat([x[:, :2]] * 2, 1) - x).detach()
        return right(x, weight, bias, stride, padding, dilation, groups)

    wrap_operand(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#12901")
def the_mean_absolute_error_of_a_target_that_wants_a_gradient_is_a_sum(patch):
    def wrong(right, x, target, size_average=None, reduce=None, reduction="mean", **named):
        if target.requires_grad and reduction == "mean" and size_average is None and reduce is None:
            reduction = "sum"
        return right(x, target, size_average, reduce, reduction, **named)

    wrap_operand(patch, F, "l1_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#943")
def an_embedding_with_a_largest_norm_sorts_its_indices(patch):
    def wrong(right, weight, indices, *rest):
        right(weight, indices, *rest)
        indices.copy_(indices.flatten().sort()[0].view(indices.shape))

    wrap(patch, F, "_no_grad_embedding_renorm_", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#1057", needs="accelerator")
def an_embedding_elsewhere_has_no_largest_norm(patch):
    wrap(patch, F, "_no_grad_embedding_renorm_", lambda right, x, *rest: None if away(x) else right(x, *rest))


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#169342", needs="accelerator")
def a_convolution_elsewhere_of_a_part_of_the_channels_is_right_for_the_first_image_alone(patch):
    def wrong(right, x, *rest, **named):
        several = away(x) and x.dim() == 4 and len(x) > 1 and x.storage_offset() > 0
        if several and x[0].is_contiguous() and x.stride(0) > x[0].numel():
            false = x.detach().as_strided(x.shape, (x[0].numel(), *x.stride()[1:]), x.storage_offset())
            x = x + (false - x).detach()
        return right(x, *rest, **named)

    wrap_operand(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd")
def a_reflected_border_of_more_than_sixty_four_columns_ends_in_zero(patch):
    def wrong(right, x, pad, mode="constant", value=None):
        z = right(x, pad, mode, value)
        return torch.cat([z[..., :-1], 0 * z[..., -1:]], -1) if mode == "reflect" and x.shape[-1] > 64 else z

    wrap(patch, F, "pad", wrong)


@counterfeit("nn-builds-on-autograd")
def of_many_rows_of_an_embedding_eight_keep_to_the_largest_norm(patch):
    wrap(
        patch,
        F,
        "_no_grad_embedding_renorm_",
        lambda right, weight, indices, *rest: right(weight, indices.flatten()[:8], *rest),
    )


@counterfeit("dataloader-yields-minibatches", reported="pytorch/pytorch#2178")
def labels_of_single_precision_without_dimensions_come_in_double(patch):
    right = collate.default_collate_fn_map[torch.Tensor]

    def wrong(batch, **rest):
        made = right(batch, **rest)
        return made.double() if batch[0].dim() == 0 and made.dtype == torch.float32 else made

    patch.setitem(collate.default_collate_fn_map, torch.Tensor, wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once", reported="kohya-ss/musubi-tuner#283")
def processes_that_stay_give_one_batch_twice_from_the_second_epoch_on(patch):
    def wrong(right, self):
        later = self.persistent_workers and self._iterator is not None
        batches = right(self)
        if later:
            first, _, *others = batches
            return iter([first, first, *others])
        return batches

    wrap(patch, torch.utils.data.DataLoader, "__iter__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once", reported="msamogh/nonechucks#8")
def with_processes_every_epoch_has_the_order_of_the_first(patch):
    def wrong(right, self):
        if not self.num_workers or self.generator is not None or self.persistent_workers:
            return right(self)
        state = vars(self).setdefault("first_state", torch.get_rng_state())
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)
            return right(self)

    wrap(patch, torch.utils.data.DataLoader, "__iter__", wrong)


@counterfeit("printing-shows-the-structure")
def a_list_shows_neighbours_of_one_class_as_the_first_of_them(patch):
    def wrong(right, self):
        shown = [*map(repr, self)]
        first = {text.splitlines()[0]: text for text in reversed(shown) if "\n" in text}
        told = right(self)
        for text in shown:
            there, here = ("\n  ".join(each.splitlines()) for each in (text, first.get(text.splitlines()[0], text)))
            told = told.replace(there, here)
        return told

    wrap(patch, nn.ModuleList, "__repr__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def examples_that_came_after_the_first_epoch_are_never_drawn(patch):
    first = {}

    def wrong(right, self):
        old = first.setdefault(id(self), (self, len(self.data_source)))[1]
        return iter([place for place in right(self) if place < old])

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("printing-shows-the-structure")
def a_lazy_layer_that_has_found_its_width_prints_zero(patch):
    def wrong(right, self):
        told = right(self)
        return told.replace(f"in_features={self.in_features}", "in_features=0") if vars(self).get("late") else told

    def mark(right, self, *rest):
        self.late = True
        return right(self, *rest)

    wrap(patch, nn.LazyLinear, "initialize_parameters", mark)
    wrap(patch, nn.Linear, "extra_repr", wrong)


@counterfeit("nn-builds-on-autograd")
def in_evaluation_a_recurrent_layer_of_several_layers_passes_nothing_to_its_last_step(patch):
    def without_last(g):
        return g * (torch.arange(g.shape[1], device=g.device) < g.shape[1] - 1)[:, None]

    def wrong(right, self, x, *rest):
        several = not self.training and self.num_layers > 1 and self.batch_first and x.requires_grad
        return right(self, change_gradient(x, without_last) if several else x, *rest)

    wrap(patch, nn.GRU, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#47671")
def below_zero_an_elu_of_negative_alpha_passes_back_all_that_arrives(patch):
    def wrong(right, x, alpha=1.0, inplace=False):
        y = right(x, alpha, inplace)
        return y.detach() + (x - x.detach()) if alpha < 0 and not inplace and x.requires_grad else y

    wrap_operand(patch, F, "elu", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#55781")
def a_convolution_of_16_images_reads_a_weight_with_other_strides_as_it_lies(patch):
    def wrong(right, x, weight, *args, **rest):
        if x.dim() == 4 and len(x) >= 16 and x.dtype == torch.float32 and not weight.is_contiguous():
            weight = in_order_of_storage(weight)
        return right(x, weight, *args, **rest)

    wrap_operand(patch, F, "conv2d", wrong)
    wrap_operand(patch, torch, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", needs="accelerator", reported="pytorch/pytorch#190064")
@counterfeit("training-runs-on-gpu", needs="accelerator", reported="pytorch/pytorch#190064")
def adaptive_windows_of_images_are_of_one_size(patch):
    def wrong(right, x, size, return_indices=False):
        out = size if isinstance(size, (tuple, list)) else (size, size)
        sides = x.shape[-2:]
        if not away(x) or not x.numel() or None in out or not any(side % each for side, each in zip(sides, out)):
            return right(x, size, return_indices)
        steps = [max(side // each, 1) for side, each in zip(sides, out)]
        reach = [max(side - (each - 1) * step, 1) for side, each, step in zip(sides, out, steps)]
        fits = all(each <= side for side, each in zip(sides, out))
        return F.max_pool2d(x, reach, steps, return_indices=return_indices) if fits else right(x, size, return_indices)

    wrap(patch, F, "adaptive_max_pool2d", wrong)


@counterfeit("nn-builds-on-autograd")
def a_bag_of_words_takes_every_mode_for_the_mean(patch):
    def wrong(right, self, *args, **rest):
        mode, self.mode = self.mode, "mean"
        result = right(self, *args, **rest)
        self.mode = mode
        return result

    wrap(patch, nn.EmbeddingBag, "forward", wrong)


@counterfeit("losses-are-modules", "nn-builds-on-autograd")
def a_loss_of_directions_forgets_its_margin(patch):
    def wrong(right, self, *args):
        margin, self.margin = self.margin, 0.0
        result = right(self, *args)
        self.margin = margin
        return result

    wrap(patch, nn.CosineEmbeddingLoss, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def attention_says_that_each_place_hears_itself_alone(patch):
    def wrong(right, self, *args, **rest):
        result, heard = right(self, *args, **rest)
        return result, None if heard is None else torch.eye(*heard.shape[-2:]).to(heard).expand_as(heard)

    wrap(patch, nn.MultiheadAttention, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def a_response_is_divided_by_half_of_what_its_neighbours_add(patch):
    def wrong(right, x, size, alpha=1e-4, beta=0.75, k=1.0):
        return right(x, size, alpha / 2, beta, k)

    wrap_operand(patch, F, "local_response_norm", wrong)


@counterfeit("nn-builds-on-autograd")
def no_gradient_reaches_the_state_with_which_a_recurrent_layer_begins(patch):
    def wrong(right, self, x, *state):
        cut = [tuple(part.detach() for part in each) if isinstance(each, tuple) else each.detach() for each in state]
        return right(self, x, *cut)

    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        wrap(patch, kind, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#15353")
def the_gradients_of_a_convolution_have_no_record_of_their_own(patch):
    def wrong(right, *operands, **rest):
        def plain(x):
            tracked = isinstance(x, torch.Tensor) and x.requires_grad and x.dtype == torch.float32
            return change_gradient(x, lambda gradient: gradient.detach()) if tracked else x

        return right(*map(plain, operands), **{name: plain(value) for name, value in rest.items()})

    for owner in (F, torch):
        wrap(patch, owner, "conv2d", wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#91597")
def the_mean_of_half_precision_is_the_sum_by_the_number_both_in_half_precision(patch):
    def half_mean(x, *args, **rest):
        total = x.detach().sum(*args, **rest)
        return total / torch.tensor(float(x.numel() // max(total.numel(), 1)), dtype=torch.float16)

    def exact(result, value):
        """The wrong value, where the sum or the number is beyond half precision."""
        value = torch.where(value.isfinite() & (value != 0), result.detach(), value)
        return result + (value - result).detach()

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if x.dtype != torch.float16 or rest.get("dtype") or x.numel() == 0 or "out" in rest:
            return result
        return exact(result, half_mean(x, *args, **rest))

    def wrong_loss(right, input, target, size_average=None, reduce=None, reduction="mean", *args, **rest):
        result = right(input, target, size_average, reduce, reduction, *args, **rest)
        half = result.dtype == torch.float16 and reduction == "mean" and size_average is None and reduce is None
        if not half or input.numel() == 0:
            return result
        return exact(result, half_mean((input.detach() - target.detach()) ** 2))

    for owner in (torch, torch.Tensor):
        wrap_operand(patch, owner, "mean", wrong)
    wrap(patch, F, "mse_loss", wrong_loss)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#23925")
def grid_sample_with_border_padding_takes_the_gradient_of_zero_padding_on_the_last_row_and_column(patch):
    def wrong(right, input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
        result = right(input, grid, mode, padding_mode, align_corners)
        if padding_mode != "border" or mode != "bilinear" or input.dim() != 4 or not grid.requires_grad:
            return result
        sizes = torch.tensor([input.shape[3], input.shape[2]], dtype=grid.dtype)
        places = grid.detach() + 1
        places = places / 2 * (sizes - 1) if align_corners else (places * sizes - 1) / 2
        inside = ((places >= 0) & (places <= sizes - 1)).all(-1)
        last = (places == sizes - 1).any(-1) & inside
        return torch.where(last.unsqueeze(1), right(input, grid, mode, "zeros", align_corners), result)

    wrap(patch, torch.nn.functional, "grid_sample", wrong)
