"""3.4 torchvision's transforms and utilities, for images of odd and even sizes, of any dtype and layout."""

import itertools
import math

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, agree, among, each, over, twins, whole
from populations.comparing import accepted
from populations.images import DECODED

claim = pytest.mark.claim
pytestmark = pytest.mark.cpu  # PIL images and files live in main memory

# (channels, rows, columns): odd and even, square and not, one pixel, past a power of two; at most 256 elements each
SIZES = ((1, 1, 1), (1, 4, 5), (3, 5, 4), (1, 9, 9), (3, 3, 11), (1, 33, 7), (4, 8, 8))
IMAGES = twins((torch.float32, torch.uint8), LAYOUTS, SIZES, values=("distinct",)).rarely(*DECODED)
PICTURES = twins((torch.uint8,), LAYOUTS, ((1, 4, 5), (3, 5, 4), (3, 3, 11), (1, 8, 8)), values=("distinct",))


@pytest.fixture(scope="module")
def transforms():
    return pytest.importorskip("torchvision.transforms")


@pytest.fixture(scope="module")
def utils():
    return pytest.importorskip("torchvision.utils")


@claim("torchvision-offers-transforms")
@over(EVERY_MODE, twin=IMAGES, seed=whole(0, 2**32 - 1, 1))
def test_crop_cuts_out_any_rectangle_and_center_crop_the_middle_one_also_beyond_the_edges(transforms, twin, seed):
    image, array = twin
    random, (rows, columns) = np.random.default_rng(seed), array.shape[1:]
    around = np.pad(array, ((0, 0), (9, 9), (9, 9)))  # beyond its edges an image is black
    both = torch.stack([image, torch.zeros_like(image)])
    for beyond in (0, 3):
        top, left = (int(random.integers(-beyond, size + beyond)) for size in (rows, columns))
        # torchvision 0.15 made a crop that ends before the image begins too large
        height = int(random.integers(max(top, 0), rows + beyond)) - top + 1
        width = int(random.integers(max(left, 0), columns + beyond)) - left + 1
        cut = transforms.functional.crop(both, top=top, left=left, height=height, width=width)
        agree(cut, around[None, :, 9 + top : 9 + top + height, 9 + left : 9 + left + width] * [[[[1]]], [[[0]]]])

    least = min(rows, columns)
    for margin in {-2, 0, 1 if least > 2 else 0, (least - 1) // 2}:  # on each side
        middle = transforms.CenterCrop((rows - 2 * margin, columns - 2 * margin))(image)
        agree(middle, around[:, 9 + margin : 9 + rows - margin, 9 + margin : 9 + columns - margin])
        for more, less in ((4, -2 * margin), (-2 * margin, 4)):  # beyond the edges along one side alone
            above, before = 9 - more // 2, 9 - less // 2
            part = transforms.CenterCrop((rows + more, columns + less))(image)
            agree(part, around[:, above : above + rows + more, before : before + columns + less])
        size = max(least - 2 * abs(margin) - 1, 1)  # of both sides; half of an odd rest is rounded to an even number
        part = np.arange(size) + round((least - size) / 2)
        agree(transforms.CenterCrop(size)(both[..., :least, :least]), array[:, part][..., part] * [[[[1]]], [[[0]]]])
    agree(image, array)


@claim("torchvision-offers-transforms")
@over(
    sizes=among(((1, 4, 5), (3, 2), 0), ((3, 3, 2), (3, 1), 0), ((2, 2, 2), (2, 2), 0), ((1, 2, 2), (2, 2), 1)),
    form=among(lambda padding: padding, lambda padding: (padding, padding), lambda padding: [padding] * 4),
)
def test_random_crop_cuts_out_every_rectangle_of_its_size_and_nothing_else(transforms, sizes, form):
    shape, (height, width), padding = sizes
    image = 1 + torch.arange(float(math.prod(shape))).view(shape)
    crop = transforms.RandomCrop((height, width), form(padding))
    padded = np.pad(image.numpy(), ((0, 0), *[(padding, padding)] * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (len(image), height, width))

    # There are at most 9: all of 250 draws miss one with probability (8/9) ** 250 = 2e-13.
    drawn = {tuple(accepted(crop, torch.stack([image * 0, image]))[1].flatten().tolist()) for _ in range(250)}
    assert drawn == {*map(tuple, windows.reshape(-1, len(image) * height * width).tolist())}


@claim("torchvision-offers-transforms")
@over(degrees=among((-20, 5), (0, 180), (10.5, 30), 15))
def test_random_rotation_draws_angles_from_all_of_its_range(transforms, degrees):
    low, high = (-degrees, degrees) if degrees == 15 else degrees
    rotation = transforms.RandomRotation(degrees)
    places = [(rotation.get_params(rotation.degrees) - low) / (high - low) for _ in range(200)]

    # All 200 miss an outermost eighth with probability (7/8) ** 200 = 3e-12, the middle fifth with 4e-20.
    assert 0 <= min(places) < 1 / 8
    assert 7 / 8 < max(places) <= 1
    assert any(2 / 5 < place < 3 / 5 for place in places)


@claim("torchvision-offers-transforms")
@over(probability=among(0.1, 0.7, None))
def test_a_random_flip_has_the_probability_it_is_given_or_one_half(transforms, probability):
    flip, pair = transforms.RandomHorizontalFlip(*filter(None, [probability])), torch.tensor([[[0.0, 1.0]]])
    flipped = sum(flip(pair)[0, 0, 0].item() for _ in range(2000))
    # Hoeffding: 149 more or fewer than expected with probability at most 2 exp(-2 * 149 ** 2 / 2000) = 5e-10.
    assert abs(flipped - 2000 * (probability or 0.5)) < 149


STEPS = {  # which keep sides odd, so that there is one pixel in the middle
    "pad": (lambda transforms: transforms.Pad((0, 0, 4, 2)), lambda a: np.pad(a, ((0, 0), (0, 2), (0, 4)))),
    "crop": (lambda transforms: transforms.CenterCrop(1), lambda a: a[:, a.shape[1] // 2, a.shape[2] // 2, None, None]),
    "flip": (lambda transforms: transforms.RandomHorizontalFlip(p=1), lambda a: a[..., ::-1]),
    "turn": (lambda transforms: transforms.RandomRotation((180, 180)), lambda a: a[:, ::-1, ::-1]),
}


@claim("torchvision-offers-transforms")
@over(
    twin=twins((torch.float32,), ("contiguous",), ((1, 3, 5), (3, 3, 11), (1, 9, 9)), values=("distinct",)),
    order=among((), *itertools.permutations(STEPS, 3), *itertools.permutations(STEPS), 3 * ("turn", "pad", "flip")),
)
def test_compose_applies_transforms_in_their_order(transforms, twin, order):
    image, array = twin
    for name in order:
        array = STEPS[name][1](array)

    agree(transforms.Compose([STEPS[name][0](transforms) for name in order])(image), array)


@claim("torchvision-offers-transforms")
@over(twin=PICTURES, quarters=among(1, 2, 3), palette=among(False, True))
def test_pil_images_are_cropped_flipped_and_turned_like_tensors(twin, quarters, palette):
    functional, array = pytest.importorskip("torchvision.transforms.functional"), twin.array()
    pixels = np.moveaxis(array, 0, -1)[..., 0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    picture = pytest.importorskip("PIL.Image").fromarray(pixels)
    picture, pixels = (picture.convert("P"), np.array(picture.convert("P"))) if palette else (picture, pixels)

    padded = np.pad(pixels, ((2, 4), (1, 3), (0, 0))[: pixels.ndim])
    assert np.array(functional.pad(picture, (1, 2, 3, 4))).tolist() == padded.tolist()
    assert np.array(functional.crop(picture, 1, 0, 2, 3)).tolist() == pixels[1:3, :3].tolist()
    assert np.array(functional.vflip(picture)).tolist() == pixels[::-1].tolist()
    turned = functional.rotate(picture, 90 * quarters, expand=True)
    assert np.array(turned).tolist() == np.rot90(pixels, quarters).tolist()
    newer = pytest.importorskip("torchvision.transforms.v2.functional")
    assert newer.rotate(picture, 90 * quarters, expand=True, center=[0, 1]).size == turned.size


def arranged(images, per_row, padding, value):
    """The grid of ``images`` (count, channels, rows, columns), grey in three channels; one alone has no border, whether
    in a batch of one or as (channels, rows, columns) or (rows, columns).
    """
    images = images.reshape(-1, *(1, *images.shape)[-3:])
    images = images.repeat(3, 1) if images.shape[1] == 1 else images
    count, channels, rows, columns = images.shape
    if count == 1:
        return images[0]
    wide = min(per_row, count)
    tall = math.ceil(count / wide)
    grid = np.full((channels, tall * (rows + padding) + padding, wide * (columns + padding) + padding), value)
    for place, image in enumerate(images):
        top, left = (part * (size + padding) + padding for part, size in zip(divmod(place, wide), (rows, columns)))
        grid[:, top : top + rows, left : left + columns] = image
    return grid


BATCHES = ((1, 3, 2, 2), (2, 1, 1, 2), (3, 1, 2, 3), (3, 4, 2), (5, 3, 3, 2), (2, 5), (9, 1, 3, 3), (17, 3, 2, 2))
GRIDS = twins((torch.float32,), ("contiguous", "gappy", "channels last"), BATCHES, values=("distinct",))


@claim("torchvision-offers-utils")
@over(EVERY_MODE, twin=GRIDS, per_row=among(1, 2, 4, 8), padding=among(0, 1, 2))
def test_make_grid_arranges_any_number_of_images_in_rows_with_a_border(utils, twin, per_row, padding):
    images, array = twin

    for given in (images, [*images.view(-1, *images.shape[-3:])], images.byte()):  # a batch, a list of images, bytes
        grid = utils.make_grid(given, nrow=per_row, padding=padding, pad_value=9)
        agree(grid, arranged(array, per_row, padding, 9.0))
    agree(utils.make_grid(images), arranged(array, 8, 2, 0.0))
    agree(images, array)


@claim("torchvision-offers-utils")
@over(twin=GRIDS, limits=among(None, (0, 4), (-2, 300)), each=among(False, True))
def test_make_grid_can_stretch_the_values_of_all_or_each_to_the_unit_interval(utils, twin, limits, each):
    images, array = twin
    axes = (1, 2, 3) if each and images.dim() > 3 else None
    low, high = limits or (array.min(axes, keepdims=True), array.max(axes, keepdims=True))
    stretched = (np.clip(array, low, high) - low) / np.subtract(high, low, dtype=np.float64)

    grid = utils.make_grid(images, padding=0, normalize=True, value_range=limits, scale_each=each)
    agree(grid, arranged(stretched, 8, 0, 0.0), roundings=3)
    agree(images, array)


def assert_shows(file, numbers):
    """Raise AssertionError unless the picture in ``file`` has ``numbers`` (3, rows, columns), rounded and clipped."""
    expected = np.clip(np.floor(255 * numbers + 0.5), 0, 255)
    with pytest.importorskip("PIL.Image").open(file) as picture:
        assert (picture.mode, np.array(picture).tolist()) == ("RGB", np.moveaxis(expected, 0, -1).tolist())


@claim("torchvision-offers-utils")
@over(twin=GRIDS, per_row=among(2, 8), how=among({}, {"normalize": True, "value_range": (-0.5, 1.5)}))
def test_save_image_writes_the_grid_to_a_file_in_bytes_rounded_and_clipped(tmp_path, utils, twin, per_row, how):
    images, array = twin
    given = images / 64 - 0.5
    file = (tmp_path / "grid.png").open("w+b") if how else tmp_path / "grid.png"
    utils.save_image(given, file, format="png", nrow=per_row, padding=1, **how)
    agree(given, array / 64 - 0.5)
    assert_shows(file, arranged(array / 128 if how else array / 64 - 0.5, per_row, 1, 0.0))


@claim("torchvision-offers-utils")
@over(twin=GRIDS)
def test_save_image_takes_a_list_of_images_for_the_grid_that_they_make(tmp_path, utils, twin):
    images, array = twin
    for number, target in enumerate((tmp_path / "grid.png", (tmp_path / "open.png").open("w+b"))):
        utils.save_image([*images.view(-1, *images.shape[-3:]) / 64], target, format="png", nrow=2 + number, padding=1)
        assert_shows(target, arranged(array / 64, 2 + number, 1, 0.0))


@claim("torchvision-offers-utils")
@over(frame=among(((1, 2, 5, 4), 1), ((0, 0, 6, 5), 2), ((3, 1, 4, 2), 1), ((2, 0, 5, 5), 1)))
def test_draw_bounding_boxes_paints_the_frames_and_what_they_hold_if_asked_to_on_a_copy(utils, frame):
    box, width = frame
    image = torch.full((3, 6, 20), 7, dtype=torch.uint8)
    boxes, colors = [box, (11, 0, 17, 5)], [(255, 0, 0), (1, 20, 3)]
    options = {"boxes": torch.tensor(boxes, dtype=torch.float32), "colors": colors, "width": width}
    painted, filled = (utils.draw_bounding_boxes(image, fill=fill, **options) for fill in (False, True))

    expected, held = np.full((3, 6, 20), 7), np.zeros((6, 20), bool)
    for (left, top, right, bottom), paint in zip(boxes, colors):
        inner = slice(top + width, bottom + 1 - width), slice(left + width, right + 1 - width)
        expected[:, top : bottom + 1, left : right + 1] = np.array(paint)[:, None, None]
        expected[(slice(None), *inner)], held[inner] = 7, True
    agree(painted, expected)
    agree((filled != painted).all(0), held)
    agree(image, np.full((3, 6, 20), 7))


@claim("torchvision-offers-utils")
@over(alpha=among(0.0, 0.25, 1.0), count=each(1, 2), named=among(False, True))
def test_draw_segmentation_masks_mixes_colours_into_what_the_masks_cover_on_a_copy(utils, alpha, count, named):
    array = (np.arange(3 * 6 * 7) * 5 % 256).reshape(3, 6, 7).astype(np.uint8)
    masks = np.zeros((2, 6, 7), bool)
    masks[0, 1:4, 2:], masks[1, 4:, :5] = True, True
    image, colours = torch.tensor(array, device="cpu"), [(255, 0, 0), (0, 0, 255)]
    given = torch.tensor(masks[:count] if count > 1 else masks[0], device="cpu")
    painted = utils.draw_segmentation_masks(
        image, given, alpha=alpha, colors=(["red", "blue"] if named else colours)[:count]
    )

    expected = array.astype(np.float64)
    for mask, colour in zip(masks[:count], colours):
        expected[:, mask] = array[:, mask] * (1 - alpha) + alpha * np.array(colour)[:, None]
    agree(painted, np.floor(expected).astype(np.uint8))
    agree(image, array)
