"""3.4 torchvision: transforms and utilities

A *transform* makes an image from an image: cropped, rotated, flipped, resized, or turned into a tensor of numbers
between 0 and 1. Transforms prepare images for a network, and random ones make more of a small training set. In tensors
the channels come first (channel, row, column), in PIL images and NumPy arrays last. `torchvision.utils` holds what else
one needs, such as arranging a batch of images in a grid and writing them to a file.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision")
from PIL import Image
from torchvision import transforms, utils
from torchvision.transforms import functional

claim = pytest.mark.claim
pytestmark = pytest.mark.cpu  # PIL images and files live in main memory


@pytest.fixture
def image():
    """One channel, four rows, five columns; pixel (r, c) is 10 r + c."""
    return (10 * torch.arange(4.0).unsqueeze(1) + torch.arange(5.0)).unsqueeze(0)


# ── torchvision-offers-transforms ──


@claim("torchvision-offers-transforms")
def test_crop_cuts_out_a_rectangle(image):
    cropped = functional.crop(image, top=1, left=2, height=2, width=3)
    assert cropped.tolist() == [[[12.0, 13.0, 14.0], [22.0, 23.0, 24.0]]]


@claim("torchvision-offers-transforms")
def test_center_crop_cuts_out_the_middle(image):
    assert transforms.CenterCrop((2, 3))(image).tolist() == [[[11.0, 12.0, 13.0], [21.0, 22.0, 23.0]]]


@claim("torchvision-offers-transforms")
def test_center_crop_of_one_number_cuts_a_square_out_of_the_middle():
    image = torch.arange(25.0).reshape(1, 5, 5)
    assert transforms.CenterCrop(1)(image).tolist() == [[[12.0]]]
    assert transforms.CenterCrop(3)(image).tolist() == [[[6.0, 7.0, 8.0], [11.0, 12.0, 13.0], [16.0, 17.0, 18.0]]]


@claim("torchvision-offers-transforms")
@pytest.mark.parametrize(("sizes", "angle"), [((7, 33), 67), ((9, 9), 45), ((8, 5), 30), ((33, 7), 2.9)])
def test_rotate_with_expand_makes_room_for_all_four_corners(sizes, angle):
    """Each side of the turned image, the sum of both sides' shadows on it, rounded up to a whole pixel."""
    height, width = sizes
    c, s = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    exact = height * c + width * s, height * s + width * c
    rotated = functional.rotate(torch.ones(3, height, width), angle, expand=True)
    for size, side in zip(rotated.shape[1:], exact):
        assert side <= size < side + 2  # corners may touch a further pixel on either side


@claim("torchvision-offers-transforms")
def test_random_rotation_keeps_the_fraction_of_its_angle():
    image = torch.arange(64.0 * 64).reshape(1, 64, 64)
    turned = transforms.RandomRotation((2.9, 2.9))(image)
    assert turned.tolist() == functional.rotate(image, 2.9).tolist()
    assert turned.tolist() != functional.rotate(image, 2.0).tolist()


@claim("torchvision-offers-transforms")
def test_random_crop_cuts_out_every_rectangle_of_its_size(image):
    """Three rows by two columns fit at 2 x 4 places."""
    crop = transforms.RandomCrop((3, 2))
    # A given place is missed by all of 250 draws with probability (7/8) ** 250 = 3e-15; one of eight, 3e-14.
    seen = {str(crop(image).tolist()) for _ in range(250)}
    numbers = np.array(image[0].tolist())
    places = [numbers[top : top + 3, left : left + 2] for top in range(2) for left in range(4)]
    assert seen == {str([place.tolist()]) for place in places}


@claim("torchvision-offers-transforms")
@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
@pytest.mark.parametrize("size", [3, 4])
def test_rotate_turns_counter_clockwise(size, quarter_turns):
    square = torch.arange(float(size * size)).reshape(1, size, size)
    rotated = functional.rotate(square, 90.0 * quarter_turns)
    assert rotated[0].tolist() == np.rot90(np.array(square[0].tolist()), quarter_turns).tolist()


