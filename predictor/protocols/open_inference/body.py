"""The body of a request as REST carries it, JSON and behind it the tensors that are bytes; and that of its answer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from predictor.model.json_text import JsonText
from predictor.model.training_ranges import Warnings
from predictor.protocols.open_inference.datatypes import to_bytes
from predictor.protocols.open_inference.errors import InvalidInference, check_offered, quoted
from predictor.protocols.open_inference.inference import Addressed, Inference, Inferred
from predictor.protocols.open_inference.tensors import MOST_ROWS, Tensor


def check_members(text: bytes, members: int) -> None:
    """Raise InvalidInference if an object of this JSON has a name twice; `members` were read, of all objects.

    Each member has one colon. A colon in a string only costs a second, slower look.
    """
    if text.count(b":") == members:
        return
    try:
        JsonText(text.decode(), _once).whole()
    except (ValueError, RecursionError) as error:
        raise InvalidInference(
            f"the body is not JSON that can be read: {type(error).__name__}"
        ) from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise InvalidInference(f"{quoted(name)} is given twice in one object")
        names.add(name)


def flat(data: Any, shape: Sequence[int], place: str) -> list[Any]:
    """The elements in row-major order; whether they are any is not looked at.

    Raises InvalidInference where lists within the list are not the rows of the shape.
    """
    if not isinstance(data, list):
        raise InvalidInference(f"{place}: expected a list")
    if list not in map(type, data):
        return data
    are_rows = len(shape) == 2 and len(data) == shape[0]  # noqa: PLR2004  no model takes more
    if not are_rows or any(type(row) is not list or len(row) != shape[1] for row in data):
        raise InvalidInference(f"{place}: nested otherwise than the shape says")
    return list(chain.from_iterable(data))


Parameters = dict[str, Any]
_Dimension = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[_Dimension]
    datatype: str
    parameters: Parameters | UnsetType = UNSET
    data: Raw | UnsetType = UNSET


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: Parameters | UnsetType = UNSET


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[_Input]
    id: str | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    outputs: list[_Output] | UnsetType = UNSET
    model_name: str | UnsetType = UNSET  # which KServe's client sends; the path says which is meant


_decoder = msgspec.json.Decoder(_Request)


@dataclass(frozen=True)
class Asked:
    """What a body asks for: the inference, the id to echo, and how the outputs are to be written.

    `binary` says which outputs are written as bytes; those that it does not name are, where `all_binary`.
    """

    inference: Inference
    id: str | None
    binary: Mapping[str, bool]
    all_binary: bool


def read(body: bytes, header_length: str | None, addressed: Addressed) -> Asked:
    """Read a request. `header_length` is the header field that says where the JSON ends; None for at the end.

    Raises InvalidInference, which names the place.
    """
    end = _end(body, header_length)
    request = _decoded(body[:end])
    outputs = request.outputs or []
    inputs = _tensors(request, body, end, marked=header_length is not None)
    check_members(body[:end], _members(request))
    return Asked(
        Inference(
            addressed,
            inputs,
            [output.name for output in outputs],
            warn=_flag(request.parameters, "warnings", ""),
        ),
        request.id or None,
        {
            output.name: _flag(output.parameters, "binary_data", place)
            for number, output in enumerate(outputs)
            if "binary_data" in _offered(output.parameters, place := f"outputs[{number}]")
        },
        _flag(_offered(request.parameters, ""), "binary_data_output", ""),
    )


def _end(body: bytes, header_length: str | None) -> int:
    if header_length is None:
        return len(body)
    if _LENGTH.fullmatch(header_length) is None or int(header_length) > len(body):
        raise InvalidInference(
            "Inference-Header-Content-Length: expected the number of bytes of the JSON in the body"
        )
    return int(header_length)


def _decoded(body: bytes) -> _Request:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInference(_said(error)) from None


def _said(error: Exception, place: str = "") -> str:
    """An error of the decoder, with its place in front; `place` is where its root is in the body."""
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    said, _, below = str(error).partition(" - at `$")
    where = f"{place}{below.rstrip('`')}".removeprefix(".")
    if isinstance(error, msgspec.ValidationError):
        return f"{where}: {said}" if where else said
    return f"the body is not valid JSON: {said}"


def _members(request: _Request) -> int:
    """How many members the objects of a request have that were read."""
    found = 1
    for member in (request.id, request.parameters, request.outputs, request.model_name):
        found += member is not UNSET
    found += len(request.parameters or ())
    for tensor in request.inputs:
        found += 3 + (tensor.parameters is not UNSET) + (tensor.data is not UNSET)
        found += len(tensor.parameters or ())
    for output in request.outputs or ():
        found += 1 + (output.parameters is not UNSET) + len(output.parameters or ())
    return found


def _tensors(request: _Request, body: bytes, end: int, *, marked: bool) -> list[Tensor]:
    """The inputs; the bytes of those that are binary follow the JSON in their order, with nothing between."""
    tensors = []
    for number, given in enumerate(request.inputs):
        place = f"inputs[{number}]"
        size = _offered(given.parameters, place).get("binary_data_size")
        if size is None:
            tensors.append(Tensor(given.name, given.datatype, given.shape, _data(given, place)))
            continue
        if type(size) is not int or size < 0:
            raise InvalidInference(
                f"{place}.parameters.binary_data_size: expected a number of bytes"
            )
        if given.data is not UNSET:
            raise InvalidInference(
                f"{place}: give `data` or `parameters.binary_data_size`, not both"
            )
        if not marked:
            raise InvalidInference(
                f"{place}: binary data come with the header field Inference-Header-Content-Length"
            )
        if size > len(body) - end:
            raise InvalidInference(
                f"{place}.parameters.binary_data_size: {size} bytes; the body has {len(body) - end} more"
            )
        data = body[end : end + size]
        tensors.append(Tensor(given.name, given.datatype, given.shape, data))
        end += size
    if end < len(body):
        raise InvalidInference(f"behind the last input the body has {len(body) - end} bytes more")
    return tensors


def _data(given: _Input, place: str) -> list[Any]:
    if given.data is UNSET:
        raise InvalidInference(f"{place}.data: missing, for input {quoted(given.name)}")
    where = f"{place}.data"
    try:
        _check_nesting(bytes(given.data), given.shape, where)
        data = msgspec.json.decode(given.data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInference(_said(error, where)) from None
    return flat(data, given.shape, where)


def _check_nesting(data: bytes, shape: Sequence[int], place: str) -> None:
    """Raise InvalidInference for lists that are not the shape's rows, or for objects.

    While msgspec decodes, no other thread runs, and a list takes longer than a number. So what may have
    too many of them, or only texts with brackets, is read piece by piece before.
    """
    rows = min(shape[0], MOST_ROWS) if len(shape) == 2 else 0  # noqa: PLR2004
    if data.count(b"[") <= 1 + rows and b"{" not in data:
        return
    try:
        read = JsonText(data.decode(), dict).whole()
    except ValueError:
        return  # which msgspec says
    elements = flat(read, shape, place)
    if any(isinstance(each, list | dict) for each in elements):
        raise InvalidInference(f"{place}: expected elements, got a list or an object")


def _offered(parameters: Parameters | UnsetType, place: str) -> Parameters:
    """The parameters, none of which asks for what is not offered."""
    given = parameters or {}
    check_offered(given, place)
    return given


def _flag(parameters: Parameters | UnsetType, name: str, place: str) -> bool:
    value = (parameters or {}).get(name, False)
    if not isinstance(value, bool):
        where = f"{place}.parameters.{name}".removeprefix(".")
        raise InvalidInference(f"{where}: expected true or false")
    return value


_encode = msgspec.json.Encoder().encode


def write(asked: Asked, inferred: Inferred) -> tuple[bytes, int | None]:
    """The body, and how many bytes of it are JSON; None where all are.

    Numbers in JSON are written as `/predict` writes them.
    """
    outputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for tensor in inferred.outputs:
        output: dict[str, Any] = {
            "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape,
        }  # fmt: skip
        outputs.append(output)
        if asked.binary.get(tensor.name, asked.all_binary):
            raw = to_bytes(tensor.datatype, tensor.data)
            output["parameters"] = {"binary_data_size": len(raw)}
            behind.append(raw)
        else:
            output["data"] = tensor.data
    said: dict[str, Any] = {
        "model_name": inferred.version.name,
        "model_version": inferred.version.version,
    }
    if asked.id is not None:
        said["id"] = asked.id
    if inferred.warnings:
        said["parameters"] = {"warnings": _listed(inferred.warnings)}
    head = _encode({**said, "outputs": outputs})
    return (b"".join([head, *behind]), len(head)) if behind else (head, None)


def _listed(warnings: Warnings) -> list[dict[str, Any]]:
    return [
        {"row": row, **msgspec.structs.asdict(each)}
        for row, found in sorted(warnings.items())
        for each in found
    ]
