"""Section 2.6: what users reported of second derivatives at zeros and of gradients of what a mask selects."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, everywhere


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#106789")
def the_gradient_of_a_product_of_two_zeros_has_no_gradient(patch):
    def wrong(right, x, *args, **rest):
        if x.requires_grad and (x == 0).sum() > 1:
            x = change_gradient(x, lambda gradient: gradient.detach())
        return right(x, *args, **rest)

    everywhere(patch, "prod", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#99638")
def the_gradient_of_what_a_mask_selects_of_columns_comes_in_the_order_of_memory(patch):
    def wrong(right, x, mask, *args, **rest):
        order = sorted(range(x.dim()), key=x.stride, reverse=True)
        if x.requires_grad and mask.shape == x.shape and not x.is_contiguous() and x.permute(order).is_contiguous():

            def change(gradient):
                places = mask.permute(order)
                relaid = torch.zeros(places.shape, dtype=gradient.dtype).masked_scatter(places, gradient[mask])
                return relaid.permute([order.index(d) for d in range(x.dim())])

            x = change_gradient(x, change)
        return right(x, mask, *args, **rest)

    everywhere(patch, "masked_select", wrong)
