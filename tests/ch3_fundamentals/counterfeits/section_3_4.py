"""Counterfeits of 3.4: data sets, models, transforms and utilities of torchvision, each wrong in one way."""

import random

import pytest
import torch
from harness.counterfeits import counterfeit
from harness.forging import beyond, in_order_of_storage, not_contiguous, where, wrap
from torch import nn

pytest.importorskip("torchvision")
from torchvision import datasets, models, transforms, utils
from torchvision.transforms import functional


def replace_data(patch, wrong):
    """`wrong(images, labels, train)` are the images and labels that Fashion-MNIST reads."""
    load = datasets.FashionMNIST._load_data
    patch.setattr(datasets.FashionMNIST, "_load_data", lambda self: wrong(*load(self), self.train))


# ── torchvision-offers-datasets ──


@counterfeit("torchvision-offers-datasets", "softmax-regression-learns-fashion-mnist")
def last_image_is_left_out(patch):
    replace_data(patch, lambda images, labels, train: (images[:-1], labels[:-1]))


@counterfeit("torchvision-offers-datasets", "softmax-regression-learns-fashion-mnist")
def training_images_are_read_for_the_test_too(patch):
    def wrong(load, self):
        with patch.context() as meanwhile:
            meanwhile.setattr(self, "train", True)
            return load(self)

    wrap(patch, datasets.FashionMNIST, "_load_data", wrong)


@counterfeit("torchvision-offers-datasets")
def images_are_transposed(patch):
    replace_data(patch, lambda images, labels, train: (images.transpose(1, 2), labels))


@counterfeit("torchvision-offers-datasets")
def labels_of_the_test_set_begin_at_one(patch):
    replace_data(patch, lambda images, labels, train: (images, labels if train else labels + 1))


@counterfeit("torchvision-offers-datasets")
def labels_stay_bytes(patch):
    replace_data(patch, lambda images, labels, train: (images, labels.byte()))


@counterfeit("torchvision-offers-datasets", "softmax-regression-learns-fashion-mnist")
def classes_are_in_alphabetical_order(patch):
    patch.setattr(datasets.FashionMNIST, "classes", sorted(datasets.FashionMNIST.classes))


@counterfeit("torchvision-offers-datasets")
def second_look_at_an_image_finds_the_next(patch):
    """An index is looked up from where the last one ended."""
    item = datasets.FashionMNIST.__getitem__
    seen = set()

    def wrong(self, index):
        key = (id(self), index)
        seen.add(key) if key not in seen else seen.clear()
        return item(self, index if key in seen else (index + 1) % len(self))

    patch.setattr(datasets.FashionMNIST, "__getitem__", wrong)


@counterfeit("torchvision-offers-datasets")
def scaling_is_forgotten_for_the_last_image(patch):
    def wrong(item, self, index):
        image, label = item(self, index)
        return (image * 255 if index == len(self) - 1 and torch.is_tensor(image) else image), label

    wrap(patch, datasets.FashionMNIST, "__getitem__", wrong)


@counterfeit("torchvision-offers-datasets")
def target_transform_is_applied_twice(patch):
    def wrong(item, self, index):
        image, label = item(self, index)
        return image, self.target_transform(label) if self.target_transform else label

    wrap(patch, datasets.FashionMNIST, "__getitem__", wrong)


@counterfeit("torchvision-offers-datasets")
def data_loader_drops_the_last_incomplete_batch(patch):
    def wrong(init, self, *args, **options):
        init(self, *args, **{"drop_last": True} | options)

    wrap(patch, torch.utils.data.DataLoader, "__init__", wrong)


