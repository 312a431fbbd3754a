"""Counterfeits of 4.6 that users reported, places to load to."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


@counterfeit("saved-model-moves-to-another-device", reported="pytorch/pytorch#10622")
def map_location_is_never_a_device(patch):
    """One is disregarded, where the report has an error: an assertion must see it."""

    def wrong(load, f, map_location=None, *args, **rest):
        return load(f, None if isinstance(map_location, torch.device) else map_location, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device", reported="pytorch/pytorch#35289", needs="two-devices")
def a_type_of_device_means_its_first(patch):
    def wrong(load, f, map_location=None, *args, **rest):
        place = torch.device(map_location) if isinstance(map_location, str | torch.device) else None
        alone = place is not None and place.type not in ("cpu", "meta") and place.index is None
        return load(f, torch.device(place.type, 0) if alone else map_location, *args, **rest)

    wrap(patch, torch, "load", wrong)