@claim("torchvision-offers-transforms")
def test_rotate_keeps_the_size_and_fills_the_corners_with_zeros():
    """Turned by an eighth, a white square keeps its middle and loses its corners."""
    rotated = functional.rotate(torch.ones(1, 9, 9), 45.0)
    assert rotated.shape == (1, 9, 9)
    assert [rotated[0, row, column].item() for row in (0, 8) for column in (0, 8)] == [0.0] * 4
    assert rotated[0, 2:7, 2:7].tolist() == [[1.0] * 5] * 5


@claim("torchvision-offers-transforms")
def test_random_rotation_turns_by_an_angle_of_its_range():
    square = torch.arange(9.0).reshape(1, 3, 3)
    rotated = transforms.RandomRotation((90, 90))(square)
    assert rotated.tolist() == [[[2.0, 5.0, 8.0], [1.0, 4.0, 7.0], [0.0, 3.0, 6.0]]]
    angles = [transforms.RandomRotation.get_params([-20, 5]) for _ in range(200)]
    # All 200 uniform draws from 25 degrees stay out of the outermost 3 with probability (22/25) ** 200 = 8e-12.
    assert -20 <= min(angles) < -17
    assert 2 < max(angles) <= 5
    # And of the middle fifth with probability (4/5) ** 200 = 4e-20.
    assert any(-10 < angle < -5 for angle in angles) is True


@claim("torchvision-offers-transforms")
def test_flips_reverse_columns_or_rows(image):
    numbers = np.array(image[0].tolist())
    assert functional.hflip(image)[0].tolist() == numbers[:, ::-1].tolist()
    assert functional.vflip(image)[0].tolist() == numbers[::-1].tolist()
    assert transforms.RandomHorizontalFlip(p=1)(image)[0].tolist() == numbers[:, ::-1].tolist()
    assert transforms.RandomHorizontalFlip(p=0)(image)[0].tolist() == numbers.tolist()


@claim("torchvision-offers-transforms")
def test_a_random_flip_has_the_probability_it_is_given():
    flip, pair = transforms.RandomHorizontalFlip(p=0.7), torch.tensor([[[0.0, 1.0]]])
    flipped = sum(flip(pair)[0, 0, 0].item() for _ in range(1000))
    # 700 are expected. Hoeffding: 105 more or fewer with probability at most 2 exp(-2 * 105 ** 2 / 1000) = 5e-10.
    assert 595 < flipped < 805


@claim("torchvision-offers-transforms")
def test_pad_surrounds_the_image(image):
    padded = transforms.Pad((1, 0, 0, 2), fill=7)(image)  # left, top, right, bottom
    expected = np.pad(np.array(image[0].tolist()), ((0, 2), (1, 0)), constant_values=7)
    assert padded[0].tolist() == expected.tolist()


@claim("torchvision-offers-transforms")
def test_resize_to_twice_the_size_repeats_the_nearest_pixel():
    small = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    resize = transforms.Resize((4, 6), interpolation=transforms.InterpolationMode.NEAREST)
    row, other = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [4.0, 4.0, 5.0, 5.0, 6.0, 6.0]
    assert resize(small).tolist() == [[row, row, other, other]]


@claim("torchvision-offers-transforms")
def test_to_tensor_puts_channels_first_and_divides_by_255():
    pixels = np.array([[[0, 51, 255], [102, 0, 1]]], dtype=np.uint8)  # one row, two columns, three channels
    expected = torch.tensor([[[0.0, 0.4]], [[0.2, 0.0]], [[1.0, 1 / 255]]])
    torch.testing.assert_close(transforms.ToTensor()(pixels), expected)
    torch.testing.assert_close(transforms.ToTensor()(Image.fromarray(pixels)), expected)


@claim("torchvision-offers-transforms")
def test_to_tensor_leaves_numbers_that_are_no_bytes_as_they_are():
    pixels = np.array([[[3.0], [500.0]]], dtype=np.float32)
    assert transforms.ToTensor()(pixels).tolist() == [[[3.0, 500.0]]]


@claim("torchvision-offers-transforms")
def test_normalize_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel():
    normalize = transforms.Normalize(mean=[1.0, 10.0], std=[2.0, 4.0])
    image = torch.tensor([[[5.0]], [[12.0]]])
    assert normalize(image).tolist() == [[[2.0]], [[0.5]]]
    assert image.tolist() == [[[5.0]], [[12.0]]]


