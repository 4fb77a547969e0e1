"""The loop: a recipe in, a model folder out. `train` is the way in."""

from crumb.training.trainer.run import Machine, train
from crumb.training.trainer.signals import Interruption, interruptible
from crumb.training.trainer.stage import Interrupted

__all__ = ["Interrupted", "Interruption", "Machine", "interruptible", "train"]
