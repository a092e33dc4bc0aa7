"""What is asked of an explanation, and the photographs that it is about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.explanation.forward_pass import Survey
from keras_dr.explanation.methods import METHODS, Explainer
from keras_dr.preparation.prepared_set import PreparedSet


@dataclass(frozen=True)
class ExplanationOptions:
    """What is asked of an explanation.

    Attributes:
        n: photographs on the board, at least 1.
        methods: keys of `METHODS`.
        layer: where methods that take any layer make their maps; None: the feature layer.
        temperature: of the grader, > 0.
        seed: of the choice of photographs, of the bootstrap and of what is randomised.
        score_all: score the whole split (an even sample of `MOST_SCORED` where maps cost forward passes), or the board.
        faithfulness, sanity: photographs for the scores of `costly`; 0: none.
    """

    n: int = 12
    methods: tuple[str, ...] = ("grad-cam",)
    layer: str | None = None
    temperature: float = 1.0
    seed: int = 42
    score_all: bool = True
    faithfulness: int = 0
    sanity: int = 0

    def check(self, explainer: Explainer) -> None:
        """Refuse what cannot be done, before any work.

        Raises:
            KerasDrError: no photographs, no method, an unknown one, or one that does not fit the grader or the layer.
        """
        for method in self.methods:
            explainer.find_method(method)
        if not self.methods:
            raise KerasDrError(f"a heat map method among {', '.join(METHODS)}", "none", "Name one with --method.")
        if self.n < 1:
            raise KerasDrError("at least 1 photograph on the board", str(self.n), "Choose another -n.")


@dataclass(frozen=True)
class ExtraInputs:
    """What a split of photographs is explained beside; each may be absent.

    Attributes:
        masked: other photographs with masks, on which the overlap's thresholds are chosen.
        before: the grader before it was fine-tuned.
        bundle: folder of the bundle made of the run, and the sha256 of the run's model.
        left_out: photographs of the split left out, as the run learned from them.
    """

    masked: PreparedSet | None = None
    before: keras.Model | None = None
    bundle: tuple[Path, str] | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Job:
    """Photographs, what the grader said of them, and which are shown and scored.

    Attributes:
        data: N photographs.
        seen: what one pass over them gave.
        options: what is asked.
        board, scored: indices of the photographs shown, and scored.
    """

    data: PreparedSet
    seen: Survey
    options: ExplanationOptions
    board: list[int]
    scored: list[int]

    def wrong(self) -> NDArray[np.bool_]:
        """bool (N,), where the prediction is not the true class; nowhere if the photographs have no grades."""
        predictions = self.seen.predictions
        return predictions != self.data.labels() if self.data.labelled else np.zeros(len(predictions), bool)

    def entry(self, index: int) -> dict[str, Any]:
        """What scores.json says of a photograph, without its scores."""
        row, probabilities = self.data.rows[index], self.seen.probabilities[index]
        best = self.seen.predictions[index]
        prediction = self.data.task.classes[best]
        return {
            "image_id": row["image_id"],
            "label": row["label"],
            "prediction": prediction,
            "confidence": float(probabilities[best]),
            "correct": row["label"] == prediction if row["label"] else None,
            "on_board": index in self.board,
            "scored": index in self.scored,
        }

    @property
    def split(self) -> str:
        """The one split of these photographs, or "all"."""
        names = {row["split"] for row in self.data.rows}
        return names.pop() if len(names) == 1 else "all"
