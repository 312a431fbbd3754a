"""Section 2.2: what users reported of writes in place by a part of a mask."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#27824")
def a_product_in_place_by_a_part_of_a_mask_drops_its_last_row(patch):
    def wrong(right, x, other, *args, **rest):
        if (
            isinstance(other, torch.Tensor)
            and other.dtype in (torch.bool, torch.uint8)
            and x.is_floating_point()
            and other.dim() > 1
            and not other.is_contiguous()
        ):
            other = torch.cat([other[:-1], torch.zeros_like(other[-1:])])
        return right(x, other, *args, **rest)

    change_method(patch, "__imul__", wrong)
    change_method(patch, "mul_", wrong)
