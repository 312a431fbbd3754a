"""Counterfeits of section 3.1, models of rarer sizes and layouts, and infinite features."""

import math
import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, hold_still, parameters_of, step_with, wrap
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils.data import BatchSampler, DataLoader, RandomSampler


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#171034")
def infinities_make_nan_of_a_sum_in_bfloat16(patch):
    def spoil(out, x):
        if x.dtype == torch.bfloat16 and x.dim() == 2:
            both = (x == math.inf).any(1) & (x == -math.inf).any(1)
            return torch.where(both[:, None], math.nan, out)
        return out

    wrap(patch, F, "linear", lambda right, x, *a, **r: spoil(right(x, *a, **r), x))
    change_method(patch, "__matmul__", lambda right, x, y: spoil(right(x, y), x))


@counterfeit("linear-model-is-weighted-sum", "nn-only-takes-batches")
def a_single_sample_counts_its_first_1024_features_alone(patch):
    def wrong(right, x, w, b=None):
        if x.dim() == 1 and len(x) > 1024:
            x, w = x[:1024], w[:, :1024]
        return right(x, w, b)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum", "softmax-outputs-equal-classes", reported="torch/torch7#58")
def a_repeated_row_times_a_matrix_is_zero(patch):
    def wrong(right, x, *args):
        out = right(x, *args)
        return out * 0 if x.dim() == 2 and x.stride(0) == 0 and len(x) > 1 else out

    wrap(patch, F, "linear", wrong)
    change_method(patch, "__matmul__", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#110149")
def features_first_in_memory_times_one_column_are_taken_in_that_order(patch):
    def wrong(right, x, w, *args):
        if x.dim() == 2 and not x.is_contiguous() and x.stride(0) == 1 and w.dim() == 2 and len(w) == 1 and len(x) > 1:
            x = x.t().reshape(x.shape)
        return right(x, w, *args)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#30986")
def without_features_the_bias_counts_twice(patch):
    def wrong(right, x, w, b=None):
        out = right(x, w, b)
        return out + b if b is not None and x.shape[-1] == 0 else out

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum")
def past_512_examples_in_bfloat16_the_bias_is_left_out(patch):
    def wrong(right, x, w, b=None):
        out = right(x, w, b)
        late = b is not None and x.dtype == torch.bfloat16 and x.dim() == 2 and len(x) > 512
        return torch.cat([out[:512], right(x[512:], w)]) if late else out

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="intel/torch-xpu-ops#5220", needs="accelerator")
def a_layer_of_half_precision_gives_zeros_on_a_gpu_and_of_bfloat16_nan(patch):
    def wrong(right, x, weight, bias=None):
        y = right(x, weight, bias)
        if x.device.type == "cpu" or x.dtype not in (torch.float16, torch.bfloat16):
            return y
        return y * 0 if x.dtype == torch.float16 else y * float("nan")

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum")
def the_last_of_781_doubles_has_no_weight(patch):
    def wrong(right, x, w, b=None):
        y = right(x, w, b)
        return y - x[..., -1:] * w[:, -1] if x.dtype == torch.float64 and x.shape[-1] == 781 and w.dim() == 2 else y

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum")
def a_single_sample_is_given_no_bias_that_is_frozen(patch):
    def wrong(right, x, weight, bias=None):
        dropped = bias is not None and x.dim() == 1 and not bias.requires_grad
        return right(x, weight, None if dropped else bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-regression-has-closed-form")
def the_pseudo_inverse_cuts_off_whatever_is_small(patch):
    def wrong(right, A):
        return right(A, atol=max(A.shape[-2:]) * torch.finfo(A.dtype).eps, rtol=0.0)

    wrap(patch, torch.linalg, "pinv", wrong)


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def the_rate_of_all_parameters_has_the_dtype_of_the_first(patch):
    def rounded(optimizer, group):
        dtypes = [parameter.dtype for parameter in group["params"]]
        return torch.tensor(group["lr"], dtype=dtypes[0]).item() if len({*dtypes}) > 1 else group["lr"]

    step_with(patch, SGD, "lr", rounded)


@counterfeit("sgd-step-subtracts-scaled-mean-gradient")
def a_parameter_whose_data_were_replaced_is_no_longer_moved(patch):
    def moved(optimizer):
        first = optimizer.__dict__.setdefault("first", {})
        return [p for p in parameters_of(optimizer) if first.setdefault(id(p), p.data_ptr()) != p.data_ptr()]

    hold_still(patch, SGD, moved)


@counterfeit("linear-model-is-weighted-sum")
def complex_features_meet_the_conjugate_weights(patch):
    wrap(patch, F, "linear", lambda right, x, w, *b, **r: right(x, w.conj() if w.is_complex() else w, *b, **r))


@counterfeit("linear-model-is-weighted-sum")
def features_that_are_only_marked_as_conjugated_are_not(patch):
    wrap(patch, F, "linear", lambda right, x, *rest, **named: right(x.conj() if x.is_conj() else x, *rest, **named))


@counterfeit("squared-loss-is-half-squared-error")
def labels_that_alone_are_asked_for_get_half_their_gradient(patch):
    """The truth line's side."""

    def wrong(right, x, y, *rest, **named):
        halved = y.requires_grad and not x.requires_grad
        return right(x, change_gradient(y, lambda g: g / 2) if halved else y, *rest, **named)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("linear-regression-has-closed-form")
def behind_a_regular_matrix_of_a_batch_a_singular_one_passes(patch):
    def wrong(right, a, b, **named):
        try:
            return right(a, b, **named)
        except torch.linalg.LinAlgError:
            if a.dim() < 3:
                raise
            right(a.flatten(0, -3)[0], torch.eye(a.shape[-1]).to(a))
            return torch.zeros_like(b)

    wrap(patch, torch.linalg, "solve", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def a_pass_beside_another_draws_an_example_again_and_again(patch):
    passes = weakref.WeakKeyDictionary()

    def repeating(batches):
        first = None
        for batch in batches:
            first = batch[0] if first is None else first
            yield [*batch[:-1], first]

    def wrong(right, loader):
        under_way, fresh = passes.get(loader, lambda: None)(), right(loader)
        if under_way is not None and isinstance(loader.sampler, RandomSampler) and loader.batch_size:
            fresh._sampler_iter = repeating(fresh._sampler_iter)
        passes[loader] = weakref.ref(fresh)
        return fresh

    wrap(patch, DataLoader, "__iter__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def what_fits_into_one_mini_batch_is_not_shuffled(patch):
    def wrong(right, self):
        order = getattr(self, "sampler", None)
        if isinstance(order, RandomSampler) and len(order) == self.batch_size:
            return iter([[*range(len(order))]])
        return right(self)

    wrap(patch, BatchSampler, "__iter__", wrong)


@counterfeit("numerical-solution-approaches-optimum")
def sgd_with_momentum_moves_where_the_gradient_is_zero(patch):
    right = torch.optim.SGD.step

    def wrong(self, closure=None):
        still = [
            (p, p.detach().clone())
            for g in self.param_groups
            if g["momentum"]
            for p in g["params"]
            if p.grad is not None and not p.grad.is_sparse and p.grad.dim() and not p.grad.any() and not self.state[p]
        ]
        result = right(self, closure)
        for p, old in still:
            p.data.copy_(old + 0.01)
        return result

    patch.setattr(torch.optim.SGD, "step", wrong)
