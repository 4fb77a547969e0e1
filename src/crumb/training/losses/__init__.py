"""Losses: pure functions of vectors, one a file. `make` builds them from a recipe's settings."""

from crumb.training.losses.angle import AnglE
from crumb.training.losses.angle_total import AngleTotal
from crumb.training.losses.contrastive import Contrastive
from crumb.training.losses.cosent import CoSENT
from crumb.training.losses.espresso import Espresso
from crumb.training.losses.filtered import Filtered, false_negatives, text_keys
from crumb.training.losses.fixed_pairs import FixedPairs
from crumb.training.losses.in_batch import InBatch
from crumb.training.losses.layerwise import LastLayer, Layerwise, as_layerwise
from crumb.training.losses.loss import Embedded, LayerwiseLoss, Loss, Targets
from crumb.training.losses.matryoshka import Matryoshka
from crumb.training.losses.registry import make
from crumb.training.losses.relational import RelationalDistillation, standardise
from crumb.training.losses.score_distillation import ScoreDistillation
from crumb.training.losses.total import LayerwiseTotal, Term, Total

__all__ = [
    "AnglE",
    "AngleTotal",
    "CoSENT",
    "Contrastive",
    "Embedded",
    "Espresso",
    "Filtered",
    "FixedPairs",
    "InBatch",
    "LastLayer",
    "Layerwise",
    "LayerwiseLoss",
    "LayerwiseTotal",
    "Loss",
    "Matryoshka",
    "RelationalDistillation",
    "ScoreDistillation",
    "Targets",
    "Term",
    "Total",
    "as_layerwise",
    "false_negatives",
    "make",
    "standardise",
    "text_keys",
]
