"""ONNX's own description of a graph, as far as it is read here, without the `onnx` package.

Read with protobuf, which ONNX Runtime needs anyway, through the few fields of ONNX's schema
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that matter here. The numbers are the
schema's field numbers; protobuf skips every other field. The `onnx` package would add 20 MB.
"""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_FLOAT, _DOUBLE, _INT64, _STRING, _BYTES, _MESSAGE = (
    _FIELD.TYPE_FLOAT,
    _FIELD.TYPE_DOUBLE,
    _FIELD.TYPE_INT64,
    _FIELD.TYPE_STRING,
    _FIELD.TYPE_BYTES,
    _FIELD.TYPE_MESSAGE,
)

# message -> (field, number, type or message, repeated)
_SCHEMA: dict[str, list[tuple[str, int, int | str, bool]]] = {
    "Model": [("graph", 7, "Graph", False), ("functions", 25, "Function", True)],
    "Function": [("node", 7, "Node", True)],
    "Graph": [
        ("node", 1, "Node", True),
        ("initializer", 5, "Tensor", True),
        ("output", 12, "Output", True),
        ("sparse_initializer", 15, "Sparse", True),
    ],
    "Sparse": [("values", 1, "Tensor", False), ("indices", 2, "Tensor", False)],
    "Output": [("name", 1, _STRING, False)],
    "Node": [
        ("input", 1, _STRING, True),
        ("output", 2, _STRING, True),
        ("op_type", 4, _STRING, False),
        ("attribute", 5, "Attribute", True),
    ],
    "Attribute": [
        ("name", 1, _STRING, False),
        ("i", 3, _INT64, False),
        ("s", 4, _BYTES, False),
        ("t", 5, "Tensor", False),
        ("g", 6, "Graph", False),
        ("floats", 7, _FLOAT, True),
        ("ints", 8, _INT64, True),
        ("strings", 9, _BYTES, True),
        ("tensors", 10, "Tensor", True),
        ("graphs", 11, "Graph", True),
        ("sparse_tensor", 22, "Sparse", False),
        ("sparse_tensors", 23, "Sparse", True),
    ],
    "Tensor": [
        ("data_type", 2, _INT64, False),
        ("float_data", 4, _FLOAT, True),
        ("int32_data", 5, _INT64, True),
        ("string_data", 6, _BYTES, True),
        ("int64_data", 7, _INT64, True),
        ("name", 8, _STRING, False),
        ("raw_data", 9, _BYTES, False),
        ("double_data", 10, _DOUBLE, True),
        ("external_data", 13, "Entry", True),
    ],
    "Entry": [("key", 1, _STRING, False), ("value", 2, _STRING, False)],
}


_VALUES = {
    "Attribute": {"i", "s", "floats", "ints", "strings"},
    "Tensor": {"float_data", "int32_data", "string_data", "int64_data", "raw_data", "double_data"},
}
"""The fields that a large model consists of. What reads none of them need not unpack them."""


def parse(model: bytes, *, values: bool = True) -> Any:
    """The message of a serialised ONNX model. Raises ValueError if it is none.

    Without `values`, no attribute or tensor has any until it is made `whole`.
    """
    parsed = _message_class("Model", values=values)()
    try:
        parsed.ParseFromString(model)
    except message.DecodeError as error:
        raise ValueError(f"not an ONNX model: {error}") from error
    if not parsed.HasField("graph"):
        raise ValueError("not an ONNX model: it has no graph")
    return parsed


def whole(part: Any) -> Any:
    """An attribute or a tensor of a message that was read without values, with its values.

    Raises ValueError where they are none.
    """
    read = _message_class(part.DESCRIPTOR.name, values=True)()
    try:
        read.ParseFromString(part.SerializeToString())
    except message.DecodeError as error:
        raise ValueError(f"not an ONNX model: {error}") from error
    return read


@cache
def _message_class(wanted: str, *, values: bool) -> Any:
    schema = descriptor_pb2.FileDescriptorProto(
        name="graph.proto", package="graph", syntax="proto2"
    )
    for name, fields in _SCHEMA.items():
        described = schema.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            if not values and field in _VALUES.get(name, ()):
                continue
            described.field.add(
                name=field,
                number=number,
                type=kind if isinstance(kind, int) else _MESSAGE,
                type_name=None if isinstance(kind, int) else f".graph.{kind}",
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(schema)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"graph.{wanted}"))
