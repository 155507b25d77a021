"""What a version answers, from its own ONNX file and ONNX Runtime alone."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from exporters.contract import INPUT, PROBABILITIES
from stress.truth import Record, Reference


def reference_of(file: Path, records: Sequence[Record]) -> Reference:
    """The answers of an ONNX file that our trainer made."""
    model = file.read_bytes()
    options = ort.SessionOptions()
    # A forest's trees are added up in another order by several threads than by one.
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    names, labels = (json.loads(metadata[key]) for key in ("feature_names", "class_labels"))
    given = []
    for record in records:
        row = np.array([[record[name] for name in names]], np.float32)
        values = session.run([PROBABILITIES], {INPUT: row})[0][0].tolist()
        given.append(dict(zip(labels, values, strict=True)))
    return Reference(hashlib.sha256(model).hexdigest(), tuple(given))
