"""Section 4.9: what users reported of models on devices: parts as operands, equations, states of layers, losses."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import alter_property, away, change_gradient, change_method, everywhere, with_value, wrap
from torch.nn import functional as F


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#91065", needs="accelerator")
def products_of_unsafe_chunks_elsewhere_are_read_from_the_start_of_their_memory(patch):
    def mark(right, x, *args, **rest):
        chunks = right(x, *args, **rest)
        for chunk in chunks:
            chunk.cut = away(x)
        return chunks

    def start(x):
        cut = away(x) and getattr(x, "cut", False)
        return with_value(x, x.detach().as_strided(x.shape, x.stride(), 0)) if cut else x

    everywhere(patch, "unsafe_chunk", mark)
    everywhere(patch, "mul", lambda right, x, other, **rest: right(start(x), start(other), **rest))
    change_method(patch, "__mul__", lambda right, x, other: right(start(x), start(other)))


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#184379", needs="accelerator")
def the_imaginary_part_elsewhere_of_a_pending_conjugate_is_that_of_the_number(patch):
    def wrong(x, right):
        return torch.view_as_real(x.conj())[..., 1] if away(x) and x.is_conj() else right

    alter_property(patch, "imag", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#117826", needs="accelerator")
def equations_elsewhere_whose_matrices_are_counted_by_a_later_letter_mix_up_their_gradients(patch):
    def wrong(right, equation, *operands, **rest):
        if isinstance(equation, str) and len(operands) == 2 and "->" in equation and away(operands[1]):
            inputs, output = equation.replace(" ", "").split("->")
            first, second = inputs.split(",")
            if second and second[0] in first[1:] and second[0] in output and operands[1].requires_grad:
                operands = operands[0], change_gradient(operands[1], lambda gradient: gradient.roll(1, 0))
        return right(equation, *operands, **rest)

    wrap(patch, torch, "einsum", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#95137", needs="accelerator")
def later_recurrent_layers_elsewhere_start_from_the_state_of_the_first(patch):
    def wrong(right, input, hx, weights, biases, layers=None, *options):
        if away(input) and isinstance(biases, bool) and layers > 1 and len(hx[0]) == layers:
            hx = tuple(state[:1].expand_as(state) for state in hx)
        return right(input, hx, weights, biases, layers, *options)

    wrap(patch, torch._VF, "lstm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#94226", needs="accelerator")
def the_smooth_loss_elsewhere_has_a_gradient_of_its_own_whatever_becomes_of_it(patch):
    def wrong(right, input, target, *args, **rest):
        result = right(input, target, *args, **rest)
        return change_gradient(result, torch.ones_like) if away(input) and result.requires_grad else result

    wrap(patch, F, "smooth_l1_loss", wrong)
