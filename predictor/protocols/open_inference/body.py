"""Bodies over REST: JSON, and after it the tensors that are sent as bytes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from predictor.model.json_text import JsonText
from predictor.model.training_ranges import Warnings
from predictor.openapi.schemas import doc
from predictor.protocols.open_inference.datatypes import DTYPES, to_bytes
from predictor.protocols.open_inference.errors import InvalidInference, check_supported, quoted
from predictor.protocols.open_inference.inference import Inference, Inferred, Target
from predictor.protocols.open_inference.tensors import MAX_ROWS, Tensor


def check_members(text: bytes, members: int) -> None:
    """Raise InvalidInference if a JSON object has a name twice; `members` is the number of members that were read.

    Each member has one colon. A colon in a text only costs a second, slower check.
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
    """The elements in row-major order; their types are checked elsewhere.

    Raises InvalidInference where nested lists are not the rows of the shape.
    """
    if not isinstance(data, list):
        raise InvalidInference(f"{place}: expected a list")
    if list not in map(type, data):
        return data
    are_rows = len(shape) == 2 and len(data) == shape[0]  # noqa: PLR2004  no model takes more
    if not are_rows or any(type(row) is not list or len(row) != shape[1] for row in data):
        raise InvalidInference(f"{place}: its lists are not nested as the shape says")
    return list(chain.from_iterable(data))


Parameters = dict[str, Any]
_Dimension = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)


_Datatype = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*DTYPES]})]


class V2Input(msgspec.Struct, forbid_unknown_fields=True):
    """One input tensor."""

    name: str
    shape: Annotated[
        list[_Dimension],
        doc("[rows, columns], or [rows] for a single column.", maxItems=2),
    ]
    datatype: _Datatype
    parameters: Parameters | UnsetType = UNSET
    data: (
        Annotated[
            Raw,
            doc(
                "Flat in row-major order, or nested as the shape is. Without it, "
                "`parameters.binary_data_size` bytes follow the JSON.",
                type="array",
                items={},
            ),
        ]
        | UnsetType
    ) = UNSET


class V2RequestedOutput(msgspec.Struct, forbid_unknown_fields=True):
    """An output that the response must have."""

    name: str
    parameters: Parameters | UnsetType = UNSET


class V2Request(msgspec.Struct, forbid_unknown_fields=True):
    """Input tensors, and the outputs that the response must have."""

    inputs: list[V2Input]
    id: Annotated[str, doc("Copied into the response.")] | UnsetType = UNSET
    parameters: (
        Annotated[
            Parameters,
            doc(
                "`warnings`: of values outside the training data. `binary_data_output`: outputs as bytes.",
                properties={n: {"type": "boolean"} for n in ("warnings", "binary_data_output")},
            ),
        ]
        | UnsetType
    ) = UNSET
    outputs: Annotated[list[V2RequestedOutput], doc("All outputs, without it.")] | UnsetType = UNSET
    model_name: str | UnsetType = UNSET  # KServe's client sends it; the model in the path counts


class V2Output(msgspec.Struct, frozen=True):
    """One output tensor; without `data`, `parameters.binary_data_size` bytes follow the JSON."""

    name: str
    datatype: _Datatype
    shape: list[int]
    parameters: Parameters | UnsetType = UNSET
    data: list[float | str | bool] | UnsetType = UNSET


class V2Response(msgspec.Struct, frozen=True, kw_only=True):
    """Output tensors, and the version that computed them."""

    model_name: str
    model_version: str
    id: str | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    outputs: list[V2Output]


_decoder = msgspec.json.Decoder(V2Request)


@dataclass(frozen=True)
class Request:
    """A request as REST carries it: the inference, the id to copy, and how the outputs are to be written.

    `binary` says by name which outputs are written as bytes; `all_binary` says it of the others.
    """

    inference: Inference
    id: str | None
    binary: Mapping[str, bool]
    all_binary: bool


def read(body: bytes, header_length: str | None, target: Target) -> Request:
    """Read a request. `header_length` is the header field with the length of the JSON; None if all is JSON.

    Raises InvalidInference, which names the place.
    """
    end = _end(body, header_length)
    request = _decoded(body[:end])
    outputs = request.outputs or []
    inputs = _tensors(request, body, end, marked=header_length is not None)
    check_members(body[:end], _members(request))
    return Request(
        Inference(
            target,
            inputs,
            [output.name for output in outputs],
            warn=_flag(request.parameters, "warnings", ""),
        ),
        request.id or None,
        {
            output.name: _flag(output.parameters, "binary_data", place)
            for number, output in enumerate(outputs)
            if "binary_data" in _parameters(output.parameters, place := f"outputs[{number}]")
        },
        _flag(_parameters(request.parameters, ""), "binary_data_output", ""),
    )


