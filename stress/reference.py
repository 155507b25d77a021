"""Compute a version's expected answers from its ONNX file."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from exporters.contract import INPUT, PROBABILITIES
from stress.truth import Record, Reference


def reference_of(file: Path, records: Sequence[Record]) -> Reference:
    """The expected answers of an ONNX file, which takes a table of features or each as one column."""
    model = file.read_bytes()
    options = ort.SessionOptions()
    # Several threads would sum a forest's trees in another order than one.
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    names, labels = (json.loads(metadata[key]) for key in ("feature_names", "class_labels"))
    probabilities = []
    for record in records:
        feed = _feed(names, session.get_inputs(), record)
        values = session.run([PROBABILITIES], feed)[0][0].tolist()
        probabilities.append(dict(zip(labels, values, strict=True)))
    return Reference(hashlib.sha256(model).hexdigest(), tuple(probabilities))


def _feed(names: Sequence[str], ports: Sequence[Any], record: Record) -> dict[str, NDArray[Any]]:
    """The tensors of one record."""
    if [port.name for port in ports] == [INPUT]:
        return {INPUT: np.array([[record[name] for name in names]], np.float32)}
    return {
        port.name: np.array([[record[port.name]]], object if "string" in port.type else np.float32)
        for port in ports
    }
