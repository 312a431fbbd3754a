"""3.4 torchvision's transforms of images that are tensors, wherever these lie: turned, flipped, cut and resized."""

import colorsys
import math

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, agree, among, over, twins
from populations.comparing import host
from populations.images import DECODED

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")

# (channels, rows, columns): odd and even, square and not, one row, one column, one pixel; at most 256 elements each
SIZES = ((1, 1, 1), (1, 4, 5), (3, 5, 4), (1, 9, 9), (3, 3, 11), (1, 33, 7), (4, 8, 8), (3, 1, 4), (2, 4, 1))
IMAGES = twins((torch.float32, torch.uint8), LAYOUTS, SIZES, values=("distinct",)).rarely(*DECODED)
NUMBERS = twins((torch.float32,), LAYOUTS, SIZES, values=("distinct",)).rarely(DECODED[0])


@pytest.fixture(scope="module")
def transforms():
    return pytest.importorskip("torchvision.transforms")


def turned(array, angle, size, fill, about=None):
    """``array`` turned counter-clockwise by ``angle`` degrees about its middle or a point, and what is beyond doubt.

    Each pixel of the result has the value of the nearest one where it came from, ``fill`` where that lies outside.
    In doubt are pixels that came from within 1e-3 of the line between two. A point is a column and a row.
    """
    inner = np.array(array.shape[1:])
    fixed = [(inner - 1) / 2, (np.array(size) - 1) / 2] if about is None else [np.array(about[::-1]) - 0.5] * 2
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    y, x = np.indices(size) - fixed[1][:, None, None]
    places = np.stack([c * y + s * x, c * x - s * y]) + fixed[0][:, None, None]
    nearest = np.rint(places).astype(int)
    inside = np.all((nearest >= 0) & (nearest < inner[:, None, None]), axis=0)
    row, column = np.where(inside, nearest, 0)
    return np.where(inside, array[:, row, column], fill), np.all(np.abs(places % 1 - 0.5) > 1e-3, axis=0)


@claim("torchvision-offers-transforms")
@over(
    EVERY_MODE,
    twin=NUMBERS,
    angle=among(0.0, 2.9, 30.0, 45.0, 67.0, 90.0, 180.0, -90.0, 270.0, -123.4),
    expand=among(False, True),
    fill=among(0.0, 5.0),
    center=among(None, (0.0, 0.5), (2.5, 1.0)),
)
def test_rotate_turns_counter_clockwise_about_a_point_fills_and_expands(transforms, twin, angle, expand, fill, center):
    (image, array), center = twin, None if expand else center  # expanded it is turned about the middle alone
    result = transforms.functional.rotate(image, angle, expand=expand, fill=[fill], center=center and [*center])
    turn = transforms.RandomRotation((angle, angle), expand=expand, fill=fill, center=center)
    drawn = turn(torch.stack([image * 0, image]))[1]

    rows, columns = array.shape[1:]
    c, s = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    exact = np.array([rows * c + columns * s, rows * s + columns * c] if expand else [rows, columns])
    # both sides' shadows, rounded up to whole pixels, of which the corners may touch a further one on either side
    assert np.all((exact - 1e-3 <= result.shape[1:]) & (result.shape[1:] < exact + (2 if expand else 1)))
    expected, sure = turned(array, angle, tuple(result.shape[1:]), fill, center)
    for each in (result, drawn):
        agree(each * torch.tensor(sure, device=each.device), expected * sure)
    agree(image, array)


