"""AdamW over the groups of an encoder, and its state by parameter name.

Enters: parameter groups and settings. Leaves: an optimiser whose rates a schedule moves, and its state as tensors that
a checkpoint can hold. Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from crumb.training.recipe import OptimiserSettings
from crumb.training.trainer.weights import like, whole

_STATE = ("step", "exp_avg", "exp_avg_sq")


class Optimiser:
    """AdamW, fused where torch has it for the device, with rates that follow a factor."""

    def __init__(self, groups: list[dict[str, Any]], names: Mapping[Tensor, str], settings: OptimiserSettings) -> None:
        """`groups` have "params", "lr", "weight_decay" and "name"; `names` names their parameters."""
        self.clip = settings.clip
        self._names = names
        self._rates = [float(group["lr"]) for group in groups]
        self._adamw = torch.optim.AdamW(
            groups, betas=(settings.betas[0], settings.betas[1]), eps=settings.epsilon, fused=True
        )

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [parameter for group in self._adamw.param_groups for parameter in group["params"]]

    def rates(self) -> dict[str, float]:
        """The learning rate of each group now."""
        return {group["name"]: float(group["lr"]) for group in self._adamw.param_groups}

    def step(self, factor: float) -> float:
        """Clips, updates the weights at `factor` times the full rates, drops the gradients.

        Returns:
            The gradients' common norm before clipping.
        """
        for group, rate in zip(self._adamw.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        limit = float("inf") if self.clip is None else self.clip
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit)
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        return float(whole([("norm", norm)])["norm"])

    def state(self) -> dict[str, Tensor]:
        """AdamW's moments and counts, by "kind/parameter"; parameters that never had a gradient have none.

        All processes must ask.
        """
        return whole(
            (f"{kind}/{self._names[parameter]}", values[kind])
            for parameter, values in self._adamw.state.items()
            for kind in _STATE
        )

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        for parameter, name in self._names.items():
            if f"step/{name}" not in state:
                continue
            # fused AdamW keeps its counts beside the parameters
            self._adamw.state[parameter] = {
                "step": state[f"step/{name}"].to(parameter.device).clone(),
                "exp_avg": like(state[f"exp_avg/{name}"], parameter).clone(),
                "exp_avg_sq": like(state[f"exp_avg_sq/{name}"], parameter).clone(),
            }
