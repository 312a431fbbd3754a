"""3.4 torchvision's transforms to other sizes, borders and dtypes, that blur, and that erase."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, SINGLE_AND_DOUBLE, Twin, agree, among, each, over, twins, whole
from populations.comparing import host
from populations.images import DECODED
from populations.sides import cubic, linear, smoothed

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")

SHAPES = ((1, 4, 5), (3, 9, 4), (2, 3, 6, 7))
IMAGES = twins((torch.float32,), LAYOUTS[:5], SHAPES, values=("distinct",)).rarely(DECODED[0])


@pytest.fixture(scope="module")
def transforms():
    return pytest.importorskip("torchvision.transforms")


def apart(array, rows, columns):
    """An image whose rows and columns are mixed by two matrices."""
    return np.einsum("ih,...hw,jw->...ij", rows, array.astype(np.float64), columns)


BYTES = ("contiguous", "pixels", "channels last", "gappy")
WAYS = {
    "lines": ("BILINEAR", False, linear),
    "cubes": ("BICUBIC", False, cubic),
    "lines, smoothed": ("BILINEAR", True, smoothed),
}


@claim("torchvision-offers-transforms")
@over(
    EVERY_MODE,
    twin=IMAGES.also(*(Twin(torch.uint8, shape, values="distinct") for shape in SHAPES)),
    way=each(*WAYS),
    size=among((2, 2), (7, 3), (8, 10), 3, (1, 1)),
)
def test_resize_interpolates_linearly_or_cubically_and_smooths_if_asked_to(transforms, twin, way, size):
    (image, array), (name, antialias, matrix) = twin, WAYS[way]
    mode = getattr(transforms.InterpolationMode, name)
    resize = transforms.Resize(size, mode, antialias=antialias)
    rows, columns = array.shape[-2:]
    least = min(rows, columns)
    out = (size * rows // least, size * columns // least) if isinstance(size, int) else size
    expected = apart(array, matrix(out[0], rows), matrix(out[1], columns))

    found = resize(image)
    assert (found.dtype, found.shape) == (image.dtype, expected.shape)
    # numbers up to 256 by shares that are rounded; bytes are rounded and cut to what there is
    close = 0.501 if image.dtype == torch.uint8 else 1e-3
    largest = 255 if image.dtype == torch.uint8 else np.inf
    expected = expected if largest > 255 else np.clip(expected, 0, largest)
    assert np.abs(host(found).astype(np.float64) - expected).max() <= close
    agree(image, array)


@claim("torchvision-offers-transforms")
@over(
    EVERY_MODE,
    twin=among(DECODED[1], *(Twin(torch.uint8, shape, lay, values="distinct") for shape in SHAPES for lay in BYTES)),
    way=each("lines", "lines, smoothed"),
    size=among((2, 2), (7, 3), (8, 10), (1, 5)),  # one column: the next guard
)
def test_the_newer_resize_takes_bytes_as_they_are_however_they_lie(transforms, twin, way, size):
    newer, (image, array), (name, antialias, matrix) = pytest.importorskip("torchvision.transforms.v2"), twin, WAYS[way]
    resize = newer.Resize(size, getattr(transforms.InterpolationMode, name), antialias=antialias)
    expected = apart(array, *(matrix(*sides) for sides in zip(size, array.shape[-2:])))

    found = resize(image)
    assert (found.dtype, found.shape) == (torch.uint8, expected.shape)
    assert np.abs(host(found).astype(np.float64) - expected).max() <= 1.001  # shares and sums are rounded
    agree(image, array)


@claim("torchvision-offers-transforms", truth=True)
@pytest.mark.cpu
@over(
    EVERY_MODE,
    twin=twins(SINGLE_AND_DOUBLE, ("contiguous",), SHAPES, values=("distinct",)),
    rows=whole(1, 12, 3, 4, 6),
)
def test_a_smoothed_image_of_one_column_has_its_first_row_in_each_if_there_were_more_or_fewer(transforms, twin, rows):
    (image, array), as_it_was = twin, rows == twin.shape[-2]
    expected = apart(array, smoothed(rows, array.shape[-2]), smoothed(1, array.shape[-1]))
    shown = np.arange(rows) if as_it_was else np.zeros(rows, dtype=int)

    found = transforms.Resize((rows, 1), antialias=True)(image)
    assert np.abs(host(found) - expected[..., shown, :]).max() <= 1e-3


def bell(size, sigma):
    """Shares by the distance from the middle, as in a normal distribution."""
    shares = np.exp(-(((np.arange(size) - (size - 1) / 2) / sigma) ** 2) / 2)
    return shares / shares.sum()


@claim("torchvision-offers-transforms")
@over(EVERY_MODE, twin=IMAGES, kernel=each((3, 3), (1, 5), (5, 3)), sigma=among((0.5, 0.5), (0.75, 2.0)))
def test_a_blur_is_the_mean_of_what_lies_around_by_a_bell_in_each_direction_mirrored_at_the_edges(
    transforms, twin, kernel, sigma
):
    image, array = twin
    wide, tall = (size // 2 for size in kernel)
    padded = np.pad(array.astype(np.float64), [(0, 0)] * (array.ndim - 2) + [(tall,) * 2, (wide,) * 2], "reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel[::-1], (-2, -1))
    expected = np.einsum("...ij,i,j->...", windows, bell(kernel[1], sigma[1]), bell(kernel[0], sigma[0]))

    found = transforms.functional.gaussian_blur(image, [*kernel], [*sigma])
    agree(found, expected, 2 * kernel[0] * kernel[1], 256)
    drawn = transforms.GaussianBlur(kernel, sigma=(sigma[0], sigma[0]))(image)
    expected = np.einsum("...ij,i,j->...", windows, bell(kernel[1], sigma[0]), bell(kernel[0], sigma[0]))
    agree(drawn, expected, 2 * kernel[0] * kernel[1], 256)
    agree(image, array)


@claim("torchvision-offers-transforms")
@over(
    EVERY_MODE,
    twin=twins((torch.float32, torch.uint8), LAYOUTS[:5], SHAPES, values=("distinct",)),
    mode=each("edge", "reflect", "symmetric"),
    padding=among((1, 2, 0, 1), (2, 0, 3, 2), 1),
)
def test_a_border_repeats_the_edge_or_mirrors_the_image_with_or_without_its_edge(transforms, twin, mode, padding):
    image, array = twin
    left, top, right, bottom = [padding] * 4 if isinstance(padding, int) else padding
    around = [(0, 0)] * (array.ndim - 2) + [(top, bottom), (left, right)]

    agree(transforms.Pad(padding, padding_mode=mode)(image), np.pad(array, around, mode))
    agree(image, array)


@claim("torchvision-offers-transforms")
@over(
    EVERY_MODE,
    twin=twins((torch.uint8,), LAYOUTS, SHAPES, values=("distinct",)),
    dtype=among(*SINGLE_AND_DOUBLE),
    bits=among(1, 2, 4, 7),
)
def test_bytes_keep_their_first_bits_and_become_shares_of_255_or_wider_numbers_and_come_back(
    transforms, twin, dtype, bits
):
    image, array = twin
    convert = transforms.ConvertImageDtype
    agree(transforms.functional.posterize(image, bits), array // 2 ** (8 - bits) * 2 ** (8 - bits))
    numbers = convert(dtype)(image)

    agree(numbers, array / 255, 1)
    agree(convert(torch.uint8)(numbers), array)
    agree(convert(torch.uint8)(numbers * 0.75), np.floor(array / 255 * 0.75 * 255.999))  # 256 steps of equal width
    if dtype == torch.float64:  # which is converted to itself, and to the other
        agree(convert(torch.float64)(numbers), host(numbers))
        agree(convert(torch.float32)(numbers), host(numbers).astype(np.float32))
    agree(convert(torch.int16)(image), array.astype(np.int16) * 128)
    agree(convert(torch.uint8)(convert(torch.int16)(image) + 127), array)
    agree(image, array)


@claim("torchvision-offers-transforms")
@over(value=among(7, 0.5, (1.0, 2.0, 3.0)), scale=among((0.1, 0.3), (0.3, 0.3)), batch=among((), (2,)))
def test_random_erasing_fills_one_rectangle_of_the_size_that_is_asked_for(transforms, value, scale, batch):
    image = 10 + torch.arange(float(np.prod([*batch, 3, 16, 20]))).view(*batch, 3, 16, 20)
    erased = transforms.RandomErasing(1.0, scale, (0.5, 2.0), value)(image)
    changed = host(erased != image).reshape(-1, 16, 20)

    rows, columns = np.flatnonzero(changed[0].any(1)), np.flatnonzero(changed[0].any(0))
    inside = np.zeros(changed.shape, bool)
    inside[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    assert (changed == inside).all()
    fill = np.broadcast_to(np.reshape(value, (-1, 1, 1)), image.shape)
    agree(erased, np.where(inside.reshape(image.shape), fill, host(image)))
    # of 320 pixels; each side is rounded, which changes it by half a pixel at most
    tall, wide = len(rows), len(columns)
    assert (tall - 0.5) * (wide - 0.5) <= scale[1] * 320
    assert (tall + 0.5) * (wide + 0.5) >= scale[0] * 320
    assert (tall - 0.5) / (wide + 0.5) <= 2
    assert (tall + 0.5) / (wide - 0.5) >= 0.5
