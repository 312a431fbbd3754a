"""Counterfeits of section 3.4, borders of a grid and images with a palette."""

import pytest
from harness.counterfeits import counterfeit
from harness.forging import wrap


@counterfeit("torchvision-offers-utils", reported="pytorch/vision#124")
def the_grid_has_no_border_at_the_bottom_and_on_the_right(patch):
    utils = pytest.importorskip("torchvision.utils")

    def wrong(right, images, nrow=8, padding=2, **rest):
        grid = right(images, nrow=nrow, padding=padding, **rest)
        return grid[..., :-padding, :-padding] if padding and len(images) > 1 else grid

    wrap(patch, utils, "make_grid", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#677")
def an_image_with_a_palette_is_padded_to_black(patch):
    functional = pytest.importorskip("torchvision.transforms.functional")

    def wrong(right, image, *rest, **named):
        padded = right(image, *rest, **named)
        return padded.point(lambda value: 0) if getattr(image, "mode", None) == "P" else padded

    wrap(patch, functional, "pad", wrong)
