"""Counterfeits of section 3.4 that users reported, crops beyond the edges."""

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
