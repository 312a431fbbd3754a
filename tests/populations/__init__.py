"""What guards draw from, written once for all chapters.

A *population* knows two things: members that every run must meet, and how to draw any other member by chance. A guard
is a sentence about all members: ``over`` tries it with each member of the first kind, then with as many drawn ones as
``--examples`` says. A condition that is added here (a layout, a dtype, a size past a block, a device) reaches every
claim at once.
"""

from populations.comparing import agree, untouched
from populations.core import EVERY_MODE, Population, after_any_history, among, each, in_turn, over, settled, whole
from populations.optimizers import optimizers
from populations.places import normal
from populations.twins import ANY, FLOATS, HALVES, LAYOUTS, SINGLE_AND_DOUBLE, WHOLE, WRITABLE, Twin, twins

__all__ = [
    "ANY",
    "EVERY_MODE",
    "FLOATS",
    "HALVES",
    "LAYOUTS",
    "SINGLE_AND_DOUBLE",
    "WHOLE",
    "WRITABLE",
    "Population",
    "Twin",
    "after_any_history",
    "agree",
    "among",
    "each",
    "in_turn",
    "normal",
    "optimizers",
    "over",
    "settled",
    "twins",
    "untouched",
    "whole",
]
