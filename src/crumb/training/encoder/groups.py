"""Which parameters are trained, and how fast.

Enters: an encoder, and rates by group. Leaves: dictionaries for a PyTorch optimizer, and parameters that are
frozen. Knows nothing of optimizers. A group is named as people speak of it: "word", "positions" (rows the checkpoint
had), "new_positions" (rows beyond), "embedding_norm" (with the token types), "layers", or one of them, "layer.0", …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from crumb.training.encoder.encoder import Encoder

_EMBEDDINGS = {
    "word_embeddings": "word",
    "position_embeddings": "positions",
    "new_positions": "new_positions",
    "token_type_embeddings": "embedding_norm",
    "LayerNorm": "embedding_norm",
}


def named_groups(encoder: Encoder) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """Every parameter once, under "word", "positions", "new_positions", "embedding_norm", "layer.0", "layer.1", …"""
    groups: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in encoder.named_parameters():
        parts = name.split(".")
        group = _EMBEDDINGS[parts[1]] if parts[0] == "embeddings" else f"layer.{parts[2]}"
        groups.setdefault(group, []).append((name, parameter))
    return groups


def freeze(encoder: Encoder, names: Sequence[str]) -> None:
    """Takes these groups out of training, and puts all others in.

    Raises:
        ValueError: the encoder has no group of that name.
    """
    groups = named_groups(encoder)
    frozen = set(_resolve(names, groups))
    for name, parameters in groups.items():
        for _, parameter in parameters:
            parameter.requires_grad_(name not in frozen)


def parameter_groups(
    encoder: Encoder, rate: float, *, rates: Mapping[str, float] | None = None, weight_decay: float = 0.01
) -> list[dict[str, Any]]:
    """What a PyTorch optimizer takes: the parameters that are trained, by learning rate and decay.

    Biases and LayerNorms are not decayed.

    Args:
        rate: the learning rate of every group that `rates` does not name.
        rates: learning rates by group; "layer.3" goes before "layers".
        weight_decay: of what is decayed.

    Returns:
        Dictionaries of "name" (the group, with ", no decay" where that holds), "params", "lr", "weight_decay"; without
        the groups that are frozen.

    Raises:
        ValueError: `rates` names a group that the encoder does not have, or that is frozen.
    """
    groups = named_groups(encoder)
    found: list[dict[str, Any]] = []
    by_group = dict.fromkeys(groups, rate)
    for names in sorted(rates or {}, key=lambda name: name != "layers"):  # "layers" first: what is closer goes over it
        for name in _resolve([names], groups):
            by_group[name] = (rates or {})[names]
    for name, parameters in groups.items():
        trained = [(full, parameter) for full, parameter in parameters if parameter.requires_grad]
        if not trained and name in (rates or {}):
            raise ValueError(f"{name!r} has a learning rate, but is frozen")
        for decayed in (True, False):
            params = [parameter for full, parameter in trained if _decays(full) == decayed]
            if params:
                found.append(
                    {
                        "name": name if decayed else f"{name}, no decay",
                        "params": params,
                        "lr": by_group[name],
                        "weight_decay": weight_decay if decayed else 0.0,
                    }
                )
    return found


def _decays(name: str) -> bool:
    return not name.endswith(".bias") and "LayerNorm" not in name


def _resolve(names: Sequence[str], groups: Mapping[str, object]) -> list[str]:
    found = []
    for name in names:
        if name == "layers":
            found += [group for group in groups if group.startswith("layer.")]
        elif name in groups:
            found.append(name)
        else:
            raise ValueError(f"there is no group {name!r}; this encoder has layers, {', '.join(groups)}")
    return found