@claim("torchvision-offers-transforms")
@over(
    EVERY_MODE,
    twin=IMAGES,
    padding=among((1, 0, 0, 2), (2, 1, 3, 0), (0, 0, 0, 0)),
    factors=among((1, 2), (2, 1), (3, 3)),
)
def test_flips_reverse_columns_or_rows_pad_surrounds_and_resize_repeats_pixels(transforms, twin, padding, factors):
    (left, top, right, bottom), (one, numbers) = padding, twin
    nearest = transforms.InterpolationMode.NEAREST

    for image, array in ((one, numbers), (torch.stack([one, one]), np.stack([numbers] * 2))):  # and a batch
        sizes = [size * factor for size, factor in zip(array.shape[-2:], factors)]
        agree(transforms.functional.hflip(image), array[..., ::-1])
        agree(transforms.functional.vflip(image), array[..., ::-1, :])
        agree(transforms.RandomHorizontalFlip(p=1)(image), array[..., ::-1])
        agree(transforms.RandomVerticalFlip(p=0)(image), array)
        around = [(0, 0)] * (array.ndim - 2) + [(top, bottom), (left, right)]
        agree(transforms.Pad(padding, fill=7)(image), np.pad(array, around, constant_values=7))
        agree(transforms.Resize(sizes, nearest)(image), array.repeat(factors[0], -2).repeat(factors[1], -1))
        agree(transforms.Resize(2 * min(array.shape[-2:]), nearest)(image), array.repeat(2, -2).repeat(2, -1))
        for side in (1, 3, 7):  # of the shorter one; the other is cut to a whole number
            both = [side * size // min(array.shape[-2:]) for size in array.shape[-2:]]
            assert [*transforms.Resize(side, nearest)(image).shape[-2:]] == both
        agree(image, array)


def grey(image, top):
    """Of one channel: red, green and blue, weighed as television does; of bytes a whole number."""
    weighed = np.tensordot([0.2989, 0.587, 0.114], image, 1)[None]
    return np.floor(weighed) if top == 255 else weighed


def blended(image, other, share, top):
    return np.clip(share * image + (1 - share) * other, 0, top)


def turned_hue(image, share, top):
    """Each pixel with its hue this share of a circle further, of the same saturation and value."""
    pixels = [colorsys.rgb_to_hsv(*pixel) for pixel in (image / top).reshape(3, -1).T]
    pixels = [colorsys.hsv_to_rgb((hue + share) % 1, *rest) for hue, *rest in pixels]
    return np.array(pixels).T.reshape(image.shape) * (255.999 if top == 255 else 1)  # bytes take 256 equal steps


def softened(image, top):
    """Each pixel that is no edge, mixed with its eight neighbours; of bytes rounded."""
    soft = image.copy()
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
    mixed = (windows.sum((3, 4)) + 4 * image) / 13
    soft[:, 1:-1, 1:-1] = (np.rint(mixed) if top == 255 else mixed)[:, 1:-1, 1:-1]
    return soft


# Of an image of three channels whose numbers go from 0 to ``top``; those of bytes are then rounded down.
COLOURS = {
    "invert": (lambda of, x, top: of.invert(x), lambda a, top: top - a),
    "solarize": (lambda of, x, top: of.solarize(x, 0.5 * top), lambda a, top: np.where(a < 0.5 * top, a, top - a)),
    "darker": (lambda of, x, top: of.adjust_brightness(x, 0.5), lambda a, top: a * 0.5),
    "brighter": (lambda of, x, top: of.adjust_brightness(x, 1.5), lambda a, top: np.clip(a * 1.5, 0, top)),
    "less colour": (
        lambda of, x, top: of.adjust_saturation(x, 0.25),
        lambda a, top: blended(a, grey(a, top), 0.25, top),
    ),
    "more colour": (lambda of, x, top: of.adjust_saturation(x, 2.0), lambda a, top: blended(a, grey(a, top), 2, top)),
    "contrast": (
        lambda of, x, top: of.adjust_contrast(x, 0.5),
        lambda a, top: blended(a, grey(a, top).mean(), 0.5, top),
    ),
    **{
        f"hue, {share}": (
            lambda of, x, top, share=share: of.adjust_hue(x, share),
            lambda a, top, share=share: turned_hue(a, share, top),
        )
        for share in (0.25, -0.4, 0.5)
    },
    **{
        f"sharpness, {share}": (
            lambda of, x, top, share=share: of.adjust_sharpness(x, share),
            lambda a, top, share=share: blended(a, softened(a, top), share, top),
        )
        for share in (0.0, 0.5, 2.0)
    },
    "gamma": (  # of which bytes take 256 equal steps
        lambda of, x, top: of.adjust_gamma(x, 2, 0.75),
        lambda a, top: 0.75 * (a / top) ** 2 * (255.999 if top == 255 else 1),
    ),
    "autocontrast": (
        lambda of, x, top: of.autocontrast(x),
        lambda a, top: (
            (a - a.min((1, 2), keepdims=True)) * top / (a.max((1, 2), keepdims=True) - a.min((1, 2), keepdims=True))
        ),
    ),
}


@claim("torchvision-offers-transforms")
@over(
    EVERY_MODE,
    name=among(*COLOURS),
    twin=twins((torch.uint8, torch.float32), LAYOUTS[:5], ((3, 5, 4), (3, 1, 7), (3, 9, 9)), values=("distinct",)),
)
def test_colours_change_by_the_published_rule_within_the_numbers_that_there_are(transforms, name, twin):
    change, rule = COLOURS[name]
    image, array = twin
    top = 255 if twin.dtype == torch.uint8 else 1
    image = image if top == 255 else image / 256
    numbers = array.astype(np.float64) / (1 if top == 255 else 256)

    found = change(transforms.functional, image, top)
    assert (found.dtype, found.shape) == (image.dtype, image.shape)
    expected, close = rule(numbers, top), 0 if name in ("invert", "solarize") else 1e-3 if top == 255 else 1e-5
    found = host(found).astype(np.float64)
    low, high = (np.floor(expected + way) if top == 255 else expected + way for way in (-close, close))
    assert np.all((low <= found) & (found <= high))


def five(array):
    """The corners, of two rows and three columns, and the middle, on whose sides there is as much."""
    top, left = (array.shape[-2] - 2) // 2, (array.shape[-1] - 3) // 2
    corners = [array[..., rows, columns] for rows in (np.s_[:2], np.s_[-2:]) for columns in (np.s_[:3], np.s_[-3:])]
    return [*corners, array[..., top : top + 2, left : left + 3]]


@claim("torchvision-offers-transforms")
@over(
    EVERY_MODE,
    twin=twins((torch.uint8, torch.float32), LAYOUTS[:5], ((3, 4, 5), (1, 8, 9), (2, 3, 6, 7)), values=("distinct",)),
)
def test_five_and_ten_crops_are_the_corners_the_middle_and_those_of_the_mirror_image_and_erase_fills_a_part(
    transforms, twin
):
    image, array = twin
    for transform, expected in (
        (transforms.FiveCrop((2, 3)), five(array)),
        (transforms.TenCrop((2, 3)), [*five(array), *five(array[..., ::-1])]),
        (transforms.TenCrop((2, 3), vertical_flip=True), [*five(array), *five(array[..., ::-1, :])]),
    ):
        for part, numbers in zip(transform(image), expected, strict=True):
            agree(part, numbers)
    blank = array.copy()
    blank[..., 1:3, 0:2] = 7
    agree(transforms.functional.erase(image, 1, 0, 2, 2, torch.tensor(7, dtype=image.dtype)), blank)
    agree(image, array)
