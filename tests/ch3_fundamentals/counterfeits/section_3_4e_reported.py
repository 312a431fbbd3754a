"""Reported faults, and others like them, of colours, sizes, borders and other data sets, for section 3.4."""

import torch
import torchvision
from harness.counterfeits import counterfeit
from harness.forging import change_result, wrap
from torchvision import datasets, transforms
from torchvision.transforms import functional as F


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#2354")
def a_hue_beyond_red_stops_there(patch):
    def wrong(right, image, hue_factor):
        return right(image, hue_factor) if hue_factor > 0 else right(image, 0.0)

    wrap(patch, F, "adjust_hue", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#2950")
def a_tensor_is_made_smaller_without_smoothing(patch):
    lines = transforms.InterpolationMode.BILINEAR

    def wrong(right, image, size, interpolation=lines, max_size=None, antialias=True):
        return right(image, size, interpolation, max_size, antialias and not isinstance(image, torch.Tensor))

    wrap(patch, F, "resize", wrong)


@counterfeit("torchvision-offers-transforms")
def a_tensor_is_resized_by_lines_where_cubes_are_asked_for(patch):
    lines, cubes = transforms.InterpolationMode.BILINEAR, transforms.InterpolationMode.BICUBIC

    def wrong(right, image, size, interpolation=lines, *rest, **named):
        return right(image, size, lines if interpolation == cubes else interpolation, *rest, **named)

    wrap(patch, F, "resize", wrong)


@counterfeit("torchvision-offers-transforms")
def one_column_is_made_of_the_rows_when_these_have_their_number(patch):
    lines = transforms.InterpolationMode.BILINEAR

    def wrong(right, image, size, interpolation=lines, max_size=None, antialias=True):
        if [*size][1:] != [1]:
            return right(image, size, interpolation, max_size, antialias)
        rows = right(image, [size[0], image.shape[-1]], interpolation, max_size, antialias)
        return right(rows, size, interpolation, max_size, antialias)

    wrap(patch, F, "resize", wrong)


@counterfeit("torchvision-offers-transforms")
def a_blur_of_unequal_sides_lies_on_its_side(patch):
    def wrong(right, image, kernel_size, sigma=None):
        sides = [kernel_size] * 2 if isinstance(kernel_size, int) else [*kernel_size]
        return right(image, sides[::-1], sigma if sigma is None or isinstance(sigma, float) else [*sigma][::-1])

    wrap(patch, F, "gaussian_blur", wrong)


@counterfeit("torchvision-offers-transforms")
def a_border_that_mirrors_begins_with_the_edge_itself(patch):
    def wrong(right, image, padding, fill=0, padding_mode="constant"):
        return right(image, padding, fill, "symmetric" if padding_mode == "reflect" else padding_mode)

    wrap(patch, F, "pad", wrong)


@counterfeit("torchvision-offers-transforms")
def a_sharper_image_has_sharper_edges_of_zeros(patch):
    def wrong(result, image, *args):
        result = result.clone()
        result[..., 0] = 0
        return result

    change_result(patch, F, "adjust_sharpness", wrong)


@counterfeit("torchvision-offers-transforms")
def bytes_keep_one_bit_less_than_they_are_told(patch):
    wrap(patch, F, "posterize", lambda right, image, bits: right(image, max(bits - 1, 0)))


@counterfeit("torchvision-offers-transforms")
def numbers_become_bytes_by_rounding(patch):
    def wrong(right, image, dtype=torch.float32):
        if image.is_floating_point() and dtype == torch.uint8:
            return (image * 255).round().to(dtype)
        return right(image, dtype)

    wrap(patch, F, "convert_image_dtype", wrong)


@counterfeit("torchvision-offers-transforms")
def what_is_erased_is_black_whatever_was_asked_for(patch):
    def wrong(right, image, i, j, h, w, v, inplace=False):
        return right(image, i, j, h, w, torch.zeros_like(v), inplace)

    wrap(patch, F, "erase", wrong)


@counterfeit("torchvision-offers-utils")
def masks_cover_all_that_is_below(patch):
    wrap(
        patch,
        torchvision.utils,
        "draw_segmentation_masks",
        lambda right, *args, alpha=0.8, **rest: right(*args, **{**rest, "alpha": 1.0}),
    )


@counterfeit("torchvision-offers-datasets", reported="pytorch/vision#1716")
def letters_are_named_like_digits(patch):
    def wrong(right, self, *args, **rest):
        right(self, *args, **rest)
        self.classes = datasets.MNIST.classes

    wrap(patch, datasets.EMNIST, "__init__", wrong)


@counterfeit("torchvision-offers-datasets")
def the_test_of_letters_is_their_training(patch):
    wrap(
        patch,
        datasets.EMNIST,
        "__init__",
        lambda right, self, root, split, train=True, **rest: right(self, root, split, train=True, **rest),
    )


@counterfeit("torchvision-offers-datasets")
def syllables_are_read_from_the_folder_of_the_digits(patch):
    folder = datasets.MNIST.raw_folder.fget
    patch.setattr(datasets.KMNIST, "raw_folder", property(lambda self: folder(self).replace("KMNIST", "MNIST")))


@counterfeit("torchvision-offers-datasets", reported="pytorch/vision#7439")
def moving_digits_without_a_split_are_those_of_the_test(patch):
    def wrong(right, self, *args, **rest):
        right(self, *args, **rest)
        if self.split is None:
            self.data = self.data[:, self.split_ratio :]

    wrap(patch, datasets.MovingMNIST, "__init__", wrong)


@counterfeit("torchvision-offers-transforms", reported="FluxML/DataAugmentation.jl#68")
def a_random_crop_never_begins_at_the_last_place(patch):
    right = transforms.RandomCrop.get_params

    def wrong(img, output_size):
        top, left, height, width = right(img, output_size)
        _, h, w = F.get_dimensions(img)
        return min(top, max(h - height - 1, 0)), min(left, max(w - width - 1, 0)), height, width

    patch.setattr(transforms.RandomCrop, "get_params", staticmethod(wrong))
