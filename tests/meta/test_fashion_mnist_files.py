"""The finder of Fashion-MNIST: absent, broken and intact files are told apart, and no given folder is written to."""

import gzip
import hashlib
import struct
from pathlib import Path

import pytest
from harness import fashion_mnist
from harness.fashion_mnist import FILES, NOT_HERE, BrokenDataSet, Contents, find, lay_out

SMALL = {name: f"the contents of {name}".encode() for name in FILES}
PUBLISHED_MD5 = {  # of the packed files, from the README of github.com/zalandoresearch/fashion-mnist
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
DEBIAN = fashion_mnist.DEFAULT_PLACES[1]


@pytest.fixture
def write(monkeypatch):
    """Writes small files in place of the data set's, and has them taken for intact ones."""
    small = {name: Contents(len(data), hashlib.sha256(data).hexdigest()) for name, data in SMALL.items()}
    monkeypatch.setattr(fashion_mnist, "FILES", small)

    def write_files(folder: Path, suffix: str = "", names=tuple(SMALL)) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / f"{name}{suffix}").write_bytes(gzip.compress(SMALL[name]) if suffix else SMALL[name])
        return folder

    return write_files


@pytest.fixture(params=[".", "FashionMNIST/raw"], ids=["flat", "torchvision"])
def layout(request) -> str:
    return request.param


@pytest.fixture(params=["", ".gz"], ids=["plain", "packed"])
def suffix(request) -> str:
    return request.param


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_in_either_layout_plain_or_packed_are_laid_out_for_torchvision(write, tmp_path, layout, suffix):
    given = tmp_path / "given"
    write(given / layout, suffix)
    before = snapshot(given)
    root = lay_out(find(given), tmp_path / "root")
    assert {p.name: p.read_bytes() for p in (root / "FashionMNIST" / "raw").iterdir()} == SMALL
    assert snapshot(given) == before


def test_a_named_folder_may_mix_plain_and_packed_files(write, tmp_path):
    write(tmp_path / "given", "", list(SMALL)[:2])
    write(tmp_path / "given", ".gz", list(SMALL)[2:])
    assert [path.suffix for path in find(tmp_path / "given").values()] == ["", "", ".gz", ".gz"]


def test_a_relative_folder_still_resolves_from_the_links(write, tmp_path, monkeypatch):
    write(tmp_path / "given")
    monkeypatch.chdir(tmp_path)
    root = lay_out(find("given"), tmp_path / "elsewhere" / "root")
    assert (root / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte").read_bytes() == SMALL["t10k-labels-idx1-ubyte"]


def test_default_places_without_files_are_a_reason_not_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    assert find(None, (tmp_path / "empty", tmp_path / "absent")) == NOT_HERE


def test_the_first_complete_default_place_is_taken(write, tmp_path):
    write(tmp_path / "one", names=list(SMALL)[:3])
    write(tmp_path / "two", ".gz")
    found = find(None, (tmp_path / "one", tmp_path / "two"))
    assert {path.parent for path in found.values()} == {tmp_path / "two"}


def test_a_named_folder_is_used_even_where_a_default_place_is_complete(write, tmp_path):
    write(tmp_path / "default")
    with pytest.raises(BrokenDataSet, match="named is not a folder"):
        find(tmp_path / "named", (tmp_path / "default",))


@pytest.mark.parametrize("absent", SMALL)
def test_an_incomplete_folder_is_an_error_that_names_the_missing_file(write, tmp_path, absent):
    write(tmp_path / "given", names=[name for name in SMALL if name != absent])
    with pytest.raises(BrokenDataSet, match=f"it lacks {absent}$"):
        find(tmp_path / "given")
    with pytest.raises(BrokenDataSet, match=f"it lacks {absent}$"):
        find(None, (tmp_path / "given",))


def test_a_named_folder_without_any_file_is_an_error(tmp_path):
    with pytest.raises(BrokenDataSet, match="holds none of Fashion-MNIST's files"):
        find(tmp_path)


def damage_of(kind: str, data: bytes) -> bytes:
    middle = len(data) // 2
    return {
        "cut off": data[:-3],
        "empty": b"",
        "garbage": b"x" * len(data),
        "one bit flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "something appended": data + b"\x01",
    }[kind]


@pytest.mark.parametrize("kind", ["cut off", "empty", "garbage", "one bit flipped", "something appended"])
@pytest.mark.parametrize("name", SMALL)
def test_a_damaged_file_is_an_error_of_one_line_that_names_it(write, tmp_path, name, kind, suffix):
    given = write(tmp_path / "given", suffix)
    broken = given / f"{name}{suffix}"
    broken.write_bytes(damage_of(kind, broken.read_bytes()))
    with pytest.raises(BrokenDataSet) as caught:
        lay_out(find(given), tmp_path / "root")
    assert str(broken) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_sums_are_those_of_the_published_files():
    """Debian's packed files lack the header's file name and time; with both put back, they are the published ones.

    The times are those of 2017-08-31, 10:50 UTC.
    """
    if not DEBIAN.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    for name, md5 in PUBLISHED_MD5.items():
        packed = (DEBIAN / f"{name}.gz").read_bytes()
        time = 1504176606 if name.startswith("train") else 1504176627
        header = b"\x1f\x8b\x08\x08" + struct.pack("<IBB", time, 0, 3) + name.encode() + b"\0"
        assert hashlib.md5(header + packed[10:], usedforsecurity=False).hexdigest() == md5
        unpacked = gzip.decompress(packed)
        assert (len(unpacked), hashlib.sha256(unpacked).hexdigest()) == FILES[name]