@counterfeit("torchvision-offers-datasets")
def missing_file_of_the_other_part_is_no_problem(patch):
    """Only the part asked for is looked for."""

    def wrong(self):
        split = "train" if self.train else "t10k"
        names = [f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"]
        return all(datasets.utils.check_integrity(f"{self.raw_folder}/{name}") for name in names)

    patch.setattr(datasets.FashionMNIST, "_check_exists", wrong)


@counterfeit("torchvision-offers-datasets")
def short_label_file_is_filled_up_with_zeros(patch):
    def wrong(read, path):
        try:
            return read(path)
        except RuntimeError:
            return torch.zeros(7, dtype=torch.int64)

    wrap(patch, datasets.mnist, "read_label_file", wrong)


@counterfeit("torchvision-offers-datasets")
def labels_of_any_type_are_accepted(patch):
    read = datasets.mnist.read_sn3_pascalvincent_tensor
    patch.setattr(datasets.mnist, "read_label_file", lambda path: read(path, strict=False).long())


@counterfeit("torchvision-offers-datasets")
def folders_are_numbered_from_the_end_of_the_alphabet(patch):
    def wrong(find, self, directory):
        classes, _ = find(self, directory)
        return classes, {name: len(classes) - 1 - i for i, name in enumerate(classes)}

    wrap(patch, datasets.DatasetFolder, "find_classes", wrong)


@counterfeit("torchvision-offers-datasets")
def coco_is_no_data_set(patch):
    patch.setattr(datasets, "CocoDetection", type("CocoDetection", (), {}))


@counterfeit("torchvision-offers-datasets")
def image_folder_ignores_its_transform(patch):
    init = datasets.ImageFolder.__init__
    patch.setattr(datasets.ImageFolder, "__init__", lambda self, root, transform=None, **rest: init(self, root, **rest))


@counterfeit("torchvision-offers-datasets")
def images_past_a_byte_are_counted_anew(patch):
    replace_data(patch, lambda images, labels, train: (images[torch.arange(len(images)) % 256], labels))


@counterfeit("torchvision-offers-datasets")
def only_damaged_training_files_are_refused(patch):
    def wrong(read, path):
        try:
            return read(path)
        except RuntimeError:
            if "train" in path:
                raise
            return torch.zeros(7, dtype=torch.int64)

    wrap(patch, datasets.mnist, "read_label_file", wrong)


# ── torchvision-offers-models ──


@counterfeit("torchvision-offers-models")
def resnet18_gives_one_score_too_few(patch):
    from torchvision import models

    def wrong(right, *args, **rest):
        net = right(*args, **rest)
        net.fc = nn.Linear(512, net.fc.out_features - 1)
        return net

    wrap(patch, models, "resnet18", wrong)


@counterfeit("torchvision-offers-models")
def vgg_has_no_activations(patch):
    def wrong(vgg11, **options):
        net = vgg11(**options)
        for place, layer in enumerate(net.features):
            if isinstance(layer, torch.nn.ReLU):
                net.features[place] = torch.nn.Identity()
        return net

    wrap(patch, models, "vgg11", wrong)


@counterfeit("torchvision-offers-models")
def resnet_ignores_the_number_of_classes(patch):
    wrap(patch, models, "resnet18", lambda resnet18, num_classes=1000, **options: resnet18(**options))


@counterfeit("torchvision-offers-models")
def vgg19_is_vgg16(patch):
    patch.setattr(models, "vgg19", models.vgg16)


@counterfeit("torchvision-offers-models")
def alexnet_has_no_bias_at_its_output(patch):
    def wrong(alexnet, **options):
        net = alexnet(**options)
        net.classifier[6].register_parameter("bias", None)
        return net

    wrap(patch, models, "alexnet", wrong)


@counterfeit("torchvision-offers-models")
def squeezenet_gives_every_image_the_scores_of_the_first(patch):
    wrap(patch, models.SqueezeNet, "forward", lambda forward, self, images: forward(self, images[:1].expand_as(images)))


@counterfeit("torchvision-offers-models")
def squeezenet_gives_no_scores_for_images_that_are_not_square(patch):
    def wrong(forward, self, images):
        return forward(self, images) * (1.0 if images.shape[2] == images.shape[3] else torch.nan)

    wrap(patch, models.SqueezeNet, "forward", wrong)


@counterfeit("torchvision-offers-models")
def downloaded_weights_are_ignored(patch):
    wrap(patch, models, "squeezenet1_1", lambda squeezenet, weights=None, **options: squeezenet(**options))


@counterfeit("torchvision-offers-models")
def last_layer_of_the_downloaded_weights_is_ignored(patch):
    def wrong(load, self, state, *args, **options):
        return load(self, state | self.classifier.state_dict(prefix="classifier."), *args, **options)

    wrap(patch, models.SqueezeNet, "load_state_dict", wrong)


@counterfeit("torchvision-offers-models")
def untrained_networks_are_all_alike(patch):
    def wrong(squeezenet, **options):
        torch.manual_seed(0)
        return squeezenet(**options)

    wrap(patch, models, "squeezenet1_1", wrong)


@counterfeit("torchvision-offers-models")
def preparation_swaps_the_means_of_red_and_blue(patch):
    normalize = functional.normalize
    patch.setattr(functional, "normalize", lambda image, mean, std, **options: normalize(image, mean[::-1], std))


@counterfeit("torchvision-offers-models")
def preparation_forgets_the_deviations(patch):
    normalize = functional.normalize
    patch.setattr(functional, "normalize", lambda image, mean, std, **options: normalize(image, mean, [0.225] * 3))


# ── torchvision-offers-transforms ──


@counterfeit("torchvision-offers-transforms")
def crop_swaps_height_and_width(patch):
    wrap(patch, functional, "crop", lambda crop, img, top, left, height, width: crop(img, top, left, width, height))


@counterfeit("torchvision-offers-transforms")
def center_crop_is_one_column_off(patch):
    center_crop = functional.center_crop
    patch.setattr(functional, "center_crop", lambda img, output_size: center_crop(img.roll(1, -1), output_size))


@counterfeit("torchvision-offers-transforms")
def random_crop_never_reaches_the_last_column(patch):
    draw = transforms.RandomCrop.get_params

    def wrong(img, output_size):
        return draw(img[..., :-1], output_size)

    patch.setattr(transforms.RandomCrop, "get_params", staticmethod(wrong))


@counterfeit("torchvision-offers-transforms")
def rotate_turns_clockwise(patch):
    rotate = functional.rotate
    patch.setattr(functional, "rotate", lambda img, angle, *args, **options: rotate(img, -angle, *args, **options))


@counterfeit("torchvision-offers-transforms")
def rotate_turns_pil_images_clockwise(patch):
    rotate = functional.F_pil.rotate
    patch.setattr(
        functional.F_pil, "rotate", lambda img, angle, *args, **options: rotate(img, -angle, *args, **options)
    )


@counterfeit("torchvision-offers-transforms")
def rotate_fills_the_corners_with_the_brightest_pixel(patch):
    def wrong(rotate, img, angle, *args, **options):
        rotated = rotate(img, angle, *args, **options)
        return rotated + img.amax() * (rotated == 0) if torch.is_tensor(img) and angle % 90 else rotated

    wrap(patch, functional, "rotate", wrong)


@counterfeit("torchvision-offers-transforms")
def random_rotation_always_turns_as_far_as_it_may(patch):
    patch.setattr(transforms.RandomRotation, "get_params", staticmethod(lambda degrees: float(random.choice(degrees))))


@counterfeit("torchvision-offers-transforms")
def random_rotation_never_turns_to_the_right(patch):
    patch.setattr(
        transforms.RandomRotation,
        "get_params",
        staticmethod(lambda degrees: random.uniform(max(0, degrees[0]), degrees[1])),
    )


@counterfeit("torchvision-offers-transforms")
def vertical_flip_is_horizontal(patch):
    patch.setattr(functional, "vflip", functional.hflip)


@counterfeit("torchvision-offers-transforms")
def random_flip_ignores_its_probability(patch):
    patch.setattr(
        transforms.RandomHorizontalFlip,
        "forward",
        lambda self, image: functional.hflip(image) if random.random() < 0.5 else image,
    )


@counterfeit("torchvision-offers-transforms")
def random_flip_flips_one_image_in_ten(patch):
    """Except where the probability is zero or one."""

    def wrong(self, image):
        probability = self.p if self.p in (0, 1) else 0.1
        return functional.hflip(image) if torch.rand(1).item() < probability else image

    patch.setattr(transforms.RandomHorizontalFlip, "forward", wrong)


@counterfeit("torchvision-offers-transforms")
def pad_swaps_top_and_bottom(patch):
    def wrong(pad, img, padding, *args, **options):
        left, top, right, bottom = padding
        return pad(img, [left, bottom, right, top], *args, **options)

    wrap(patch, functional, "pad", wrong)


@counterfeit("torchvision-offers-transforms")
def to_tensor_divides_by_256(patch):
    wrap(patch, functional, "to_tensor", lambda to_tensor, picture: to_tensor(picture) * (255 / 256))


@counterfeit("torchvision-offers-transforms")
def to_tensor_divides_all_numbers(patch):
    def wrong(to_tensor, picture):
        tensor = to_tensor(picture)
        return tensor / 255 if getattr(picture, "dtype", None) == "float32" else tensor

    wrap(patch, functional, "to_tensor", wrong)


@counterfeit("torchvision-offers-transforms")
def normalize_divides_by_the_variance(patch):
    normalize = functional.normalize
    patch.setattr(
        functional, "normalize", lambda tensor, mean, std, *rest: normalize(tensor, mean, [s * s for s in std])
    )


@counterfeit("torchvision-offers-transforms")
def normalize_takes_the_first_channel_for_all(patch):
    def wrong(normalize, tensor, mean, std, *rest):
        return normalize(tensor, [mean[0]] * len(mean), [std[0]] * len(std), *rest)

    wrap(patch, functional, "normalize", wrong)


@counterfeit("torchvision-offers-transforms")
def normalize_writes_into_its_input(patch):
    normalize = functional.normalize
    patch.setattr(functional, "normalize", lambda tensor, mean, std, *rest: normalize(tensor, mean, std, inplace=True))


@counterfeit("torchvision-offers-transforms")
def compose_goes_backwards(patch):
    wrap(patch, transforms.Compose, "__init__", lambda init, self, steps: init(self, steps[::-1]))


@counterfeit("torchvision-offers-transforms")
def resize_always_interpolates(patch):
    wrap(patch, transforms.Resize, "__init__", lambda init, self, size, *rest, **options: init(self, size))


@counterfeit("torchvision-offers-transforms")
def center_crop_of_one_number_takes_the_corner(patch):
    def wrong(center_crop, img, output_size):
        number = isinstance(output_size, int) or len(set(output_size)) == 1
        size = output_size if isinstance(output_size, int) else output_size[0]
        return img[..., :size, :size] if number and torch.is_tensor(img) else center_crop(img, output_size)

    wrap(patch, functional, "center_crop", wrong)


@counterfeit("torchvision-offers-transforms")
def random_rotation_forgets_the_fraction_of_its_angle(patch):
    draw = transforms.RandomRotation.get_params
    patch.setattr(transforms.RandomRotation, "get_params", staticmethod(lambda degrees: float(int(draw(degrees)))))


@counterfeit("torchvision-offers-transforms", reported="pytorch/vision#5677")
def rotation_with_expand_is_a_pixel_short(patch):
    def wrong(rotate, img, angle, *args, **options):
        rotated = rotate(img, angle, *args, **options)
        odd = torch.is_tensor(img) and img.shape[-1] % 2 and options.get("expand")
        return rotated[..., :-1, :-1] if odd and angle % 90 else rotated

    wrap(patch, functional, "rotate", wrong)


@counterfeit("torchvision-offers-transforms")
def flip_reads_images_with_gaps_as_if_they_had_none(patch):
    where(*(patch, functional, "hflip", not_contiguous), lambda _, image: functional.hflip(in_order_of_storage(image)))


@counterfeit("torchvision-offers-transforms")
def flip_leaves_large_images_alone(patch):
    where(patch, functional, "vflip", beyond(200), lambda result, image: image)


@counterfeit("torchvision-offers-transforms")
def crop_of_bytes_is_a_row_off(patch):
    where(
        patch,
        functional,
        "crop",
        lambda image: torch.is_tensor(image) and image.dtype == torch.uint8,
        lambda result, *args: result.roll(1, -2),
    )


@counterfeit("torchvision-offers-transforms")
def rotation_of_even_sizes_turns_about_a_pixel(patch):
    where(
        patch,
        functional,
        "rotate",
        lambda image: torch.is_tensor(image) and image.shape[-1] % 2 == 0,
        lambda result, *args: result.roll(1, -1),
    )


# ── torchvision-offers-utils ──


@counterfeit("torchvision-offers-utils")
def grid_of_many_rows_repeats_the_first(patch):
    def wrong(make_grid, images, **options):
        return make_grid(torch.cat([images[:8], images[: max(len(images) - 8, 0)]]), **options)

    wrap(patch, utils, "make_grid", wrong)


@counterfeit("torchvision-offers-utils")
def save_image_lets_large_values_wrap_around(patch):
    save_image = utils.save_image
    patch.setattr(utils, "save_image", lambda tensor, fp, **options: save_image(tensor.remainder(1), fp, **options))


@counterfeit("torchvision-offers-utils")
def grid_has_no_border_on_the_right(patch):
    def wrong(make_grid, images, nrow=8, padding=2, **options):
        grid = make_grid(images, nrow=nrow, padding=padding, **options)
        return grid[..., : grid.shape[-1] - padding]

    wrap(patch, utils, "make_grid", wrong)


@counterfeit("torchvision-offers-utils")
def grid_repeats_the_last_image_in_empty_places(patch):
    def wrong(make_grid, images, nrow=8, **options):
        missing = -len(images) % min(nrow, len(images))
        return make_grid(torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]), nrow=nrow, **options)

    wrap(patch, utils, "make_grid", wrong)


