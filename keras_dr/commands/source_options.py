"""The options that say how a source of photographs is read; `inspect` and `prepare` share them."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_dr.commands.shared import Identified, KeyFile

if TYPE_CHECKING:
    from keras_dr.datasets.options import SourceOptions


def source_options(
    image_column: Annotated[str | None, typer.Option(help="Column of the table that names the photographs.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Column that holds the class.")] = None,
    patient_column: Annotated[str | None, typer.Option(help="Column that holds the patient, or none.")] = None,
    eye_column: Annotated[str | None, typer.Option(help="Column that holds the eye, or none.")] = None,
    split_column: Annotated[str | None, typer.Option(help="Column that holds the published split, or none.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder that holds the table's photographs.")] = None,
    classes: Annotated[str | None, typer.Option(help="Class names in order: A,B,C.")] = None,
    positive: Annotated[str | None, typer.Option(help="Classes that are referred: B,C; or none.")] = None,
    map: Annotated[
        list[str] | None, typer.Option(help="LABEL=CLASS: the class that a label means; may be repeated.")
    ] = None,
    patients: Annotated[str, typer.Option(help="auto, names (file names such as 1000_OD), or none.")] = "auto",
    identified: Identified = False,
    key: KeyFile = None,
) -> "SourceOptions":
    """Return the options as one object."""
    from keras_dr.core.privacy import Privacy
    from keras_dr.datasets.options import parse_options

    return parse_options(
        image_column=image_column,
        label_column=label_column,
        patient_column=patient_column,
        eye_column=eye_column,
        split_column=split_column,
        images=images,
        classes=classes,
        positive=positive,
        renamed=tuple(map or ()),
        patients=patients,
        privacy=Privacy(key, identified),
    )


def with_source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `options` of a command by the parameters of `source_options`.

    Typer reads the signature and the annotations of the returned function; the command itself receives the object that
    `source_options` returns.
    """
    shared = signature(source_options).parameters
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        if parameter.name == "options":
            parameters += [option.replace(kind=Parameter.KEYWORD_ONLY) for option in shared.values()]
        else:
            parameters.append(parameter)

    @wraps(command)
    def with_options(**values: Any) -> None:
        options = source_options(**{name: values.pop(name) for name in shared})
        command(**values, options=options)

    with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options
