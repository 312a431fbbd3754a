"""Counterfeits of section 3.4 that users reported, crops beyond the edges and grids."""

import torch
import torchvision
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torchvision.transforms import functional as F


@counterfeit("torchvision-offers-transforms", reported="mlverse/torchvision#378")
def a_crop_of_the_middle_beyond_the_edges_swaps_height_and_width(patch):
    def wrong(right, image, size):
        if not isinstance(size, (list, tuple)) or len(size) != 2:
            return right(image, size)
        _, height, width = F.get_dimensions(image)
        return right(image, [*size][::-1] if size[0] > height or size[1] > width else size)

    wrap(patch, F, "center_crop", wrong)


@counterfeit("torchvision-offers-utils", reported="pytorch/vision#217")
def a_normalised_grid_normalises_the_images_themselves(patch):
    def normalise(x, value_range):
        low, high = value_range or (float(x.min()), float(x.max()))
        x.clamp_(low, high).sub_(low).div_(max(high - low, 1e-5))

    def wrong(right, tensor, *args, normalize=False, value_range=None, scale_each=False, **rest):
        grid = right(tensor, *args, normalize=normalize, value_range=value_range, scale_each=scale_each, **rest)
        if normalize and isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.numel():
            for x in tensor if scale_each else [tensor]:
                normalise(x, value_range)
        return grid

    wrap(patch, torchvision.utils, "make_grid", wrong)
