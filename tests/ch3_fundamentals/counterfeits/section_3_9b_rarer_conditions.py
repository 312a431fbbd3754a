"""Counterfeits of section 3.9, more inputs."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


@counterfeit("default-init-is-sensible")
def more_than_a_thousand_inputs_draw_as_wide_as_a_thousand(patch):
    def wrong(right, self):
        right(self)
        if self.in_features > 1000:
            with torch.no_grad():
                self.weight *= math.sqrt(self.in_features / 1000)

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def in_float16_biases_start_at_zero(patch):
    def wrong(right, self):
        right(self)
        if self.weight.dtype == torch.float16 and self.bias is not None:
            nn.init.zeros_(self.bias)

    wrap(patch, nn.Linear, "reset_parameters", wrong)
