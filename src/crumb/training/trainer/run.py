"""A run: from a recipe to a model folder.

Enters: a prepared recipe and a folder. Leaves: in that folder the model, its card, the resolved recipe, and `training/`
with logs and curves. Knows where a run was and goes on there; the stages are run elsewhere.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from crumb.errors import TrainingError
from crumb.training.card import write_card
from crumb.training.check import Prepared
from crumb.training.checkpoint import Place, latest, read_checkpoint, write_checkpoint
from crumb.training.distributed import World
from crumb.training.folders import PARTIAL, move_in, remove
from crumb.training.logs import Log, read_log
from crumb.training.plots import plot
from crumb.training.recipe import Recipe
from crumb.training.recipe_file import differences, dump_recipe, load_recipe
from crumb.training.trainer.places import Places
from crumb.training.trainer.progress import Progress
from crumb.training.trainer.signals import Interruption
from crumb.training.trainer.stage import Interrupted, StageRun


@dataclass(frozen=True)
class Machine:
    """How a run is run; the recipe's result does not depend on it, but for rounding.

    Attributes:
        world: the processes; all call `train`.
        interruption: a signal that it notes ends the run after a checkpoint.
        shard: spread weights, gradients and moments over the processes (FSDP).
        tensorboard: write TensorBoard's event files.
    """

    world: World
    interruption: Interruption
    shard: bool = False
    tensorboard: bool = True


def train(prepared: Prepared, home: Path, machine: Machine, *, resume: bool = False) -> Path:
    """Trains what the recipe says, and gives the model's folder, `home`.

    Args:
        prepared: the recipe, held against this machine.
        home: a new or empty folder; or, with `resume`, one of the same recipe, to go on where it stopped.
        machine: processes and what else is not the recipe's.
        resume: go on; a run that had not begun begins, one that is done is left as it is.

    Raises:
        Interrupted: a signal came; `resume` goes on.
        TrainingError: `home` holds something else, or the loss is not finite.
    """
    places, world = Places(home), machine.world
    if _open(places, prepared.recipe, resume, world):
        return home
    found = latest(places.checkpoints)
    place, checkpoint = found if found else (Place(0, 0), None)
    state = read_checkpoint(checkpoint)[1] if checkpoint else {"log": 0, "run_step": 0}
    progress = Progress(prepared.recipe.steps, shown=world.leads)
    progress.at(state["run_step"])
    try:
        if not world.leads:
            _stages(prepared, places, machine, progress, place, checkpoint, None)
            return home
        with Log(
            places.training, position=state["log"], step=state["run_step"], tensorboard=machine.tensorboard
        ) as log:
            log.write("begin" if checkpoint is None else "resume", time=_now(), processes=world.size)
            model = _stages(prepared, places, machine, progress, place, checkpoint, log)
            log.write("end", time=_now())
        _finish(prepared, places, model)
    except Interrupted:
        if world.leads:
            plot(places.training, places.training)
        raise
    finally:
        progress.close()
    return home


def _stages(
    prepared: Prepared,
    places: Places,
    machine: Machine,
    progress: Progress,
    place: Place,
    checkpoint: Path | None,
    log: Log | None,
) -> Path:
    """Runs the stages from `place` on and gives the last one's result."""
    recipe, model, before = prepared.recipe, prepared.base, 0
    for number, stage in enumerate(recipe.stages):
        result = places.result(recipe, number)
        if number >= place.stage:
            progress.say(f"stage {stage.name} ({number + 1} of {len(recipe.stages)}), {stage.steps:,} steps")
            if log is not None:
                remove(result)  # of a run that was killed just after it
            run = StageRun(prepared, number, model, places, machine.world, shard=machine.shard, log=log, before=before)
            run.run(machine.interruption, progress, checkpoint if number == place.stage else None)
            if log is not None:
                _end_stage(places, log, Place(number + 1, 0), before + stage.steps)
        model, before = result, before + stage.steps
    return model


def _end_stage(places: Places, log: Log, following: Place, before: int) -> None:
    """The beginning of the following stage is a checkpoint too: of the log's place, without weights of its own."""
    write_checkpoint(places.checkpoints, following, {}, {"log": log.position(), "run_step": before}, keep=1)
    for folder in places.bests():
        remove(folder)


def _open(places: Places, recipe: Recipe, resume: bool, world: World) -> bool:
    """Makes the run's folder, or finds that it is this recipe's; says whether the run is done already."""
    there = places.home.is_dir() and any(path.suffix != PARTIAL for path in places.home.iterdir())
    if places.recipe.exists():
        if not resume:
            raise TrainingError(f"{places.home} holds a run already: go on with --resume, or name another folder")
        differing = differences(load_recipe(places.recipe), recipe)
        if differing:
            raise TrainingError(
                f"{places.home} holds a run of another recipe, with another {', '.join(differing[:5])}: name another "
                "folder"
            )
    elif there:
        raise TrainingError(f"{places.home} is not empty, and holds no run: name another folder")
    finished = places.config.exists() and not places.checkpoints.exists()
    world.wait()  # nobody begins to write before all have looked
    if world.leads and not finished:
        places.home.mkdir(parents=True, exist_ok=True)
        if not places.recipe.exists():
            partial = places.recipe.with_name(places.recipe.name + PARTIAL)
            partial.write_text(dump_recipe(recipe), encoding="utf-8")
            partial.replace(places.recipe)
        places.training.mkdir(exist_ok=True)
        places.clean()
    world.wait()
    return finished


def _finish(prepared: Prepared, places: Places, model: Path) -> None:
    """The last stage's result becomes the folder's model; checkpoints have served."""
    final = places.training / f"final{PARTIAL}"
    shutil.rmtree(final, ignore_errors=True)
    shutil.copytree(model, final)
    curves = plot(places.training, places.training)
    write_card(final / "README.md", prepared, list(read_log(places.training)), [path.name for path in curves])
    move_in(final, places.home, places.config.name)
    remove(places.checkpoints)
    if len(prepared.recipe.stages) == 1:
        remove(places.training / "stages")  # it is the model itself


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
