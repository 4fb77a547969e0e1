"""Losses: pure functions of vectors, one a file."""

from crumb.training.losses.angle import AnglE
from crumb.training.losses.contrastive import Contrastive
from crumb.training.losses.cosent import CoSENT
from crumb.training.losses.in_batch import InBatch
from crumb.training.losses.loss import Embedded, LayerwiseLoss, Loss, Targets

__all__ = ["AnglE", "CoSENT", "Contrastive", "Embedded", "InBatch", "LayerwiseLoss", "Loss", "Targets"]
