"""Counterfeits of section 3.2, batches and single samples: layers and reshapes that are right for most shapes only."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, in_order_of_storage, of_dtype, where, wrap
from torch import nn
from torch.nn import functional as F

Tensor = torch.Tensor


def change_forward(patch, layer, wrong):
    """Let ``layer(x)`` be ``wrong(forward, layer, x)``."""
    forward = layer.forward
    patch.setattr(layer, "forward", lambda self, x: wrong(forward, self, x))


# ── nn-only-takes-batches ──


@counterfeit("nn-only-takes-batches")
def linear_takes_only_batches(patch):
    def wrong(forward, self, x):
        if x.dim() < 2:
            raise RuntimeError("expected a batch")
        return forward(self, x)

    change_forward(patch, nn.Linear, wrong)


@counterfeit("nn-only-takes-batches")
def convolutions_take_only_batches(patch):
    def wrong(forward, self, x):
        if x.dim() < 4:
            raise ValueError("expected a batch")
        return forward(self, x)

    change_forward(patch, nn.Conv2d, wrong)


@counterfeit("nn-only-takes-batches")
def linear_flattens_the_leading_dimensions(patch):
    change_forward(patch, nn.Linear, lambda forward, self, x: forward(self, x).reshape(-1, self.out_features))


@counterfeit("nn-only-takes-batches")
def linear_forgets_the_bias_of_a_single_sample(patch):
    change_forward(patch, nn.Linear, lambda forward, self, x: x @ self.weight.T if x.dim() == 1 else forward(self, x))


@counterfeit("nn-only-takes-batches")
def linear_mixes_up_three_leading_dimensions(patch):
    def wrong(forward, self, x):
        return forward(self, x.transpose(0, 1).reshape(x.shape) if x.dim() == 4 else x)

    change_forward(patch, nn.Linear, wrong)


@counterfeit("nn-only-takes-batches")
def convolution_returns_a_batch_of_one_for_a_single_volume(patch):
    change_forward(patch, nn.Conv3d, lambda forward, self, x: forward(self, x[None] if x.dim() == 4 else x))


@counterfeit("nn-only-takes-batches")
def convolution_takes_the_channels_of_a_single_signal_for_samples(patch):
    def wrong(forward, self, x):
        return forward(self, x[:, None].expand(-1, self.in_channels, -1) if x.dim() == 2 else x)

    change_forward(patch, nn.Conv1d, wrong)


# ── unsqueeze-makes-a-batch-of-one ──


@counterfeit("unsqueeze-makes-a-batch-of-one")
def unsqueeze_makes_a_column(patch):
    change_method(patch, "unsqueeze", lambda unsqueeze, self, d: unsqueeze(self, -1))


@counterfeit("unsqueeze-makes-a-batch-of-one")
def unsqueeze_reverses_the_sample(patch):
    change_method(patch, "unsqueeze", lambda unsqueeze, self, d: unsqueeze(self.flip(-1), d))


@counterfeit("unsqueeze-makes-a-batch-of-one")
def unsqueeze_makes_a_batch_of_two(patch):
    change_method(patch, "unsqueeze", lambda unsqueeze, self, d: torch.cat([unsqueeze(self, d)] * 2, d))


@counterfeit("unsqueeze-makes-a-batch-of-one")
def linear_squeezes_a_batch_of_one(patch):
    change_forward(patch, nn.Linear, lambda forward, self, x: forward(self, x)[0] if len(x) == 1 else forward(self, x))


@counterfeit("unsqueeze-makes-a-batch-of-one")
def unsqueeze_puts_the_channels_of_an_image_last(patch):
    where(patch, Tensor, "unsqueeze", lambda x: x.dim() == 3, lambda _, x, d: x.movedim(0, -1)[None])


# ── unsqueeze-inserts-a-dimension ──


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_counts_negative_positions_as_squeeze_does(patch):
    """So that -1 names the place before the last dimension."""
    change_method(patch, "unsqueeze", lambda unsqueeze, self, d: unsqueeze(self, d - 1 if -self.dim() <= d < 0 else d))


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_copies_what_is_not_contiguous(patch):
    change_method(patch, "unsqueeze", lambda unsqueeze, self, dim: unsqueeze(self.contiguous(), dim))


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_copies_large_tensors(patch):
    change_method(
        patch, "unsqueeze", lambda unsqueeze, self, dim: unsqueeze(self.clone() if self.numel() > 1000 else self, dim)
    )


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_works_in_place(patch):
    change_method(patch, "unsqueeze", lambda _, self, d: self.unsqueeze_(d))


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_adds_no_second_unit_dimension_in_front(patch):
    change_method(
        patch,
        "unsqueeze",
        lambda unsqueeze, self, dim: self if dim == 0 and self.dim() > 3 and len(self) == 1 else unsqueeze(self, dim),
    )


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_transposes_what_follows_the_new_dimension(patch):
    """The shape is right, the elements come in another order."""
    change_method(
        patch,
        "unsqueeze",
        lambda unsqueeze, self, d: unsqueeze(self.mT.reshape(self.shape) if self.dim() > 1 else self, d),
    )


# ── unsqueeze-out-of-range-raises ──


@counterfeit("unsqueeze-out-of-range-raises")
def unsqueeze_takes_positions_beyond_the_end_for_the_end(patch):
    change_method(patch, "unsqueeze", lambda unsqueeze, self, d: unsqueeze(self, min(d, self.dim())))


@counterfeit("unsqueeze-out-of-range-raises")
def unsqueeze_takes_positions_below_the_range_for_the_front(patch):
    change_method(patch, "unsqueeze", lambda unsqueeze, self, d: unsqueeze(self, max(d, -self.dim() - 1)))


@counterfeit("unsqueeze-out-of-range-raises")
def unsqueeze_of_a_scalar_accepts_any_position(patch):
    change_method(patch, "unsqueeze", lambda unsqueeze, self, d: unsqueeze(self, d if self.dim() else 0))


@counterfeit("unsqueeze-out-of-range-raises")
def unsqueeze_names_the_range_of_the_old_dimensions(patch):
    def wrong(unsqueeze, self, d):
        if not -self.dim() - 1 <= d <= self.dim():
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{self.dim()}, {self.dim() - 1}], but got {d})"
            )
        return unsqueeze(self, d)

    change_method(patch, "unsqueeze", wrong)


# ── squeeze-removes-unit-dimensions ──


def squeeze_but(patch, shape_after):
    """Let ``squeeze()`` result in ``shape_after(shape)``; leave ``squeeze(d)``."""
    change_method(
        patch,
        "squeeze",
        lambda squeeze, self, *d, **named: (
            squeeze(self, *d, **named) if d or named else self.view(shape_after(list(self.shape)))
        ),
    )


@counterfeit("squeeze-removes-unit-dimensions")
def squeeze_removes_leading_unit_dimensions_only(patch):
    def after(shape):
        while shape and shape[0] == 1:
            shape = shape[1:]
        return shape

    squeeze_but(patch, after)


@counterfeit("squeeze-removes-unit-dimensions")
def squeeze_removes_one_of_two_neighbouring_unit_dimensions(patch):
    squeeze_but(patch, lambda shape: [n for i, n in enumerate(shape) if n != 1 or (i > 0 and shape[i - 1] == 1)])


@counterfeit("squeeze-removes-unit-dimensions")
def squeeze_leaves_one_dimension_at_least(patch):
    squeeze_but(patch, lambda shape: [n for n in shape if n != 1] or [1])


@counterfeit("squeeze-removes-unit-dimensions")
def squeeze_leaves_empty_tensors_alone(patch):
    squeeze_but(patch, lambda shape: shape if 0 in shape else [n for n in shape if n != 1])


@counterfeit("squeeze-removes-unit-dimensions")
def squeeze_works_in_place(patch):
    change_method(patch, "squeeze", lambda squeeze, self, *d: squeeze(self, *d) if d else self.squeeze_())


@counterfeit("squeeze-removes-unit-dimensions")
def squeeze_copies_what_it_changes(patch):
    def wrong(squeeze, self, *d, **named):
        return squeeze(self.clone() if 1 in self.shape else self, *d, **named)

    change_method(patch, "squeeze", wrong)


@counterfeit("squeeze-removes-unit-dimensions")
def squeeze_copies_what_is_not_contiguous(patch):
    change_method(patch, "squeeze", lambda squeeze, self, *d, **named: squeeze(self.contiguous(), *d, **named))


# ── squeeze-one-dimension ──


@counterfeit("squeeze-one-dimension")
def squeeze_of_a_dimension_removes_all_of_size_one(patch):
    change_method(patch, "squeeze", lambda squeeze, self, *d: squeeze(self))


@counterfeit("squeeze-one-dimension")
def squeeze_of_a_dimension_takes_negative_ones_from_the_front(patch):
    change_method(patch, "squeeze", lambda squeeze, self, d: squeeze(self, abs(d)))


@counterfeit("squeeze-one-dimension")
def squeeze_of_another_size_copies(patch):
    change_method(patch, "squeeze", lambda squeeze, self, d: squeeze(self, d) if self.shape[d] == 1 else self.clone())


@counterfeit("squeeze-one-dimension")
def squeeze_of_another_size_removes_the_first_unit_dimension(patch):
    change_method(
        patch, "squeeze", lambda squeeze, self, d: squeeze(self, d) if self.shape[d] == 1 else squeeze(self, 0)
    )


@counterfeit("squeeze-one-dimension")
def squeeze_of_another_size_keeps_the_first_element_only(patch):
    change_method(
        patch, "squeeze", lambda squeeze, self, d: squeeze(self, d) if self.shape[d] == 1 else self.select(d, 0)
    )


@counterfeit("squeeze-one-dimension")
def squeeze_works_in_place_on_one_dimension(patch):
    change_method(patch, "squeeze", lambda squeeze, self, d: self.squeeze_(d))


@counterfeit("squeeze-one-dimension")
def squeeze_removes_an_empty_dimension(patch):
    change_method(patch, "squeeze", lambda squeeze, self, d: squeeze(self, d) if self.shape[d] != 0 else self.sum(d))


@counterfeit("squeeze-one-dimension")
def squeeze_accepts_a_dimension_beyond_the_end(patch):
    change_method(patch, "squeeze", lambda squeeze, self, d: squeeze(self, min(d, self.dim() - 1)))


# ── faults of other layers, sizes, ranks and spellings ──


@counterfeit("nn-only-takes-batches")
def a_single_image_gets_no_padding(patch):
    def wrong(forward, self, x):
        return F.conv2d(x, self.weight, self.bias, self.stride, 0) if x.dim() == 3 else forward(self, x)

    change_forward(patch, nn.Conv2d, wrong)


@counterfeit("nn-only-takes-batches")
def batch_norm_in_training_accepts_a_single_image(patch):
    def wrong(forward, self, x):
        return forward(self, x[None])[0] if self.training and x.dim() == 3 else forward(self, x)

    change_forward(patch, nn.BatchNorm2d, wrong)


@counterfeit("nn-only-takes-batches")
def transposed_convolutions_take_only_batches(patch):
    def wrong(forward, self, x, output_size=None):
        if x.dim() == 3:
            raise RuntimeError("expected a batch")
        return forward(self, x, output_size)

    wrap(patch, nn.ConvTranspose2d, "forward", wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#189495")
def linear_wraps_batches_beyond_65536(patch):
    def wrong(right, input, weight, bias=None):
        output = right(input, weight, bias)
        wraps = bias is not None and input.dim() == 3 and len(input) > 65536
        return torch.cat([output[:65536], output[: len(output) - 65536]]) if wraps else output

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-only-takes-batches")
def linear_of_no_samples_keeps_the_number_of_features(patch):
    where(patch, nn.Linear, "forward", lambda layer: True, lambda output, layer, x: x if 0 in x.shape[:-1] else output)


@counterfeit("squeeze-removes-unit-dimensions")
def squeeze_removes_four_dimensions_at_most(patch):
    def wrong(squeeze, self, *d, **named):
        few = d or named or self.shape.count(1) < 5
        return squeeze(self, *d, **named) if few else self.view(1, *squeeze(self).shape)

    change_method(patch, "squeeze", wrong)


@counterfeit("squeeze-removes-unit-dimensions", "squeeze-one-dimension")
def the_function_squeeze_does_nothing(patch):
    patch.setattr(torch, "squeeze", lambda input, dim=None: input)


@counterfeit("unsqueeze-inserts-a-dimension")
def unsqueeze_widens_half_precision(patch):
    where(patch, Tensor, "unsqueeze", of_dtype(torch.bfloat16), lambda result, *_: result.float())


@counterfeit("unsqueeze-inserts-a-dimension", "unsqueeze-makes-a-batch-of-one")
def unsqueeze_starts_at_the_beginning_of_the_storage(patch):
    where(
        patch,
        Tensor,
        "unsqueeze",
        lambda x: x.storage_offset() > 0,
        lambda result, *_: result.as_strided(result.shape, result.stride(), 0),
    )


@counterfeit("unsqueeze-inserts-a-dimension")
def the_function_unsqueeze_counts_from_the_front_only(patch):
    unsqueeze = torch.unsqueeze
    patch.setattr(torch, "unsqueeze", lambda input, dim: unsqueeze(input, abs(dim) if -input.dim() <= dim else dim))


@counterfeit("unsqueeze-makes-a-batch-of-one")
def linear_of_a_batch_of_one_looks_at_the_first_sixteen_features(patch):
    def wrong(forward, self, x):
        few = x.dim() == 2 and len(x) == 1
        return F.linear(x[:, :16], self.weight[:, :16], self.bias) if few else forward(self, x)

    change_forward(patch, nn.Linear, wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#192212")
def a_convolution_reads_a_weight_that_is_cut_out_as_it_lies(patch):
    def wrong(convolve, x, weight, *args, **rest):
        return convolve(x, weight if weight.is_contiguous() else in_order_of_storage(weight), *args, **rest)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#180984")
def a_convolution_misreads_channels_cut_out_of_channels_last(patch):
    def wrong(convolve, x, *args, **rest):
        cut = x.dim() == 4 and x.stride(1) == 1 and x.stride(3) > x.shape[1]
        return convolve(x.as_strided(x.shape, x.contiguous().stride()) if cut else x, *args, **rest)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#129207")
def a_convolution_has_nothing_in_channels_beyond_65536(patch):
    wrap(
        patch,
        F,
        "conv1d",
        lambda right, x, w, *args: right(x, w * (torch.arange(len(w)) < 65536)[:, None, None], *args),
    )


@counterfeit("squeeze-removes-unit-dimensions")
def without_elements_empty_dimensions_go_too(patch):
    def wrong(squeeze, x, *dim, **rest):
        result = squeeze(x, *dim, **rest)
        return result.flatten() if not (dim or rest or result.numel()) else result

    change_method(patch, "squeeze", wrong)


@counterfeit("squeeze-removes-unit-dimensions", "squeeze-one-dimension")
def squeezed_in_place_the_last_truth_value_is_false(patch):
    def wrong(squeeze, x, *dim, **rest):
        x.reshape(-1)[-1:].zero_() if x.dtype == torch.bool and x.is_contiguous() else x
        return squeeze(x, *dim, **rest)

    change_method(patch, "squeeze_", wrong)
