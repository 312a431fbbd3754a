"""Section 3.4: what users reported of bytes as they are decoded."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torchvision.transforms.v2.functional import _geometry


@counterfeit("torchvision-offers-transforms", reported="pytorch/pytorch#100258")
def bytes_in_channels_last_order_are_resized_into_the_wrong_places(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        last = x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        if x.dtype == torch.uint8 and last and rest.get("antialias"):
            return result.permute(0, 2, 3, 1).reshape(result.shape)
        return result

    wrap(patch, _geometry, "interpolate", wrong)
