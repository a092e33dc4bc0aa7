"""Loads the grader that a device's command line names."""

import argparse
from collections.abc import Callable, Iterable

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.trial import try_model
from keras_dr.core.privacy import Privacy


def load_grader(arguments: argparse.Namespace, warn: Callable[[str], None]) -> Grader:
    """Return the grader that the arguments of a command name, after a trial of its model in a process of its own.

    Args:
        arguments: of a command that grades.
        warn: called with a sentence if the model failed its comparison.
    """
    bundle = Bundle.load(arguments.bundle).at(arguments.operating_point, arguments.threshold)
    variant = arguments.variant or bundle.default_variant()
    try_model(bundle.model_path(variant))
    say_doubts(bundle, [variant], warn)
    privacy = Privacy(arguments.key, arguments.identified)
    return Grader(bundle, variant, arguments.threads, arguments.margin, privacy)


def say_doubts(bundle: Bundle, variants: Iterable[str], warn: Callable[[str], None]) -> None:
    """Call `warn` with a sentence for each model that failed its comparison."""
    for doubt in filter(None, map(bundle.model_doubt, variants)):
        warn(doubt)
