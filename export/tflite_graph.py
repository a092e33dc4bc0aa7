"""The operators of a float TFLite file: which of them quantisation concerns, and their weights.

    image -> cast -> scaling | first convolution ... last activation of the backbone | heat maps -> tail

Quantised is what lies between the bars. Before it pixels are whole numbers anyway; after it a class has one channel,
so that float costs nothing, and an int8 softmax would know 256 probabilities.
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
        name: of its first output tensor; unique.
        kind: such as "CONV_2D".
        inputs: indices of its input tensors; for a convolution input, weights, bias.
    """

    place: int
    name: str
    kind: str
    inputs: tuple[int, ...]

    @property
    def is_convolution(self) -> bool:
        """Whether it has weights to round."""
        return self.kind in CONVOLUTIONS

    @property
    def channel_axis(self) -> int:
        """Axis of a convolution's weights that holds its output channels: (O, h, w, I), or (1, h, w, O) depthwise."""
        return 0 if self.kind == "CONV_2D" else 3


class FloatModel:
    """A float TFLite file, taken apart. Reads and replaces weights; `content` puts it together again."""

    def __init__(self, content: bytes) -> None:
        self._model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
        self._graph = self._model.subgraphs[0]
        self.operators = tuple(self._operator(*one) for one in enumerate(self._graph.operators))

    def _operator(self, place: int, found: Any) -> Operator:
        kind = flatbuffer_utils.opcode_to_name(self._model, found.opcodeIndex)
        return Operator(place, self.tensor_name(found.outputs[0]), kind, tuple(int(index) for index in found.inputs))

    def tensor_name(self, index: int) -> str:
        """Name of a tensor."""
        return self._graph.tensors[index].name.decode()

    def signature(self) -> dict[str, str]:
        """Name of a tensor -> what the signature calls it, of each input and output."""
        definition = self._model.signatureDefs[0]
        ends = (*definition.inputs, *definition.outputs)
        return {self.tensor_name(end.tensorIndex): end.name.decode() for end in ends}

    def body(self) -> tuple[Operator, ...]:
        """The operators from the first convolution to the one before the heat maps."""
        outputs = {output.name: output.tensorIndex for output in self._model.signatureDefs[0].outputs}
        names = [operator.name for operator in self.operators]
        first = next(place for place, operator in enumerate(self.operators) if operator.is_convolution)
        return self.operators[first : names.index(self.tensor_name(outputs[b"heatmaps"]))]

    def weights(self, operator: Operator) -> NDArray[np.float32]:
        """A convolution's weights float32 (O, kh, kw, I), as a copy."""
        return self._constant(operator.inputs[1])

    def bias(self, operator: Operator) -> NDArray[np.float32]:
        """A convolution's bias float32 (O,), as a copy."""
        return self._constant(operator.inputs[2])

    def _constant(self, index: int) -> NDArray[np.float32]:
        tensor = self._graph.tensors[index]
        return np.frombuffer(self._model.buffers[tensor.buffer].data, np.float32).reshape(tensor.shape).copy()

    def replace(self, operator: Operator, weights: NDArray[np.floating], bias: NDArray[np.floating]) -> None:
        """Give a convolution other weights and another bias, float of the same shapes: (O, kh, kw, I) and (O,)."""
        self._replace(operator, 1, weights)
        self._replace(operator, 2, bias)

    def _replace(self, operator: Operator, position: int, values: NDArray[np.floating]) -> None:
        index = operator.inputs[position]
        tensor = self._graph.tensors[index]
        readers = sum(list(one.inputs).count(index) for one in self._graph.operators)
        if readers > 1 or sum(one.buffer == tensor.buffer for one in self._graph.tensors) > 1:
            # The converter lets operators share equal constants, such as biases of zeros.
            tensor = copy.copy(tensor)
            tensor.name, tensor.buffer = f"{operator.name}/{position}".encode(), len(self._model.buffers)
            self._model.buffers.append(copy.copy(self._model.buffers[0]))
            self._graph.operators[operator.place].inputs[position] = len(self._graph.tensors)
            self._graph.tensors.append(tensor)
        data = np.ascontiguousarray(values, np.float32).tobytes()
        self._model.buffers[tensor.buffer].data = np.frombuffer(data, np.uint8)

    def content(self) -> bytes:
        """The file."""
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self._model))
