"""Trainings: recipe show, recipe check, train, ensemble."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_dr.commands.shared import Overwrite, PreparedFolder, bar, command, done, say
from keras_dr.core.errors import KerasDrError
from keras_dr.quiet import load_tensorflow

RecipeFile = Annotated[Path | None, typer.Option(help="YAML file; see recipes/.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Recipe key=value; may be repeated.")]


def show_recipe(recipe: RecipeFile = None, settings: Settings = None) -> None:
    """Print a recipe with every setting, the defaults' too, in YAML that train reads."""
    from keras_dr.recipe import load_recipe, recipe_text

    typer.echo(recipe_text(load_recipe(recipe, settings or [])), nl=False)


def check_recipes(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files.")]) -> None:
    """Read recipes without training, a line each; exit 1 where one is wrong."""
    from keras_dr.recipe import load_recipe

    wrong = 0
    for file in files:
        try:
            load_recipe(file)
            say(f"{file}: ok")
        except KerasDrError as error:
            wrong += 1
            say(f"{file}: {' '.join(str(error).split())}")
    if wrong:
        raise typer.Exit(1)


def train(
    prepared: PreparedFolder,
    run: Annotated[Path, typer.Argument(help="Folder to write.")],
    recipe: RecipeFile = None,
    backbone: Annotated[str | None, typer.Option(help="tiny, mobilenetv2, densenet121, ...")] = None,
    weights: Annotated[str | None, typer.Option(help="imagenet, none, or a file.")] = None,
    settings: Settings = None,
    folds: Annotated[int, typer.Option(min=0, help="Cross-validate: a run a fold of train and val.")] = 0,
    save_every: Annotated[int, typer.Option(min=0, help="Save also after so many steps of an epoch.")] = 0,
    hosts: Annotated[str | None, typer.Option(help="host:port of each process, joined by commas (JAX).")] = None,
    rank: Annotated[int, typer.Option(min=0, help="Which of them this process is, from 0.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train in two phases: head on a frozen backbone, then fine-tuning; interrupted, the same command goes on."""
    from keras_dr.preparation.prepared_set import PreparedSet
    from keras_dr.recipe import load_recipe

    chosen = [f"{key}={value}" for key, value in (("backbone", backbone), ("weights", weights)) if value]
    resolved, data = load_recipe(recipe, [*(settings or []), *chosen]), PreparedSet.load(prepared)
    if folds and hosts:
        raise typer.BadParameter("a cross validation runs on one host: leave out --hosts", param_hint="--folds")
    load_tensorflow()
    from keras_dr.training import devices, train

    if hosts:
        from keras_dr.training.hosts import connect

        connect(hosts, rank, resolved.seed)
    say(devices.describe(resolved.precision))
    if folds:
        _cross_validate(data, run, resolved, folds, overwrite, save_every)
        return
    with bar("train") as progress:
        about = train.train(data, run, resolved, overwrite, progress, save_every)
    for phase, result in about["phases"].items():
        value = result[resolved.monitor]
        best = "not run" if value is None else f"best {resolved.monitor} {value:.3f} in epoch {result['epoch']}"
        say(f"  {phase:9} {best} of {result['epochs']}, {result['seconds']:.0f} s")
    say(f"Kept: {about['kept']} (better on validation).")
    done(run, command("evaluate", run))


def _cross_validate(data: Any, run: Path, recipe: Any, folds: int, overwrite: bool, save_every: int) -> None:
    from keras_dr.reports.evaluation import folds_text
    from keras_dr.training.folds import cross_validate

    pass

    say(folds_text(cross_validate(data, run, recipe, folds, overwrite, bar, save_every)))
    done(run, command("evaluate", run / "fold-1"))


def ensemble(
    run: Annotated[Path, typer.Argument(help="Folder to write.")],
    members: Annotated[list[Path], typer.Argument(help="Folders that train wrote; of --folds, all of them.")],
    overwrite: Overwrite = False,
) -> None:
    """Join several runs into one that says the mean of what they say, to evaluate, explain and export like any run."""
    load_tensorflow()
    from keras_dr.training.ensemble import combine

    about = combine(members, run, overwrite)
    say(f"{len(about['members'])} runs, {about['parameters']:,} weights.")
    done(run, command("evaluate", run))
