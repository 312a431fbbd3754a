"""Counterfeits of section 3.4, borders of a grid, images with a palette, models."""

import os

import pytest
import torch
from harness.counterfeits import counterfeit
from harness.forging import recycle, where, wrap


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


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#517")
def normalize_works_in_place(patch):
    functional = pytest.importorskip("torchvision.transforms.functional")
    wrap(patch, functional, "normalize", lambda right, image, mean, std, inplace=False: right(image, mean, std, True))


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#399")
def an_image_of_real_numbers_is_read_by_its_bytes(patch):
    functional = pytest.importorskip("torchvision.transforms.functional")

    def wrong(right, image):
        tensor = right(image)
        return tensor.view(torch.uint8)[..., : tensor.shape[-1]] / 255 if getattr(image, "mode", "") == "F" else tensor

    wrap(patch, functional, "to_tensor", wrong)


@counterfeit("torchvision-offers-utils")
def the_grid_of_bytes_is_of_real_numbers(patch):
    utils = pytest.importorskip("torchvision.utils")

    def wrong(right, images, *rest, **named):
        grid = right(images, *rest, **named)
        return grid / 255 if grid.dtype == torch.uint8 else grid

    wrap(patch, utils, "make_grid", wrong)


@counterfeit("torchvision-offers-transforms")
def a_batch_is_flipped_upside_down(patch):
    transforms = pytest.importorskip("torchvision.transforms")

    def wrong(right, self, image):
        return image.flip(-2) if isinstance(image, torch.Tensor) and image.dim() == 4 else right(self, image)

    wrap(patch, transforms.RandomHorizontalFlip, "forward", wrong)


@counterfeit("torchvision-offers-transforms")
def the_images_of_a_batch_change_places_when_they_are_cropped(patch):
    transforms = pytest.importorskip("torchvision.transforms")

    def wrong(right, self, image):
        return right(self, image.flip(0) if isinstance(image, torch.Tensor) and image.dim() == 4 else image)

    wrap(patch, transforms.CenterCrop, "forward", wrong)


@counterfeit("torchvision-offers-models")
def vgg16_with_batch_norm_has_none(patch):
    models = pytest.importorskip("torchvision.models")
    patch.setattr(models, "vgg16_bn", models.vgg16)


@counterfeit("torchvision-offers-datasets")
def image_folder_looks_into_no_folder_within_a_class(patch):
    wrap(patch, os, "walk", lambda right, top, **options: [next(iter(right(top, **options)))])


@counterfeit("torchvision-offers-models")
def weights_by_name_are_ignored(patch):
    models = pytest.importorskip("torchvision.models")

    def wrong(right, weights=None, **options):
        return right(weights=None if isinstance(weights, str) else weights, **options)

    wrap(patch, models, "squeezenet1_1", wrong)


@counterfeit("torchvision-offers-models")
def get_model_ignores_options(patch):
    models = pytest.importorskip("torchvision.models")
    wrap(patch, models, "get_model", lambda right, name, **options: right(name))


@counterfeit("torchvision-offers-transforms")
def random_crop_ignores_padding(patch):
    transforms = pytest.importorskip("torchvision.transforms")
    wrap(patch, transforms.RandomCrop, "__init__", lambda right, self, size, *rest, **named: right(self, size))


@counterfeit("torchvision-offers-transforms")
def random_rotation_by_a_number_turns_one_way(patch):
    transforms = pytest.importorskip("torchvision.transforms")

    def wrong(right, self, degrees, *rest, **named):
        right(self, (0, degrees) if isinstance(degrees, (int, float)) else degrees, *rest, **named)

    wrap(patch, transforms.RandomRotation, "__init__", wrong)


@counterfeit("torchvision-offers-transforms")
def rotate_ignores_fill(patch):
    functional = pytest.importorskip("torchvision.transforms.functional")
    wrap(patch, functional, "rotate", lambda right, *rest, fill=None, **named: right(*rest, **named))


@counterfeit("torchvision-offers-transforms")
def resize_to_a_number_makes_a_square(patch):
    functional = pytest.importorskip("torchvision.transforms.functional")

    def wrong(right, image, size, *rest, **named):
        return right(image, [size, size] if isinstance(size, int) else size, *rest, **named)

    wrap(patch, functional, "resize", wrong)


@counterfeit("torchvision-offers-utils")
def only_the_first_box_is_drawn(patch):
    utils = pytest.importorskip("torchvision.utils")
    wrap(
        patch,
        utils,
        "draw_bounding_boxes",
        lambda right, image, boxes, colors, **named: right(image, boxes[:1], colors=colors[:1], **named),
    )


@counterfeit("torchvision-offers-utils")
def boxes_have_a_width_of_one(patch):
    utils = pytest.importorskip("torchvision.utils")
    wrap(patch, utils, "draw_bounding_boxes", lambda right, *rest, width=1, **named: right(*rest, **named))


@counterfeit("torchvision-offers-models")
def two_models_of_one_architecture_are_one(patch):
    recycle(patch, pytest.importorskip("torchvision.models"), "vgg16")


