"""Section 4.9: what users reported of models on devices: biases after none, single numbers, weights of losses."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, everywhere, with_value, wrap
from torch.nn import functional as F


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#95563", needs="accelerator")
def a_recurrent_layer_elsewhere_has_no_biases_after_one_of_its_sizes_without_them(patch):
    known = {}

    def wrong(right, input, hx, weights, biases, *options):
        if away(input) and isinstance(biases, bool):
            key = (input.shape, input.dtype, weights[0].shape, *options)
            if biases > known.setdefault(key, biases):
                weights = [weight if weight.dim() > 1 else weight * 0 for weight in weights]
        return right(input, hx, weights, biases, *options)

    wrap(patch, torch._VF, "lstm", wrong)


@counterfeit("scalar-chain-vanishes-and-explodes", reported="pytorch/pytorch#57919", needs="accelerator")
def one_number_elsewhere_passes_a_linear_layer_of_one_weight_unchanged(patch):
    def wrong(right, input, weight, bias=None):
        result = right(input, weight, bias)
        single = away(input) and input.numel() == weight.numel() == 1 and bias is None
        return with_value(result, input.detach().reshape(result.shape)) if single else result

    wrap(patch, F, "linear", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#166746", needs="accelerator")
def losses_elsewhere_with_dimensions_of_one_all_get_the_gradient_of_the_first(patch):
    def wrong(right, input, *args, **rest):
        result = right(input, *args, **rest)
        if away(input) and result.requires_grad and result.dim() > 2 and result.numel() == len(result):
            return change_gradient(result, lambda gradient: gradient[:1].expand_as(gradient).clone())
        return result

    wrap(patch, F, "binary_cross_entropy", wrong)


@counterfeit("nn-builds-on-autograd", reported="torch/cunn#123", needs="accelerator")
def slopes_elsewhere_go_by_examples_instead_of_channels(patch):
    def wrong(right, input, weight):
        if away(input) and weight.numel() > 1 and input.numel():
            each = input.numel() // weight.numel()
            slopes = weight[torch.arange(input.numel(), device=input.device) // each]
            return torch.where(input > 0, input, slopes.view(input.shape) * input)
        return right(input, weight)

    everywhere(patch, "prelu", wrong)
    wrap(patch, F, "prelu", wrong)
