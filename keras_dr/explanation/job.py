"""The options of an explanation, and the photographs that it covers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decision import Decision
from keras_dr.core.errors import KerasDrError
from keras_dr.explanation.forward_pass import Survey
from keras_dr.explanation.methods import METHODS, Explainer
from keras_dr.preparation.prepared_set import PreparedSet


@dataclass(frozen=True)
class ExplanationOptions:
    """The options of an explanation.

    Attributes:
        n: the number of photographs on the board, at least 1.
        methods: keys of `METHODS`.
        layer: the layer where methods that work at any layer make their maps; None: the feature layer.
        temperature: the temperature of the grader, > 0.
        seed: the seed of the choice of photographs, of the bootstrap and of the randomised weights.
        score_all: True: score the whole split, or a proportional sample of `MOST_SCORED` photographs if the maps need
            further forward passes. False: score only the photographs on the board.
        faithfulness: the number of photographs for `scores.faithfulness`; 0: none.
        sanity: the number of photographs for `scores.sanity`; 0: none.
        engine: one of `methods.ENGINES`.
        decision: how the class is decided, see `decision.decide`; None: by the kind of head.
    """

    n: int = 12
    methods: tuple[str, ...] = ("grad-cam",)
    layer: str | None = None
    temperature: float = 1.0
    seed: int = 42
    score_all: bool = True
    faithfulness: int = 0
    sanity: int = 0
    engine: str = "closed-form"
    decision: Decision | None = None

    def check(self, explainer: Explainer) -> None:
        """Refuse options that cannot be fulfilled, before any work.

        Raises:
            KerasDrError: no photograph or no method is requested, or a method is unknown or does not fit the grader or
                the layer.
        """
        for method in self.methods:
            explainer.find_method(method)
        if not self.methods:
            raise KerasDrError("No heat map method is given.", f"Name one or more with --method: {', '.join(METHODS)}.")
        if self.n < 1:
            raise KerasDrError(f"The board must show at least 1 photograph, but -n is {self.n}.", "Choose another -n.")


@dataclass(frozen=True)
class ExtraInputs:
    """Further inputs of an explanation; each may be absent.

    Attributes:
        masked: other photographs, with masks, on which the thresholds of the overlap are chosen.
        before: the grader before it was fine-tuned.
        bundle: the folder of the bundle that was made from the run, and the sha256 of the run's model.
        left_out: the number of photographs of the split that are left out because the run was trained on them.
    """

    masked: PreparedSet | None = None
    before: keras.Model | None = None
    bundle: tuple[Path, str] | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Job:
    """The photographs of an explanation, the grader's predictions, and the choice of those to show and to score.

    Attributes:
        data: N photographs.
        survey: the results of one forward pass over them.
        options: the options of the explanation.
        board: indices of the photographs to show.
        scored: indices of the photographs to score.
    """

    data: PreparedSet
    survey: Survey
    options: ExplanationOptions
    board: list[int]
    scored: list[int]

    def wrong(self) -> NDArray[np.bool_]:
        """Whether each prediction differs from the true class, bool (N,); all False without grades."""
        predictions = self.survey.predictions
        if not self.data.labelled:
            return np.zeros(len(predictions), bool)
        return predictions != self.data.labels()

    def entry(self, index: int) -> dict[str, Any]:
        """The entry of a photograph in scores.json, without its scores."""
        row = self.data.rows[index]
        predicted = self.survey.predictions[index]
        prediction = self.data.task.classes[predicted]
        return {
            "image_id": row["image_id"],
            "label": row["label"],
            "prediction": prediction,
            "confidence": float(self.survey.probabilities[index][predicted]),
            "correct": row["label"] == prediction if row["label"] else None,
            "on_board": index in self.board,
            "scored": index in self.scored,
        }

    @property
    def split(self) -> str:
        """The only split of these photographs, or "all"."""
        names = {row["split"] for row in self.data.rows}
        return names.pop() if len(names) == 1 else "all"