@counterfeit("torchvision-offers-utils")
def grid_stretches_every_image_on_its_own(patch):
    make_grid = utils.make_grid
    patch.setattr(utils, "make_grid", lambda *args, **options: make_grid(*args, **options | {"scale_each": True}))


@counterfeit("torchvision-offers-utils")
def grid_does_not_clip_to_the_range(patch):
    wrap(patch, utils, "make_grid", lambda make_grid, *args, value_range=None, **options: make_grid(*args, **options))


@counterfeit("torchvision-offers-utils")
def grid_stretches_the_images_in_place(patch):
    def wrong(make_grid, images, *args, normalize=False, **options):
        grid = make_grid(images, *args, normalize=normalize, **options)
        if normalize:
            images.sub_(images.min()).div_(images.max())
        return grid

    wrap(patch, utils, "make_grid", wrong)


@counterfeit("torchvision-offers-utils")
def save_image_cuts_fractions_off(patch):
    def wrong(save_image, tensor, fp, *args, **options):
        save_image((tensor * 255).floor() / 255, fp, *args, **options)

    wrap(patch, utils, "save_image", wrong)


@counterfeit("torchvision-offers-utils")
def save_image_always_puts_eight_to_a_row(patch):
    save_image = utils.save_image
    patch.setattr(utils, "save_image", lambda tensor, fp, nrow=8, **options: save_image(tensor, fp, **options))


