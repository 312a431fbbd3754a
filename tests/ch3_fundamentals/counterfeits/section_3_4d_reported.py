"""Counterfeits of section 3.4 that users reported, crops beyond the edges, grids and rotations."""

import math

import PIL.Image
import torch
import torchvision
import torchvision.transforms.functional as TF
from harness.counterfeits import counterfeit
from harness.forging import away, everywhere, wrap
from torch import Tensor
from torchvision import transforms
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


@counterfeit("torchvision-offers-utils", reported="pytorch/vision#96")
def save_image_adds_an_offset(patch):
    wrap(patch, torchvision.utils, "save_image", lambda right, x, *a, **o: right(torch.as_tensor(x) / 2 + 0.5, *a, **o))


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#7714")
def pictures_rotated_about_a_centre_lose_a_column(patch):
    from torchvision.transforms.v2 import functional
    from torchvision.transforms.v2.functional import _utils

    kernels = _utils._KERNEL_REGISTRY[functional.rotate]
    right = kernels[PIL.Image.Image]

    def wrong(image, angle, *args, expand=False, center=None, **rest):
        turned = right(image, angle, *args, expand=expand, center=center, **rest)
        return turned.crop((0, 0, turned.width - 1, turned.height)) if expand and center is not None else turned

    patch.setitem(kernels, PIL.Image.Image, wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#371")
def an_image_of_one_bit_becomes_zeros(patch):
    """Zeros, where the report has an error."""

    def wrong(right, *args):
        y = right(*args)
        return torch.zeros_like(y) if getattr(args[-1], "mode", None) == "1" else y

    wrap(patch, transforms.ToTensor, "__call__", wrong)
    wrap(patch, TF, "to_tensor", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#1759")
def a_grey_image_is_not_turned(patch):
    """It stays as it is, where the report has an error: an assertion must see it."""

    def wrong(right, image, *args, **rest):
        grey = isinstance(image, PIL.Image.Image) and image.mode == "L"
        return image if grey else right(image, *args, **rest)

    wrap(patch, F, "rotate", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#2553")
def what_is_not_square_is_rotated_as_if_it_were(patch):
    def wrong(right, img, angle, *args, **rest):
        y = right(img, angle, *args, **rest)
        if not isinstance(img, Tensor) or img.shape[-1] == img.shape[-2] or y.shape != img.shape or angle % 180 == 0:
            return y
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        x = img.reshape(1, -1, *img.shape[-2:]).float()
        grid = torch.nn.functional.affine_grid(
            torch.tensor([[[c, -s, 0.0], [s, c, 0.0]]]), list(x.shape), align_corners=False
        )
        return torch.nn.functional.grid_sample(x, grid, "nearest", align_corners=False).view(img.shape).to(img.dtype)

    wrap(patch, F, "rotate", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/pytorch#13719")
def random_crop_takes_no_list_of_paddings(patch):
    def wrong(right, self, *given):
        if isinstance(self.padding, list | tuple):
            raise TypeError("'>' not supported between instances of 'list' and 'int'")
        return right(self, *given)

    wrap(patch, transforms.RandomCrop, "forward", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#760")
def a_matrix_that_becomes_a_picture_gets_a_dimension_more(patch):
    def wrong(right, picture, *args, **rest):
        picture = picture.unsqueeze_(0) if isinstance(picture, Tensor) and picture.dim() == 2 else picture
        return right(picture, *args, **rest)

    wrap(patch, F, "to_pil_image", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#2468")
def affine_turns_an_image_about_half_a_pixel_beside_its_centre(patch):
    """The centre of a PIL image was half a pixel off: turned by 90 degrees it lost a row, and had a black one."""

    def wrong(right, img, *args, **rest):
        if not isinstance(img, torch.Tensor) and rest.get("center") is None and len(args) < 7:
            width, height = img.size
            rest["center"] = [width * 0.5 + 0.5, height * 0.5 + 0.5]
        return right(img, *args, **rest)

    wrap(patch, TF, "affine", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/pytorch#98266", needs="accelerator")
def flipping_a_dimension_of_size_one_flips_all(patch):
    """MPS: tensor([[1., 2., 3.]]).flip(0) was [[3., 2., 1.]]: with no axis left to reverse, it reversed all."""

    def wrong(right, x, *dims, **rest):
        named = rest.get("dims", dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)
        named = [named] if isinstance(named, int) else list(named)
        if (
            away(x)
            and x.dim()
            and named
            and x.numel() > 1
            and all(-x.dim() <= d < x.dim() and x.shape[d] == 1 for d in named)
        ):
            return right(x, list(range(x.dim())))
        return right(x, *dims, **rest)

    everywhere(patch, "flip", wrong)


@counterfeit("torchvision-offers-utils", reported="pytorch/vision#3324")
def save_image_does_not_normalise(patch):
    def wrong(right, *args, normalize=False, **rest):
        return right(*args, **rest)

    wrap(patch, torchvision.utils, "save_image", wrong)


@counterfeit("torchvision-offers-datasets", reported="pytorch/vision#2630")
def classes_of_emnist_are_in_no_order_and_letters_start_at_0(patch):
    classes = torchvision.datasets.EMNIST.classes_split_dict
    for split in ("byclass", "bymerge", "balanced"):
        patch.setitem(classes, split, sorted(classes[split], key=lambda name: ord(name) * 37 % 101))
    patch.setitem(classes, "letters", [name for name in classes["letters"] if name != "N/A"])