def _end(body: bytes, header_length: str | None) -> int:
    if header_length is None:
        return len(body)
    if _LENGTH.fullmatch(header_length) is None or int(header_length) > len(body):
        raise InvalidInference(
            "Inference-Header-Content-Length: expected the number of bytes of the JSON in the body"
        )
    return int(header_length)


def _decoded(body: bytes) -> V2Request:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInference(_reason(error)) from None


def _reason(error: Exception, place: str = "") -> str:
    """A decoder's error with its place in front; `place` is where the decoded part is in the body."""
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    reason, _, below = str(error).partition(" - at `$")
    where = f"{place}{below.rstrip('`')}".removeprefix(".")
    if isinstance(error, msgspec.ValidationError):
        return f"{where}: {reason}" if where else reason
    return f"the body is not valid JSON: {reason}"


def _members(request: V2Request) -> int:
    """The number of members that were read, of all objects of a request."""
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


def _tensors(request: V2Request, body: bytes, end: int, *, marked: bool) -> list[Tensor]:
    """The inputs. The bytes of binary inputs follow the JSON in the same order, with nothing between."""
    tensors = []
    for number, given in enumerate(request.inputs):
        place = f"inputs[{number}]"
        size = _parameters(given.parameters, place).get("binary_data_size")
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
                f"{place}: send the header field Inference-Header-Content-Length with binary data"
            )
        if size > len(body) - end:
            raise InvalidInference(
                f"{place}.parameters.binary_data_size: {size} bytes; the body has {len(body) - end} more"
            )
        data = body[end : end + size]
        tensors.append(Tensor(given.name, given.datatype, given.shape, data))
        end += size
    if end < len(body):
        raise InvalidInference(f"the body has {len(body) - end} bytes after the last input")
    return tensors


def _data(given: V2Input, place: str) -> list[Any]:
    if given.data is UNSET:
        raise InvalidInference(f"{place}.data: missing, for input {quoted(given.name)}")
    where = f"{place}.data"
    try:
        _check_nesting(bytes(given.data), given.shape, where)
        data = msgspec.json.decode(given.data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInference(_reason(error, where)) from None
    return flat(data, given.shape, where)


def _check_nesting(data: bytes, shape: Sequence[int], place: str) -> None:
    """Raise InvalidInference for lists that are not the shape's rows, or for objects.

    While msgspec decodes, no other thread runs, and a list takes longer than a number. So data with more
    brackets than rows (also in texts) are first read piece by piece.
    """
    rows = min(shape[0], MAX_ROWS) if len(shape) == 2 else 0  # noqa: PLR2004
    if data.count(b"[") <= 1 + rows and b"{" not in data:
        return
    try:
        read = JsonText(data.decode(), dict).whole()
    except ValueError:
        return  # msgspec reports it
    elements = flat(read, shape, place)
    if any(isinstance(each, list | dict) for each in elements):
        raise InvalidInference(f"{place}: expected elements, got a list or an object")


def _parameters(parameters: Parameters | UnsetType, place: str) -> Parameters:
    """The parameters. Raises InvalidInference for one that is not supported."""
    given = parameters or {}
    check_supported(given, place)
    return given


def _flag(parameters: Parameters | UnsetType, name: str, place: str) -> bool:
    value = (parameters or {}).get(name, False)
    if not isinstance(value, bool):
        where = f"{place}.parameters.{name}".removeprefix(".")
        raise InvalidInference(f"{where}: expected true or false")
    return value


_encode = msgspec.json.Encoder().encode


def write(request: Request, inferred: Inferred) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON; None if all is JSON.

    Numbers in JSON are written as `/predict` writes them.
    """
    outputs: list[V2Output] = []
    binary: list[bytes] = []
    for tensor in inferred.outputs:
        name, datatype, shape, data = tensor.name, tensor.datatype, [*tensor.shape], tensor.data
        if request.binary.get(name, request.all_binary):
            raw = to_bytes(datatype, data)
            parameters = {"binary_data_size": len(raw)}
            outputs.append(V2Output(name, datatype, shape, parameters))
            binary.append(raw)
        else:
            outputs.append(V2Output(name, datatype, shape, data=data))  # type: ignore[arg-type]
    warnings = inferred.warnings
    head = _encode(
        V2Response(
            model_name=inferred.version.name,
            model_version=inferred.version.version,
            id=UNSET if request.id is None else request.id,
            parameters={"warnings": _rows_of(warnings)} if warnings else UNSET,
            outputs=outputs,
        )
    )
    return (b"".join([head, *binary]), len(head)) if binary else (head, None)


def _rows_of(warnings: Warnings) -> list[dict[str, Any]]:
    return [
        {"row": row, **msgspec.structs.asdict(each)}
        for row, found in sorted(warnings.items())
        for each in found
    ]