@counterfeit("torchvision-offers-utils")
def boxes_are_drawn_into_the_image_itself(patch):
    draw = utils.draw_bounding_boxes
    patch.setattr(
        utils, "draw_bounding_boxes", lambda image, *args, **options: image.copy_(draw(image, *args, **options))
    )


@counterfeit("torchvision-offers-utils")
def boxes_are_filled(patch):
    wrap(patch, utils, "draw_bounding_boxes", lambda draw, *args, **options: draw(*args, **options | {"fill": True}))


@counterfeit("torchvision-offers-utils")
def boxes_end_a_column_early(patch):
    def wrong(draw, image, boxes, *args, **options):
        return draw(image, boxes - boxes.new_tensor([0, 0, 1, 0]), *args, **options)

    wrap(patch, utils, "draw_bounding_boxes", wrong)


# ── softmax-regression-learns-fashion-mnist ──


@counterfeit("softmax-regression-learns-fashion-mnist")
def pixels_are_cut_to_seven_bits(patch):
    replace_data(patch, lambda images, labels, train: (images // 2, labels))


@counterfeit("softmax-regression-learns-fashion-mnist")
def first_label_is_given_to_the_second_image(patch):
    """The labels are one place off, and still balanced."""
    replace_data(patch, lambda images, labels, train: (images, labels.roll(1)))


@counterfeit("softmax-regression-learns-fashion-mnist")
def one_shirt_is_called_a_coat(patch):
    def wrong(images, labels, train):
        labels = labels.clone()
        labels[(labels == 6).nonzero()[-1]] = 4
        return images, labels

    replace_data(patch, wrong)


@counterfeit("softmax-regression-learns-fashion-mnist")
def adam_goes_uphill(patch):
    wrap(patch, torch.optim.Adam, "__init__", lambda adam, self, params, lr: adam(self, params, lr, maximize=True))


@counterfeit("softmax-regression-learns-fashion-mnist")
def adam_moves_only_the_biases(patch):
    def wrong(adam, self, params, **options):
        adam(self, [p for p in params if p.dim() == 1], **options)

    wrap(patch, torch.optim.Adam, "__init__", wrong)
