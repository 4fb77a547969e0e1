"""One stage: from one model folder to the next.

Enters: a stage of a recipe and the folder it begins with. Leaves: the folder of its result; meanwhile log lines,
checkpoints and evaluations. Knows the order of things in a step and does none of them itself.
"""

from __future__ import annotations

import math
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from crumb.errors import TrainingError
from crumb.training.averaging import Average
from crumb.training.check import Prepared
from crumb.training.checkpoint import Place, read_checkpoint, write_checkpoint
from crumb.training.data import Mixture, tokens_of
from crumb.training.distributed import World
from crumb.training.encoder import Encoder, freeze, parameter_groups
from crumb.training.folders import remove
from crumb.training.folders import whole as whole_folder
from crumb.training.logs import Log
from crumb.training.losses import as_layerwise, make
from crumb.training.stopping import Stopping
from crumb.training.trainer.optimiser import Optimiser
from crumb.training.trainer.places import Places
from crumb.training.trainer.progress import Progress
from crumb.training.trainer.seeds import seed_step
from crumb.training.trainer.signals import Interruption
from crumb.training.trainer.step import Done, Step
from crumb.training.trainer.weights import fill, spread, whole
from crumb.training.validation import Figures, Validation


class Interrupted(Exception):  # noqa: N818  # no error: somebody asked for it
    """A signal has ended the run after a checkpoint; `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class StageRun:
    """A stage in the making.

    Args:
        prepared: the recipe.
        number: of the stage.
        start: the model folder that it begins with.
        places: where the run's files are.
        world: the processes.
        shard: whether weights are spread over them.
        log: the leader's; None in the others.
        before: steps of the stages before it.
    """

    def __init__(
        self,
        prepared: Prepared,
        number: int,
        start: Path,
        places: Places,
        world: World,
        *,
        shard: bool,
        log: Log | None,
        before: int,
    ) -> None:
        self.recipe, self.stage = prepared.recipe, prepared.recipe.stages[number]
        self.number, self.places, self.world, self.log, self.before = number, places, world, log, before
        self.start = start
        stage = self.stage
        self.encoder = self._load(stage.dropout)
        freeze(self.encoder, stage.freeze)
        self.encoder.to(world.device).train()
        self.module = spread(self.encoder, world, shard=shard)
        groups = parameter_groups(
            self.encoder,
            stage.optimiser.rate,
            rates=stage.optimiser.rates,
            weight_decay=stage.optimiser.weight_decay,
        )
        names: dict[Tensor, str] = {
            parameter: name for name, parameter in self.encoder.named_parameters() if parameter.requires_grad
        }
        self.optimiser = Optimiser(groups, names, stage.optimiser)
        self.average = None if stage.averaging is None else Average(self.encoder.named_parameters(), stage.averaging)
        self.step = Step(self.encoder, self.module, as_layerwise(make(stage.loss)), stage, world)
        self.longest = min(stage.cut or self.encoder.contract.context, self.encoder.contract.context)
        self.mixture = Mixture(
            prepared.sources(number),
            size=stage.batch.size,
            tokens=stage.batch.tokens,
            lengths=tokens_of(self.encoder.tokenizer, self.longest) if stage.batch.tokens else None,
            alpha=stage.batch.alpha,
            seed=self.recipe.seed + number,
            rank=world.rank,
            world=world.size,
        )
        evaluation = stage.evaluation
        self.validation = Validation(prepared.sets(number)) if evaluation and world.leads else None
        self.stopping = Stopping(evaluation.patience, evaluation.margin) if evaluation else Stopping()
        self.done = 0
        self.tokens = 0
        self.cut = 0

    def run(self, interruption: Interruption, progress: Progress, checkpoint: Path | None) -> Path:
        """Trains from `checkpoint`, or from the beginning, and gives the result's folder.

        Raises:
            Interrupted: a signal came; a checkpoint is written.
            TrainingError: the loss is not finite.
        """
        if checkpoint is not None:
            self._restore(checkpoint)
        self._tell_data()
        if self.done == 0 and self.stopping.best is None:
            self._evaluate()
        for batch in self.mixture.batches(self.done):
            if self.done >= self.stage.steps or self.stopping.over:
                break
            self._step(batch, progress)
            evaluation = self.stage.evaluation
            ended = self.done == self.stage.steps
            if evaluation and (self.done % evaluation.every == 0 or ended):
                self._evaluate()
            stop = self.world.any(interruption.signal is not None)
            if stop or (self.done % self.stage.checkpoints.every == 0 and not ended):
                self._checkpoint()
            if stop:
                raise Interrupted(interruption.signal or signal.SIGTERM)
        if self.cut:
            progress.say(
                f"stage {self.stage.name}: {self.cut:,} tokens were cut off texts longer than {self.longest:,} tokens, "
                f"{self.cut / (self.tokens + self.cut):.0%} of all"
            )
        return self._result()

    def _step(self, batch: Any, progress: Progress) -> None:
        began = time.perf_counter()
        factor = self.stage.schedule.factor(self.done, self.stage.steps)
        seed_step(self.recipe.seed, self.number, self.done, self.world.rank)
        done = self.step(batch)
        if not math.isfinite(done.loss):
            raise TrainingError(
                f"the loss is {done.loss} at step {self.done} of stage {self.stage.name!r}, on a batch of "
                f"{batch.source}: a lower optimiser.rate, a longer schedule.warmup or activations: float32 may help; "
                "the last checkpoint is untouched"
            )
        norm = self.optimiser.step(factor)
        if self.average is not None:
            self.average.update()
        self.done += 1
        self.tokens += done.tokens
        self.cut += done.cut
        seconds = time.perf_counter() - began
        progress.step(done, seconds)
        self._log_step(batch.source, done, norm, seconds)

    def _log_step(self, source: str, done: Done, norm: float, seconds: float) -> None:
        if self.log is None:
            return
        rates = _by_group(self.optimiser.rates())
        at = self.before + self.done
        self.log.write(
            "step",
            run_step=at,
            stage=self.number,
            step=self.done,
            source=source,
            loss=done.loss,
            parts=done.parts,
            rates=rates,
            gradient_norm=norm,
            tokens=done.tokens,
            cut=done.cut,
            seconds=round(seconds, 4),
        )
        self.log.figures("loss", {"loss": done.loss, **done.parts}, at)
        self.log.figures("rate", rates, at)
        self.log.figures("run", {"gradient_norm": norm, "tokens_per_second": done.tokens / seconds}, at)

    def _evaluate(self) -> None:
        """Scores the present weights, and keeps them if they are the best so far."""
        if self.stage.evaluation is None:
            return
        trial = self.places.trial
        self._save(trial)
        figures: Figures | None = None
        if self.validation is not None:
            try:
                figures = self.validation.score(trial)
            except ValueError as error:  # vectors that are not finite
                raise TrainingError(f"the weights of step {self.done} cannot be evaluated: {error}") from None
        mean = self.world.of_leader(0.0 if figures is None else figures.mean)
        best = self.stopping.take(self.done, mean)
        if figures is None or self.log is None:
            return
        if best:
            target = self.places.best(self.done)
            remove(target)  # of a run that was resumed before it
            trial.rename(target)
        else:
            remove(trial)
        at = self.before + self.done
        self.log.write(
            "evaluation",
            run_step=at,
            stage=self.number,
            step=self.done,
            scores=figures.scores,
            mean=mean,
            best=best,
        )
        self.log.figures("ndcg@10", {"mean": mean, **figures.scores}, at)

    def _checkpoint(self) -> None:
        groups = {"weights": whole(self.encoder.named_parameters()), "optimiser": self.optimiser.state()}
        if self.average is not None:
            groups["average"] = whole(self.average.tensors.items())
        if self.log is not None:
            state = {
                "log": self.log.position(),
                "run_step": self.before + self.done,
                "tokens": self.tokens,
                "cut": self.cut,
                "stopping": self.stopping.state(),
                "average_updates": 0 if self.average is None else self.average.updates,
            }
            write_checkpoint(
                self.places.checkpoints,
                Place(self.number, self.done),
                groups,
                state,
                keep=self.stage.checkpoints.keep,
            )
            for folder in self.places.bests():
                if folder != self.places.best(self.stopping.best_step):
                    remove(folder)
        self.world.wait()

    def _restore(self, checkpoint: Path) -> None:
        groups, state = read_checkpoint(checkpoint)
        if not groups:
            return  # the stage's beginning
        for name, tensor in self.encoder.named_parameters():
            fill(tensor, groups["weights"][name])
        self.optimiser.restore(groups["optimiser"])
        if self.average is not None:
            for name, averaged in self.average.tensors.items():
                fill(averaged, groups["average"][name])
            self.average.updates = state["average_updates"]
        self.stopping = Stopping.of(state["stopping"])
        self.tokens, self.cut = state["tokens"], state["cut"]
        self.done = state["run_step"] - self.before

    def _result(self) -> Path:
        """The stage's result as a folder: the best weights, or the last. What it is made of stays until `clear`."""
        target = self.places.result(self.recipe, self.number)
        evaluation = self.stage.evaluation
        best = evaluation is not None and evaluation.keep == "best"
        if not best:
            self._save(target)
        elif self.world.leads:
            with whole_folder(target) as partial:
                shutil.copytree(self.places.best(self.stopping.best_step), partial, dirs_exist_ok=True)
        if self.log is not None:
            self.log.write(
                "result",
                run_step=self.before + self.done,
                stage=self.number,
                step=self.done,
                kept_step=self.stopping.best_step if best else self.done,
                tokens=self.tokens,
                cut=self.cut,
            )
        self.world.wait()
        return target

    def _save(self, folder: Path) -> None:
        """Writes the weights, averaged and interpolated, as a model folder; all processes take part."""
        weights = whole(self.encoder.named_parameters())
        if self.average is not None:
            weights |= whole(self.average.tensors.items())
        if self.world.leads:
            plain = self._load(0.0)  # what the stage began with
            for name, parameter in plain.named_parameters():
                trained = weights[name].to(parameter.device)
                share = self.stage.interpolation
                fill(parameter, trained if share == 1 else parameter.detach().lerp(trained, share))
            remove(folder)
            plain.save(folder)
        self.world.wait()

    def _load(self, dropout: float) -> Encoder:
        return Encoder.from_folder(
            self.start,
            context=self.stage.context,
            positions=self.stage.positions,
            layers=self.stage.layers,
            dropout=dropout,
            activations=self.stage.activations,
            split=self.stage.split,
        )

    def _tell_data(self) -> None:
        """What the run will see, once, in the log."""
        if self.log is None or self.done:
            return
        parts = [
            {"name": part.name, "rows": part.rows, "used": part.used, "batches": part.batches, "share": part.share}
            for part in self.mixture.report
        ]
        self.log.write("stage", stage=self.number, name=self.stage.name, run_step=self.before, sources=parts)


def _by_group(rates: dict[str, float]) -> dict[str, float]:
    """Rates by group, where what is decayed and what is not share one; layers of one rate as one."""
    found: dict[str, float] = {}
    for name, rate in rates.items():
        found[name.split(",")[0]] = rate
    layers = {rate for name, rate in found.items() if name.startswith("layer.")}
    if len(layers) == 1:
        found = {name: rate for name, rate in found.items() if not name.startswith("layer.")}
        found["layers"] = layers.pop()
    return found
