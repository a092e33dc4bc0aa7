"""The command line. Each command parses its arguments, calls one library function, and prints where the result is.

TensorFlow takes seconds to import, so each command imports its modules when it runs.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from keras_dr import __version__
from keras_dr.commands import data, device, results, training
from keras_dr.commands.shared import GLOBAL_OPTIONS, GlobalOptions, Overwrite, Seed, bar, command, done, say
from keras_dr.core.errors import KerasDrError
from keras_dr.core.streams import prepare_streams
from keras_dr.quiet import load_tensorflow

INTERRUPTED = 130  # the exit status of Typer after Ctrl-C


app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"keras_dr {__version__}")
        raise typer.Exit


@app.callback(help=f"Grade diabetic retinopathy on fundus photographs (keras_dr {__version__}). Research use only.")
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bars.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Store the global options."""
    GLOBAL_OPTIONS.set(GlobalOptions(quiet, debug))


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("demo"),
    count: Annotated[int, typer.Option(min=100, help="Number of synthetic photographs.")] = 400,
    seed: Seed = 42,
    overwrite: Overwrite = False,
) -> None:
    """Run all steps on drawn photographs, and report them.

    The steps are prepare, train, evaluate, explain, export and profile.
    """
    load_tensorflow()
    from keras_dr.demo import run_demo

    summary = run_demo(out, count, seed, overwrite, stage=bar)
    say(f"Quadratic kappa {summary['quadratic_kappa']:.3f} on {summary['photographs']} synthetic test photographs.")
    say(f"Page for the browser: python -m edge_demo serve {out / 'site'} --open")
    done(out / "report.html", command("prepare", "--help"))


recipe = typer.Typer(help="Show or check recipes of trainings.", no_args_is_help=True, rich_markup_mode=None)
recipe.command("show")(training.show_recipe)
recipe.command("check")(training.check_recipes)
app.add_typer(recipe, name="recipe")

COMMANDS: tuple[Callable[..., None], ...] = (
    data.inspect,
    data.prepare,
    data.audit,
    data.show,
    training.train,
    training.recalibrate,
    training.ensemble,
    results.evaluate,
    results.promise,
    results.gradability,
    results.prediction_sets,
    results.compare,
    results.explain,
    device.export,
    device.web,
    device.predict,
    device.points,
    device.profile,
)
for function in COMMANDS:
    app.command()(function)


def main() -> None:
    """Run the command line, and exit with 0 for success, 1 for a failure, 2 for wrong usage, or 130 if interrupted."""
    prepare_streams()
    try:
        app()
    except (KerasDrError, OSError) as error:
        if GLOBAL_OPTIONS.get().debug:
            raise
        advice = (
            ". Check the path, its permissions and the free space on its disk." if isinstance(error, OSError) else ""
        )
        typer.echo(f"Error: {error}{advice}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo(
                "Interrupted. Repeat the same command: prepare and train continue, the others continue or begin again.",
                err=True,
            )
        raise
