"""The commands for training: recipe show, recipe check, train, ensemble."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_dr.commands.shared import Overwrite, PreparedFolder, RunFolder, bar, command, done, say
from keras_dr.core.errors import KerasDrError
from keras_dr.quiet import load_tensorflow

if TYPE_CHECKING:
    from keras_dr.preparation.prepared_set import PreparedSet
    from keras_dr.recipe import Recipe

RecipeFile = Annotated[str | None, typer.Option(help="YAML file, or the name of a shipped recipe such as idrid.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Setting of the recipe as key=value; may be repeated.")
]


def show_recipe(recipe: RecipeFile = None, settings: Settings = None) -> None:
    """Print a recipe with all its settings as YAML.

    Defaults are printed as well. train can read the output.
    """
    from keras_dr.recipe import Recipe, recipe_text

    typer.echo(recipe_text(Recipe.load(recipe, settings or [])), nl=False)


def check_recipes(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files.")]) -> None:
    """Check recipes without training.

    One line is printed per recipe; the exit status is 1 if one is wrong.
    """
    from keras_dr.recipe import Recipe

    wrong = 0
    for file in files:
        try:
            Recipe.load(file)
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
    weights: Annotated[str | None, typer.Option(help="imagenet, none, a file, or another run.")] = None,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="A run, or a folder of --folds, to learn from as well; may be repeated.")
    ] = None,
    settings: Settings = None,
    folds: Annotated[int, typer.Option(min=0, help="Cross-validate: train one run per fold of train and val.")] = 0,
    save_every: Annotated[int, typer.Option(min=0, help="Also save after every N steps of an epoch; 0: never.")] = 0,
    hosts: Annotated[str | None, typer.Option(help="host:port of each process, separated by commas (JAX).")] = None,
    rank: Annotated[int, typer.Option(min=0, help="Number of this process in --hosts, from 0.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train the head, then fine-tune the whole network.

    After an interruption, the same command continues where it stopped.
    """
    from keras_dr.core.decision import positive_words
    from keras_dr.core.folders import check_target
    from keras_dr.core.outputs import check_holds_no_input
    from keras_dr.preparation.prepared_set import PreparedSet
    from keras_dr.recipe import BACKBONE_NAMES, Recipe

    all_settings = list(settings or [])
    if backbone:
        all_settings.append(f"backbone={backbone}")
    if weights:
        all_settings.append(f"weights={weights}")
    chosen = Recipe.load(recipe, all_settings, **({"teachers": list(map(str, teacher))} if teacher else {}))
    data = PreparedSet.load(prepared)
    if chosen.backbone not in BACKBONE_NAMES:
        raise KerasDrError(
            f"The backbone {chosen.backbone!r} is not one of {', '.join(BACKBONE_NAMES)}.",
            "Correct --backbone, or the recipe.",
        )
    check_target(run, "cross-validation" if folds else "run", overwrite)
    check_holds_no_input(run, [prepared, *chosen.inputs()])
    if folds and hosts:
        raise typer.BadParameter("A cross-validation runs on one host: leave out --hosts.", param_hint="--folds")
    load_tensorflow()
    from keras_dr.training.devices import describe

    if hosts:
        from keras_dr.training.hosts import connect

        connect(hosts, rank, chosen.seed)
    say(f"Classes: {', '.join(data.task.classes)}; {positive_words(data.task.classes, data.task.referable)}.")
    say(describe(chosen.precision))
    if folds:
        _cross_validate(data, run, chosen, folds, save_every, overwrite)
    else:
        _train(data, run, chosen, save_every, overwrite)


def _train(data: "PreparedSet", folder: Path, recipe: "Recipe", save_every: int, overwrite: bool) -> None:
    from keras_dr import train as train_run
    from keras_dr.training.earlier_run import met_in_words

    with bar("train") as progress:
        run = train_run(data, folder, recipe, save_every=save_every, overwrite=overwrite, progress=progress)
    for phase, result in run.about["phases"].items():
        value = result[recipe.monitor]
        best = "not run" if value is None else f"best {recipe.monitor} {value:.3f} in epoch {result['epoch']}"
        say(f"  {phase:9} {best} of {result['epochs']}, {result['seconds']:.0f} s")
    reason = "better on validation" if recipe.keep == "best" else "its last epoch, as the recipe says"
    say(f"Kept: {run.about['kept']} ({reason}).")
    say(f"Curves: tensorboard --logdir {folder / 'logs'}")
    if run.task.referable:
        say(f"Operating point on validation: {run.point.in_words(run.task.positive)}")
    if run.learned_nothing:
        say(f"Warning: {run.learned_nothing}")
    for entry in (*run.about.get("started_from", ()), *run.about.get("taught_by", ())):
        say(met_in_words(entry))
    done(folder, command("evaluate", folder))


def _cross_validate(
    data: "PreparedSet", folder: Path, recipe: "Recipe", folds: int, save_every: int, overwrite: bool
) -> None:
    from keras_dr import cross_validate

    result = cross_validate(data, folder, recipe, folds=folds, save_every=save_every, overwrite=overwrite, stage=bar)
    say(str(result))
    done(folder, command("evaluate", folder / "fold-1"))


def recalibrate(
    run: RunFolder,
    prepared: Annotated[Path | None, typer.Option(help="The run's prepared set, if it was moved.")] = None,
    rule: Annotated[str | None, typer.Option(help="sensitivity or specificity, of the default point.")] = None,
    target: Annotated[float | None, typer.Option(min=0, max=1, help="The value that it has to reach.")] = None,
) -> None:
    """Choose the thresholds and the temperature of a run again.

    They are chosen on validation photographs; the weights stay.

    Promises, sets of grades and limits of gradability are dropped. Evaluations and bundles of the run must then be made
    again.
    """
    from keras_dr.core.folders import read_manifest

    read_manifest(run, "run")  # a missing run is reported before TensorFlow starts
    from keras_dr import Run
    from keras_dr import recalibrate as recalibrate_run

    before = Run.load(run)
    chosen = recalibrate_run(before, prepared, rule=rule, target=target)
    say(f"Temperature {chosen.temperature:.3f}.")
    if before.found_at_points:
        say(f"Dropped, as they hold only at the thresholds before: {', '.join(before.found_at_points)}.")
    done(run, command("points", run))


def ensemble(
    run: Annotated[Path, typer.Argument(help="Folder to write.")],
    members: Annotated[
        list[Path], typer.Argument(help="Folders that train wrote; a folder of --folds adds all its runs.")
    ],
    overwrite: Overwrite = False,
) -> None:
    """Join several runs into one that averages their outputs.

    It can be evaluated, explained and exported like any other run.
    """
    from keras_dr.core.outputs import check_holds_no_input

    check_holds_no_input(run, members)  # before TensorFlow starts
    from keras_dr import ensemble as join

    joined = join(members, run, overwrite=overwrite)
    say(f"The ensemble has {len(joined.about['members'])} runs and {joined.about['parameters']:,} parameters.")
    done(run, command("evaluate", run))
