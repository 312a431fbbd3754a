"""What tests record beside their verdict, by pytest's ``record_property``, in the form that verdict documents take."""

from collections.abc import Iterable


def rounded(value: float) -> float:
    """Four significant digits: what differs beyond them is the machine's rounding."""
    return float(f"{value:.4g}")


def curve(x: str, y: str, **lines: Iterable[float]) -> dict:
    """Lines to draw above the numbers 1, 2, 3, ... of ``x``: ``record_property("curve", curve("epoch", "loss", ...))``.

    Each keyword names a line and gives its values of ``y``; an underscore in a name is shown as a space.
    """
    named = {name.replace("_", " "): [rounded(value) for value in values] for name, values in lines.items()}
    return {"x": x, "y": y, "lines": named}
