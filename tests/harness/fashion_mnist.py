"""Finds the files of Fashion-MNIST on this machine, checks them, and lays them out as torchvision expects.

Nothing is downloaded and nothing is written to a folder that holds the files: `lay_out` unpacks or links them into a
folder of its own. There are three outcomes, kept apart because they mean different things to who reads a report: the
files are here and intact; they are not here, and the claim about them is not tried; or they are here and broken, or the
user named a folder that does not hold them. The last is an error, `BrokenDataSet`, with one line that names the file.
"""

import gzip
import hashlib
import shutil
import zlib
from pathlib import Path
from typing import NamedTuple

DEFAULT_PLACES = (Path("data"), Path("/usr/share/datasets/fashion-mnist"))
"""Where torchvision's tutorials keep data sets, and where Debian's package dataset-fashion-mnist puts this one."""

NOT_HERE = "needs Fashion-MNIST, which is not here; name its folder with --fashion-mnist=DIR"


class Contents(NamedTuple):
    """What an unpacked file must hold."""

    size: int
    sha256: str


FILES: dict[str, Contents] = {
    "train-images-idx3-ubyte": Contents(47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    "train-labels-idx1-ubyte": Contents(60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "t10k-images-idx3-ubyte": Contents(7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    "t10k-labels-idx1-ubyte": Contents(10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}
"""The four files, unpacked: size in bytes and SHA-256.

Zalando publishes MD5 sums of the packed files only (in the data set's README, and in torchvision's
FashionMNIST.resources), and a packed file's sum changes with its header: Debian's lack the file name, so theirs differ.
The sums here are those of Debian's files, unpacked. That these are the published contents follows from the published
MD5 sums: Debian's compressed streams, with the original headers put back, have exactly those
(tests/meta/test_fashion_mnist_files.py does it).
"""


class BrokenDataSet(Exception):
    """Fashion-MNIST was found, or asked for, and cannot be used; the message is one line that names the file."""


def find(folder: str | Path | None, default_places: tuple[Path, ...] = DEFAULT_PLACES) -> dict[str, Path] | str:
    """The paths of the four files by name, each plain or packed (.gz), or the reason why there are none.

    `folder` is what the user named, or None. A named folder must hold all four files; so must a default place that
    holds any, unless another one is complete.
    """
    incomplete = None
    for place in default_places if folder is None else (Path(folder),):
        for layout in (place / "FashionMNIST" / "raw", place):
            paths = {name: path for name in FILES if (path := _present(layout, name)) is not None}
            if len(paths) == len(FILES):
                return paths
            if paths and incomplete is None:
                missing = ", ".join(name for name in FILES if name not in paths)
                incomplete = f"Fashion-MNIST is incomplete in {layout}: it lacks {missing}"
    if incomplete is not None:
        raise BrokenDataSet(incomplete)
    if folder is not None:
        if not Path(folder).is_dir():
            raise BrokenDataSet(f"--fashion-mnist: {folder} is not a folder")
        wanted = ", ".join(FILES)
        raise BrokenDataSet(f"--fashion-mnist: {folder} holds none of Fashion-MNIST's files ({wanted}; plain or .gz)")
    return NOT_HERE


def lay_out(paths: dict[str, Path], root: Path) -> Path:
    """Check the files, and unpack or link them into `root` as torchvision.datasets.FashionMNIST(root) reads them."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, path in paths.items():
        if path.suffix == ".gz":
            _unpack(path, raw / name)
        else:
            _link(path, raw / name)
        check(path, raw / name, FILES[name])
    return root


def check(source: Path, unpacked: Path, expected: Contents) -> None:
    """Raise BrokenDataSet, naming `source`, unless `unpacked` holds what is expected."""
    try:
        size = unpacked.stat().st_size
        if size != expected.size:
            raise BrokenDataSet(f"Fashion-MNIST is broken: {source} holds {size} bytes instead of {expected.size}")
        digest = hashlib.sha256(unpacked.read_bytes()).hexdigest()
    except OSError as error:
        raise BrokenDataSet(f"Fashion-MNIST is broken: {source} cannot be read ({error.strerror})") from None
    if digest != expected.sha256:
        raise BrokenDataSet(f"Fashion-MNIST is broken: {source} has SHA-256 {digest} instead of {expected.sha256}")


def _present(folder: Path, name: str) -> Path | None:
    """The plain file if there is one, else the packed one."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _unpack(packed: Path, plain: Path) -> None:
    try:
        with gzip.open(packed, "rb") as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except (EOFError, OSError, zlib.error) as error:  # cut off; no gzip file, failed checksum or unreadable; garbage
        raise BrokenDataSet(f"Fashion-MNIST is broken: {packed} cannot be unpacked ({error})") from None


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.resolve())
    except OSError:  # a file system without links, or Windows without the privilege
        shutil.copyfile(source, target)