@claim("torchvision-offers-transforms")
def test_compose_applies_transforms_in_their_order(image):
    """Of five columns the middle one is column 2; of nine, after four were added on the right, column 4."""
    crop, pad = transforms.CenterCrop((4, 1)), transforms.Pad((0, 0, 4, 0))
    assert transforms.Compose([crop, pad])(image)[0, :, 0].tolist() == [2.0, 12.0, 22.0, 32.0]
    assert transforms.Compose([pad, crop])(image)[0, :, 0].tolist() == [4.0, 14.0, 24.0, 34.0]


@claim("torchvision-offers-transforms")
def test_pil_images_are_cropped_and_rotated_too():
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert np.array(functional.crop(picture, 1, 0, 2, 2)).tolist() == [[4, 5], [8, 9]]
    assert np.array(functional.rotate(picture, 90, expand=True)).tolist() == [
        [3, 7, 11],
        [2, 6, 10],
        [1, 5, 9],
        [0, 4, 8],
    ]


# ── torchvision-offers-utils ──


@claim("torchvision-offers-utils")
def test_make_grid_arranges_images_in_rows_with_a_border():
    """Three images of 1x2 pixels, two to a row; the place of a fourth is left to the border's value."""
    images = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]], [[[5.0, 6.0]]]])
    grid = utils.make_grid(images, nrow=2, padding=1, pad_value=9)
    expected = [
        [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0],
        [9.0, 1.0, 2.0, 9.0, 3.0, 4.0, 9.0],
        [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0],
        [9.0, 5.0, 6.0, 9.0, 9.0, 9.0, 9.0],
        [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0],
    ]
    assert grid.tolist() == [expected] * 3  # grey becomes red, green and blue alike


@claim("torchvision-offers-utils")
def test_make_grid_can_stretch_the_values_to_the_unit_interval():
    images = torch.tensor([[[[-2.0, 0.0]]], [[[2.0, 6.0]]]])
    together = utils.make_grid(images, padding=0, normalize=True)
    assert together[0].tolist() == [[0.0, 0.25, 0.5, 1.0]]
    clipped = utils.make_grid(images, padding=0, normalize=True, value_range=(0, 4))
    assert clipped[0].tolist() == [[0.0, 0.0, 0.5, 1.0]]
    assert images.flatten().tolist() == [-2.0, 0.0, 2.0, 6.0]


@claim("torchvision-offers-utils")
def test_save_image_writes_the_pixels_to_a_file(tmp_path):
    """Three channels, two rows, one column; 255 times the value, rounded, and clipped."""
    image = torch.tensor([[[0.0], [0.4]], [[0.2], [0.5]], [[-3.0], [7.0]]])
    utils.save_image(image, tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as picture:
        assert (picture.size, picture.mode) == ((1, 2), "RGB")
        assert np.array(picture).tolist() == [[[0, 51, 0]], [[102, 128, 255]]]


@claim("torchvision-offers-utils")
def test_save_image_arranges_a_batch_in_a_grid(tmp_path):
    utils.save_image(torch.tensor([[[[0.2]]], [[[0.4]]], [[[0.6]]]]), tmp_path / "grid.png", nrow=2, padding=1)
    with Image.open(tmp_path / "grid.png") as picture:
        rows = np.array(picture)[:, :, 0].tolist()
    assert rows == [[0] * 5, [0, 51, 0, 102, 0], [0] * 5, [0, 153, 0, 0, 0], [0] * 5]


@claim("torchvision-offers-utils")
def test_draw_bounding_boxes_paints_the_frame_on_a_copy():
    black = torch.zeros(3, 6, 7, dtype=torch.uint8)
    boxes = torch.tensor([[1.0, 2.0, 5.0, 4.0]])  # left, top, right, bottom
    painted = utils.draw_bounding_boxes(black, boxes, colors=[(255, 0, 0)])
    frame = [[0] * 7, [0] * 7, [0, 1, 1, 1, 1, 1, 0], [0, 1, 0, 0, 0, 1, 0], [0, 1, 1, 1, 1, 1, 0], [0] * 7]
    assert painted[0].tolist() == [[255 * pixel for pixel in row] for row in frame]
    assert painted[1:].count_nonzero().item() == 0
    assert black.count_nonzero().item() == 0