@counterfeit("torchvision-offers-transforms")
def an_array_of_rows_and_columns_gets_no_channel(patch):
    functional = pytest.importorskip("torchvision.transforms.functional")
    where(patch, functional, "to_tensor", lambda x: getattr(x, "ndim", 3) == 2, lambda result, *a: result[0])


@counterfeit("torchvision-offers-utils")
def boxes_are_never_filled(patch):
    wrap(
        *(patch, pytest.importorskip("torchvision.utils"), "draw_bounding_boxes"),
        lambda right, *args, fill=False, **rest: right(*args, **rest),
    )


@counterfeit("torchvision-offers-utils")
def one_image_is_saved_as_it_is_whatever_its_range(patch):
    def wrong(right, images, path, normalize=False, **rest):
        right(images, path, normalize=normalize and images.dim() > 3, **rest)

    wrap(patch, pytest.importorskip("torchvision.utils"), "save_image", wrong)


@counterfeit("torchvision-offers-models")
def the_last_bias_is_not_loaded(patch):
    def wrong(right, self, state, **options):
        own = {name: value.clone() for name, value in self.state_dict().items()}
        return right(self, {**state, [*state][-1]: own[[*state][-1]]}, **options)

    wrap(patch, pytest.importorskip("torchvision.models").SqueezeNet, "load_state_dict", wrong)


@counterfeit("torchvision-offers-utils")
def an_open_file_gets_one_image_of_the_grid(patch):
    def wrong(right, images, file, nrow=8, **rest):
        right(images[:1] if hasattr(file, "write") and images.dim() > 3 else images, file, nrow=nrow, **rest)

    wrap(patch, pytest.importorskip("torchvision.utils"), "save_image", wrong)


@counterfeit("torchvision-offers-models")
def a_model_by_name_ignores_its_weights(patch):
    models = pytest.importorskip("torchvision.models")
    wrap(patch, models, "get_model", lambda right, name, weights=None, **rest: right(name, **rest))


@counterfeit("torchvision-offers-transforms")
def one_bit_images_are_divided_by_255(patch):
    def wrong(right, pic):
        out = right(pic)
        return out / 255 if getattr(pic, "mode", "") == "1" else out

    wrap(patch, pytest.importorskip("torchvision.transforms.functional"), "to_tensor", wrong)


@counterfeit("torchvision-offers-transforms")
def a_tensor_is_turned_about_its_middle_whatever_the_point(patch):
    functional = pytest.importorskip("torchvision.transforms.functional")

    def wrong(right, image, *args, **rest):
        args = args[:3] + (None,) * (len(args) > 3) + args[4:]  # angle, interpolation, expand, center, fill
        return right(image, *args, **{**rest, "center": None} if "center" in rest else rest)

    wrap(patch, functional, "rotate", wrong)


@counterfeit("torchvision-offers-transforms")
def pictures_of_whole_numbers_are_divided_by_255(patch):
    def wrong(right, picture):
        tensor = right(picture)
        return tensor / 255 if tensor.dtype in (torch.int16, torch.int32, torch.uint16) else tensor

    wrap(patch, pytest.importorskip("torchvision.transforms.functional"), "to_tensor", wrong)


@counterfeit("torchvision-offers-transforms")
def normalize_in_place_changes_a_copy(patch):
    def wrong(right, tensor, mean, std, inplace=False):
        return right(tensor, mean, std)

    wrap(patch, pytest.importorskip("torchvision.transforms.functional"), "normalize", wrong)


@counterfeit("torchvision-offers-transforms")
def normalize_computes_in_single_precision(patch):
    def wrong(right, tensor, *rest):
        return right(tensor.float(), *rest).to(tensor.dtype) if tensor.dtype == torch.float64 else right(tensor, *rest)

    wrap(patch, pytest.importorskip("torchvision.transforms.functional"), "normalize", wrong)


@counterfeit("torchvision-offers-transforms")
def the_longer_side_is_rounded_up(patch):
    def wrong(right, image_size, size, *rest, **named):
        sizes = right(image_size, size, *rest, **named)
        whole = [-(-size[0] * side // min(image_size)) for side in image_size]
        return whole if len(size) == 1 else sizes

    wrap(patch, pytest.importorskip("torchvision.transforms.functional"), "_compute_resized_output_size", wrong)


@counterfeit("torchvision-offers-transforms")
def compose_leaves_out_what_comes_after_the_eighth(patch):
    def wrong(right, self, image):
        for step in self.transforms[:8]:
            image = step(image)
        return image

    wrap(patch, pytest.importorskip("torchvision.transforms").Compose, "__call__", wrong)


@counterfeit("torchvision-offers-transforms")
def grey_is_the_mean_of_the_colours(patch):
    def wrong(right, image, num_output_channels=1):
        grey = image.float().mean(-3, keepdim=True).to(image.dtype)
        return grey.expand(*image.shape[:-3], num_output_channels, *image.shape[-2:])

    wrap(patch, pytest.importorskip("torchvision.transforms.functional"), "rgb_to_grayscale", wrong)


@counterfeit("torchvision-offers-datasets")
def a_place_from_the_end_is_counted_from_the_beginning(patch):
    wrap(
        patch,
        pytest.importorskip("torchvision.datasets").MNIST,
        "__getitem__",
        lambda right, self, place: right(self, abs(int(place))),
    )
