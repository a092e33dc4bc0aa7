"""The settings of a preparation that can be checked before its source is read."""

from dataclasses import dataclass

from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import check_task
from keras_dr.preparation.splits import SplitShares
from keras_dr.workers.ray_cluster import check_engine


@dataclass(frozen=True)
class PreparationSettings:
    """The settings that `prepare` refuses for every source if they are wrong.

    Attributes:
        task: the classes to tell apart, a key of `TASKS`, "classes" or "auto".
        size: side of the prepared square in pixels.
        enhance: "none", or names of enhancements joined by "+".
        fundus: "auto" or "none".
        val: share of the photographs for validation, if the data set has no such split.
        test: share of the photographs for test, if the data set has no such split.
        calibration: share of the photographs for the calibration split; 0: there is none.
        engine: "local" or "ray".
        address: the address of a running Ray cluster; None: none was named.

    Raises:
        KerasDrError: a setting is out of range, or a name is unknown.
    """

    task: str
    size: int
    enhance: str
    fundus: str
    val: float
    test: float
    calibration: float
    engine: str
    address: str | None

    def __post_init__(self) -> None:
        check_task(self.task)
        self.preprocessing()
        self.shares()
        check_engine(self.engine, ("local", "ray"), self.address)

    def preprocessing(self) -> Preprocessing:
        """How every photograph is prepared."""
        return Preprocessing(self.size, self.enhance, self.fundus)

    def shares(self) -> SplitShares:
        """The sizes of the splits that the data set does not have."""
        return SplitShares(self.val, self.test, self.calibration)
