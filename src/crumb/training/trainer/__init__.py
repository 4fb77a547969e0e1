"""The loop: a recipe in, a model folder out. `train` is the way in."""

from crumb.training.trainer.run import train

__all__ = ["train"]
