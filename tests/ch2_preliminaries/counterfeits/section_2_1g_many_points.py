"""Counterfeits of section 2.1: points that are not computed each by itself."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import change_output_where


@counterfeit("linspace-divides-evenly")
def many_points_are_reached_by_adding_up_steps(patch):
    def wrong(points):
        steps = np.full(len(points), (points[-1] - points[0]).item() / (len(points) - 1), dtype=np.float32)
        steps[0] = points[0].item()
        points.detach().copy_(torch.from_numpy(np.cumsum(steps, dtype=np.float32)))
        return points

    change_output_where(
        patch, torch, "linspace", lambda points: points.dtype == torch.float32 and len(points) > 10_000, wrong
    )
