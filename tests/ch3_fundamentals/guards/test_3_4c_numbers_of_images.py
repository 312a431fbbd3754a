"""3.4 torchvision's transforms that change the numbers of an image: to a tensor, to another range, to grey."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, SINGLE_AND_DOUBLE, Twin, agree, among, each, over, twins, untouched
from populations.images import DECODED

claim = pytest.mark.claim
pytestmark = pytest.mark.cpu  # PIL images live in main memory

SIZES = ((1, 4, 5), (3, 5, 4), (3, 3, 11), (1, 8, 8))  # channels, rows, columns
PICTURES = twins((torch.uint8,), LAYOUTS, SIZES, values=("distinct",)).rarely(DECODED[1])
BYTES = ("PIL", "bytes", "grey bytes")  # of which zeros and ones become 0 and 1/255; bits become 0 and 1
OTHERS = ("bits", "numbers", "grey numbers", "whole numbers", "short numbers")


@pytest.fixture(scope="module")
def transforms():
    return pytest.importorskip("torchvision.transforms")


@claim("torchvision-offers-transforms")
@over(EVERY_MODE, twin=PICTURES, kind=among(*BYTES, *OTHERS))
def test_to_tensor_puts_channels_first_and_divides_bytes_by_255_and_no_other_numbers(transforms, twin, kind):
    _, array = twin
    last, image = np.moveaxis(array, 0, -1), pytest.importorskip("PIL.Image")
    picture, grey = image.fromarray(last[..., 0] if len(array) == 1 else last), last[..., 0]
    of = {
        **{"PIL": picture, "bits": picture.convert("1"), "grey numbers": image.fromarray(grey.astype(np.float32))},
        "whole numbers": image.fromarray(grey.astype(np.int32)),
        "short numbers": image.fromarray(grey.astype(np.uint16)),
        **{"bytes": last, "grey bytes": grey, "numbers": last.astype(np.float32)},
    }[kind]

    expected = np.moveaxis(np.atleast_3d(np.array(of, np.float64)), -1, 0)
    agree(transforms.ToTensor()(of), expected / (255 if kind in BYTES else 1), roundings=1)


@claim("torchvision-offers-transforms")
@over(twin=twins(SINGLE_AND_DOUBLE, LAYOUTS, (*SIZES, (1, 1, 1), (4, 8, 8)), values=("distinct", "fractions")))
def test_normalize_subtracts_each_channel_s_mean_and_divides_by_its_deviation_in_place_if_asked(transforms, twin):
    image, array = twin
    mean, deviation = (1 + 9 * np.arange(len(array)))[:, None, None], 2.0 ** np.arange(1, len(array) + 1)[:, None, None]
    expected = (array - mean) / deviation / (1 + 2**-30)  # digits that single precision lacks

    given = mean.flatten().tolist(), ((1 + 2**-30) * deviation).flatten().tolist()
    for one in (image, torch.stack([image, image])):
        agree(transforms.Normalize(*given)(one), np.broadcast_to(expected, one.shape), roundings=2)
    agree(image, array)
    copy = image.contiguous().clone()
    assert transforms.Normalize(*given, inplace=True)(copy) is copy
    agree(copy, expected, roundings=2)


@claim("torchvision-offers-transforms")
@over(EVERY_MODE, twin=twins((torch.float32, torch.uint8), LAYOUTS, ((3, 5, 4), (3, 3, 11), (2, 3, 1, 2))))
def test_grey_weighs_red_green_and_blue_and_bytes_are_cut(transforms, twin):
    """By the weights of ITU-R BT.601, with the four digits that torchvision documents."""
    image, array = twin
    grey = (array.astype(np.float64) * np.array([0.2989, 0.587, 0.114])[:, None, None]).sum(-3, keepdims=True)

    for channels in (1, 3):
        made = transforms.Grayscale(channels)(image)
        assert (made.dtype, made.shape) == (image.dtype, (*image.shape[:-3], channels, *image.shape[-2:]))
        expected = np.repeat(np.floor(grey) if image.dtype == torch.uint8 else grey, channels, -3)
        agree(made, expected, roundings=6, scale=8)
    agree(image, array)


@claim("torchvision-offers-transforms")
@over(EVERY_MODE, twin=PICTURES, kind=each("bytes", "an array", "numbers", "a matrix"))
def test_a_picture_that_is_made_of_an_image_has_its_bytes_of_numbers_255_times_rounded_down(transforms, twin, kind):
    pytest.importorskip("PIL")
    image, array = twin
    given, expected = {
        "bytes": (image, array),
        "an array": (np.ascontiguousarray(np.moveaxis(array, 0, -1)), array),
        "numbers": (image / 256, np.floor(array / 256 * 255)),
        "a matrix": (image[0], array[:1]),
    }[kind]
    picture = transforms.ToPILImage()(given)

    assert (picture.mode, picture.size) == ({1: "L", 3: "RGB"}[len(expected)], expected.shape[:0:-1])
    agree(transforms.PILToTensor()(picture), expected)
    agree(image, array)


LEAVING = {  # transforms, and the numbers of dimensions of the images that each is tried with
    "ToPILImage": (lambda of: of.ToPILImage(), (2, 3)),
    "Normalize": (lambda of: of.Normalize([0.5], [0.25]), (3, 4)),
    "Resize": (lambda of: of.Resize((2, 2), antialias=True), (3, 4)),
    "CenterCrop": (lambda of: of.CenterCrop(2), (2, 3, 4)),
    "Pad": (lambda of: of.Pad(1), (2, 3, 4)),
    "RandomHorizontalFlip": (lambda of: of.RandomHorizontalFlip(1.0), (2, 3, 4)),
    "RandomVerticalFlip": (lambda of: of.RandomVerticalFlip(1.0), (2, 3, 4)),
    "RandomCrop": (lambda of: of.RandomCrop(3), (2, 3, 4)),
    "RandomErasing": (lambda of: of.RandomErasing(1.0), (3, 4)),
    "RandomRotation": (lambda of: of.RandomRotation(45), (3, 4)),
    "ColorJitter": (lambda of: of.ColorJitter(0.5), (3, 4)),
    "Lambda": (lambda of: of.Lambda(lambda x: x + 1), (2, 3, 4)),
    "ConvertImageDtype": (lambda of: of.ConvertImageDtype(torch.float64), (2, 3, 4)),
    "Compose": (lambda of: of.Compose([of.CenterCrop(2), of.ToPILImage(), of.ToTensor()]), (3,)),
}


@claim("torchvision-offers-transforms")
@over(name=each(*LEAVING), layout=among(*LAYOUTS))
def test_no_transform_changes_the_image_that_it_is_given_unless_told_to(transforms, name, layout):
    pytest.importorskip("PIL")
    make, ranks = LEAVING[name]
    for rank in ranks:
        image, array = Twin(torch.float32, (1, 1, 9, 8)[4 - rank :], layout, values="fractions")
        before = image.shape, image.stride()
        make(transforms)(image)
        assert (image.shape, image.stride()) == before
        agree(image, array)
        untouched(image)


@claim("torchvision-offers-transforms")
@over(
    side=among(1, 2, 5, 8),
    quarters=among(0, 1, 2, 3),
    shift=among((0, 0), (1, 0), (0, -1), (2, 1)),
    of=each("tensor", "PIL"),
)
def test_affine_turns_clockwise_about_the_middle_and_then_shifts_pictures_and_tensors(
    transforms, side, quarters, shift, of
):
    array = np.arange(1, 1 + 3 * side**2, dtype=np.uint8).reshape(side, side, 3)
    of_tensor, angle = of == "tensor", (0, 90, 180, -90)[quarters]
    picture = torch.tensor(array).permute(2, 0, 1) if of_tensor else pytest.importorskip("PIL.Image").fromarray(array)
    turned = np.rot90(array, -quarters)
    shifted = np.pad(turned, ((2, 2), (2, 2), (0, 0)))[2 - shift[1] :, 2 - shift[0] :][:side, :side]

    for moved, expected in (
        (transforms.functional.affine(picture, angle, [*shift], 1.0, [0.0, 0.0]), shifted),
        (transforms.RandomAffine((angle, angle))(picture), turned),
    ):
        agree(moved.permute(1, 2, 0) if of_tensor else torch.tensor(np.array(moved)), expected)
