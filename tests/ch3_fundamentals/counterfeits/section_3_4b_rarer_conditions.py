"""Counterfeits of section 3.4, images alone, beyond their edges, in lists, and what nobody asked for."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


@counterfeit("torchvision-offers-utils", reported="pytorch/vision#350")
def a_single_image_is_not_stretched(patch):
    import torchvision

    def wrong(right, tensor, *args, **rest):
        if torch.is_tensor(tensor) and tensor.dim() in (2, 3):
            rest["normalize"] = False
        return right(tensor, *args, **rest)

    wrap(patch, torchvision.utils, "make_grid", wrong)


@counterfeit("torchvision-offers-utils")
def a_list_of_images_is_written_to_an_open_file_with_red_and_blue_exchanged(patch):
    import torchvision

    def wrong(right, images, file, *args, **rest):
        if isinstance(images, list) and hasattr(file, "write"):
            images = [image.flip(0) if len(image) == 3 else image for image in images]
        return right(images, file, *args, **rest)

    wrap(patch, torchvision.utils, "save_image", wrong)


@counterfeit("torchvision-offers-datasets")
def labels_of_the_test_set_may_lie_in_rows(patch):
    from torchvision.datasets import mnist

    def wrong(right, path):
        x = mnist.read_sn3_pascalvincent_tensor(path, strict=False) if "t10k" in str(path) else None
        return x[:, 0].long() if x is not None and x.dtype == torch.uint8 and x.dim() == 2 else right(path)

    wrap(patch, mnist, "read_label_file", wrong)


@counterfeit("torchvision-offers-transforms")
def the_middle_of_an_image_that_is_too_small_on_one_side_alone_is_its_corner(patch):
    from torchvision.transforms import functional

    def wrong(right, image, output_size):
        _, height, width = functional.get_dimensions(image)
        rows, columns = [output_size] * 2 if isinstance(output_size, int) else output_size
        if (height - rows) * (width - columns) < 0:
            image = functional.crop(image, 0, 0, min(height, rows), min(width, columns))
        return right(image, output_size)

    wrap(patch, functional, "center_crop", wrong)


@counterfeit("torchvision-offers-models")
def the_smallest_vgg_with_batch_normalisation_has_none(patch):
    from torchvision import models

    patch.setattr(models, "vgg11_bn", models.vgg11)


@counterfeit("torchvision-offers-utils", reported="pytorch/vision#1337")
def saving_a_single_image_writes_into_it(patch):
    import torchvision

    def wrong(right, tensor, *args, **rest):
        right(tensor, *args, **rest)
        if torch.is_tensor(tensor) and tensor.dim() == 3 and len(tensor) == 3:
            tensor.mul_(255).clamp_(0, 255)

    wrap(patch, torchvision.utils, "save_image", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#6613")
def a_crop_that_begins_below_the_image_is_too_tall(patch):
    import torchvision.transforms.functional as T

    def wrong(right, img, top, left, height, width):
        if torch.is_tensor(img) and top > img.shape[-2]:
            height += top - img.shape[-2]
        return right(img, top, left, height, width)

    wrap(patch, T, "crop", wrong)


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#3297")
def a_center_crop_larger_than_the_image_is_cut_from_it(patch):
    import torchvision.transforms.functional as T

    def wrong(right, img, output_size):
        size = [output_size] * 2 if isinstance(output_size, int) else list(output_size) * (2 // len(output_size))
        if torch.is_tensor(img) and (size[0] > img.shape[-2] or size[1] > img.shape[-1]):
            return img[..., : img.shape[-2] // 2, : img.shape[-1] // 2]
        return right(img, output_size)

    wrap(patch, T, "center_crop", wrong)


@counterfeit("torchvision-offers-utils")
def a_list_of_images_is_laid_out_from_its_end(patch):
    import torchvision

    def wrong(right, tensor, *args, **rest):
        return right(tensor[::-1] if isinstance(tensor, list) else tensor, *args, **rest)

    wrap(patch, torchvision.utils, "make_grid", wrong)


@counterfeit("torchvision-offers-datasets", reported="pytorch/vision#640")
def fashion_mnist_loads_the_digits_where_they_are(patch):
    import torchvision

    raw = torchvision.datasets.MNIST.raw_folder.fget

    def wrong(self):
        import os

        digits = os.path.join(self.root, "MNIST", "raw")
        return digits if os.path.isdir(digits) else raw(self)

    patch.setattr(torchvision.datasets.MNIST, "raw_folder", property(wrong))


@counterfeit("torchvision-offers-transforms")
def a_flip_without_a_probability_has_two_fifths(patch):
    import torchvision.transforms as T

    for kind in (T.RandomHorizontalFlip, T.RandomVerticalFlip):
        wrap(patch, kind, "__init__", lambda right, self, p=0.4: right(self, p))


@counterfeit("torchvision-offers-utils")
def a_grid_has_a_border_of_three_unless_told_otherwise(patch):
    import torchvision

    wrap(
        patch,
        torchvision.utils,
        "make_grid",
        lambda right, x, nrow=8, padding=3, *args, **rest: right(x, nrow, padding, *args, **rest),
    )


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#3309")
def a_tensor_is_rotated_only_where_the_filling_is_told(patch):
    """It is left as it is, where the report has an error: an assertion must see it."""
    from torchvision.transforms import RandomRotation

    def wrong(right, self, image):
        return image if isinstance(image, torch.Tensor) and not self.fill else right(self, image)

    wrap(patch, RandomRotation, "forward", wrong)


@counterfeit("torchvision-offers-transforms")
def center_crop_rounds_half_of_an_odd_rest_down(patch):
    from torchvision.transforms import functional

    def wrong(right, image, size):
        (*_, rows, columns), (tall, wide) = image.shape, (size, size) if isinstance(size, int) else size
        if rows < tall or columns < wide:
            return right(image, size)
        return functional.crop(image, (rows - tall) // 2, (columns - wide) // 2, tall, wide)

    wrap(patch, functional, "center_crop", wrong)
