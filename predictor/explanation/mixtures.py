"""Mixtures: rows that have some features from one record and the others from rows of a background."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Feed = Mapping[str, NDArray[Any]]
Mask = NDArray[np.bool_]


class Mixtures:
    """Mixtures of one record with a background, as tensors for ONNX Runtime.

    Whole values are taken from the one or the other, so that texts, integers and booleans mix as
    well as numbers do.
    """

    def __init__(self, record: Feed, background: Feed) -> None:
        """Both as `Signature.feed` makes them: per port [N, width] or [N], the record of one row."""
        self._record = record
        self._background = background

    def feed(self, taken: Mask, sources: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """One row for each of `taken` [N, F]: the record's value where it is true.

        Elsewhere that of the background's row that `sources` [N] names.
        """
        mixed, start = {}, 0
        for port, ours in self._record.items():
            others = self._background[port][sources]
            if ours.ndim == 1:
                mixed[port] = np.where(taken[:, start], ours, others)
                start += 1
                continue
            stop = start + ours.shape[1]
            mixed[port] = np.where(taken[:, start:stop], ours, others)
            start = stop
        return mixed
