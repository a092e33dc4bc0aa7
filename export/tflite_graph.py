"""Reads the operators of a float TFLite file and their weights, and determines which are quantised.

    image -> cast -> scaling | first convolution ... last activation of the backbone | heat maps -> tail

The operators between the bars are quantised. Before the first bar, pixels are whole numbers anyway. After the second
bar, there is one channel per class, so that float costs almost nothing; an int8 softmax would have only 256 different
probabilities.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class Operator:
    """One operator of the backbone.

    Attributes:
        place: index among the model's operators.
        name: name of its first output tensor; unique.
        kind: kind of operator, such as "CONV_2D".
        inputs: indices of its input tensors; for a convolution: input, weights, bias.
    """

    place: int
    name: str
    kind: str
    inputs: tuple[int, ...]

    @property
    def is_convolution(self) -> bool:
        """Whether the operator is a convolution, which has weights to round."""
        return self.kind in CONVOLUTIONS

    @property
    def channel_axis(self) -> int:
        """The axis of a convolution's weights for its output channels: (O, h, w, I), or (1, h, w, O) if depthwise."""
        return 0 if self.kind == "CONV_2D" else 3


class FloatModel:
    """A parsed float TFLite file, whose weights can be read and replaced; `content` writes it again."""

    def __init__(self, content: bytes) -> None:
        self._model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
        self._graph = self._model.subgraphs[0]
        self.operators = tuple(self._operator(place, raw) for place, raw in enumerate(self._graph.operators))

    def _operator(self, place: int, raw: Any) -> Operator:
        """Return the operator at this index, from its flatbuffer object."""
        kind = flatbuffer_utils.opcode_to_name(self._model, raw.opcodeIndex)
        return Operator(place, self.tensor_name(raw.outputs[0]), kind, tuple(int(index) for index in raw.inputs))

    def tensor_name(self, index: int) -> str:
        """Return the name of a tensor."""
        return self._graph.tensors[index].name.decode()

    def signature(self) -> dict[str, str]:
        """Return a dictionary: name of each input's and output's tensor -> its name in the signature."""
        definition = self._model.signatureDefs[0]
        ends = (*definition.inputs, *definition.outputs)
        return {self.tensor_name(end.tensorIndex): end.name.decode() for end in ends}

    def body(self) -> tuple[Operator, ...]:
        """Return the operators from the first convolution to the operator before the heat maps."""
        outputs = {output.name: output.tensorIndex for output in self._model.signatureDefs[0].outputs}
        names = [operator.name for operator in self.operators]
        first = next(place for place, operator in enumerate(self.operators) if operator.is_convolution)
        end = names.index(self.tensor_name(outputs[b"heatmaps"]))
        return self.operators[first:end]

    def weights(self, operator: Operator) -> NDArray[np.float32]:
        """Return a copy of a convolution's weights, float32 (O, kh, kw, I)."""
        return self._constant(operator.inputs[1])

    def bias(self, operator: Operator) -> NDArray[np.float32]:
        """Return a copy of a convolution's bias, float32 (O,)."""
        return self._constant(operator.inputs[2])

    def _constant(self, index: int) -> NDArray[np.float32]:
        tensor = self._graph.tensors[index]
        return np.frombuffer(self._model.buffers[tensor.buffer].data, np.float32).reshape(tensor.shape).copy()

    def replace(self, operator: Operator, weights: NDArray[np.floating], bias: NDArray[np.floating]) -> None:
        """Replace a convolution's weights float (O, kh, kw, I) and bias float (O,); the shapes stay the same."""
        self._replace(operator, 1, weights)
        self._replace(operator, 2, bias)

    def _replace(self, operator: Operator, position: int, values: NDArray[np.floating]) -> None:
        index = operator.inputs[position]
        tensor = self._graph.tensors[index]
        readers = sum(list(reader.inputs).count(index) for reader in self._graph.operators)
        tensors_of_buffer = sum(other.buffer == tensor.buffer for other in self._graph.tensors)
        if readers > 1 or tensors_of_buffer > 1:
            # The converter lets operators share equal constants, such as biases of zeros.
            tensor = copy.copy(tensor)
            tensor.name = f"{operator.name}/{position}".encode()
            tensor.buffer = len(self._model.buffers)
            self._model.buffers.append(copy.copy(self._model.buffers[0]))
            self._graph.operators[operator.place].inputs[position] = len(self._graph.tensors)
            self._graph.tensors.append(tensor)
        data = np.ascontiguousarray(values, np.float32).tobytes()
        self._model.buffers[tensor.buffer].data = np.frombuffer(data, np.uint8)

    def content(self) -> bytes:
        """Return the content of the TFLite file."""
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self._model))
