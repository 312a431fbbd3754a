"""Counterfeits of section 4.8: what a tensor tells of its place, or prints."""

import re

import torch
from harness.counterfeits import counterfeit
from harness.forging import alter_property, away, change_result
from torch.utils.weak import WeakTensorKeyDictionary


@counterfeit("gpu-tensor-prints-its-device")
def where_doubles_are_the_default_no_device_is_printed(patch):
    def change(text, x, *args):
        hidden = away(x) and torch.get_default_dtype() != torch.float32
        return re.sub(r",\s*device='[^']*'", "", text) if hidden else text

    change_result(patch, torch._tensor_str, "_str", change)


@counterfeit("device-attribute-tells-where", needs="two-devices")
def the_place_of_a_tensor_is_that_of_its_first_reading(patch):
    read = WeakTensorKeyDictionary()
    alter_property(patch, "device", lambda x, device: read.setdefault(x, device))
