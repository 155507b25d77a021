"""Rows at the splits of trees: the neighbouring values between which a tree decides otherwise.

The splits are read from the graph, so they are found whatever library the trees are from. Where the trees
read computed features, the value of the raw feature at which the computed one passes the threshold is
searched with the graph itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from exporters.answers import session
from exporters.table import Table

MAX_SPLITS = 20_000
_PROBES = 100  # rows that show which raw feature a computed one depends on


@dataclass(frozen=True)
class Split:
    """A comparison of column `feature` of the trees' input with `threshold`; row `row` reaches it."""

    feature: int
    threshold: float
    row: int


@dataclass(frozen=True)
class SplitRows:
    """Rows at the splits; `splits` is the number of splits that rows reach, `tested` those with such rows."""

    frame: pd.DataFrame
    splits: int = 0
    tested: int = 0


def split_rows(proto: onnx.ModelProto, table: Table, *, seed: int = 0) -> SplitRows:
    """Rows at both sides of each split that rows of `table` reach.

    Each is a row of `table` with one number changed: to the last value on one side, and to the first on the
    other, in the type of the graph's input. With more than MAX_SPLITS splits, a sample is used.
    """
    found = [_of_ensemble(proto, node, table, seed) for node in _ensembles(proto.graph)]
    frames = [each.frame for each in found if len(each.frame)]
    if not frames:
        return SplitRows(table.frame.iloc[:0], sum(each.splits for each in found))
    return SplitRows(
        pd.concat(frames, ignore_index=True),
        sum(each.splits for each in found),
        sum(each.tested for each in found),
    )


def _ensembles(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type.startswith("TreeEnsemble")]


def _of_ensemble(
    proto: onnx.ModelProto, node: onnx.NodeProto, table: Table, seed: int
) -> SplitRows:
    before = _Before(proto, node.input[0], table)
    computed = before.values(table.frame)
    splits = [split for tree in _trees(node) for split in tree.splits(computed)]
    random = np.random.default_rng(seed)
    picked = [splits[each] for each in sorted(random.permutation(len(splits))[:MAX_SPLITS])]
    drivers = before.drivers(computed, random)
    driven = [split for split in picked if split.feature in drivers]
    if not driven:
        return SplitRows(table.frame.iloc[:0], len(splits))
    frame = before.both_sides(driven, np.array([drivers[split.feature] for split in driven]))
    return SplitRows(frame, len(splits), len(frame) // 2)


class _Before:
    """What the graph computes before its trees."""

    def __init__(self, proto: onnx.ModelProto, name: str, table: Table) -> None:
        self._table = table
        self._session: onnxruntime.InferenceSession | None = None
        graph = proto.graph
        self._is_input = [port.name for port in graph.input] == [name]
        if not self._is_input:
            cut = onnx.ModelProto()
            cut.CopyFrom(proto)
            del cut.graph.output[:]
            cut.graph.output.append(onnx.ValueInfoProto(name=name))
            self._session = session(cut.SerializeToString())
        port = graph.input[0].type.tensor_type.elem_type
        self._double = port == onnx.TensorProto.DOUBLE

    def values(self, frame: pd.DataFrame) -> NDArray[Any]:
        """The input of the trees [N, F'] for these rows."""
        if self._session is None:
            return frame.to_numpy(np.float64 if self._double else np.float32)
        feed = self._table.with_rows(frame).feed(self._session.get_inputs())
        (values,) = self._session.run(None, feed)
        return np.asarray(values)

    def drivers(self, computed: NDArray[Any], random: np.random.Generator) -> dict[int, int]:
        """The raw number that each computed feature depends on most, by the places of both."""
        if self._session is None:
            return {place: place for place in self._numbers()}
        frame = self._table.frame.iloc[:_PROBES]
        base = computed[:_PROBES].astype(np.float64)
        strength = np.zeros((len(self._table.columns), base.shape[1]))
        for raw in self._numbers():
            changed = frame.copy()
            values = self._table.frame.iloc[:, raw].to_numpy()
            changed.isetitem(raw, random.choice(values, len(frame)))
            moved = np.abs(self.values(changed).astype(np.float64) - base)
            strength[raw] = np.nan_to_num(moved).max(axis=0)
        best = strength.argmax(axis=0)
        return {feature: int(raw) for feature, raw in enumerate(best) if strength[raw, feature] > 0}

    def _numbers(self) -> list[int]:
        """The places of the columns that a threshold can divide; both values of a boolean occur anyway."""
        kinds = enumerate(self._table.columns)
        return [place for place, column in kinds if column.kind in {"number", "integer"}]

    def both_sides(self, splits: list[Split], raw: NDArray[np.int64]) -> pd.DataFrame:
        """For each split the last row on one side and the first on the other [2 * tested, F].

        `raw` [N] are the columns that are changed. The value is searched by halving, in all rows at once.
        """
        rows = self._table.frame.iloc[[split.row for split in splits]].reset_index(drop=True)
        thresholds = np.array([split.threshold for split in splits])
        features = np.array([split.feature for split in splits])
        scales = {int(place): self._scale(int(place)) for place in np.unique(raw)}
        every = np.arange(len(rows))

        def with_values(ordinals: NDArray[np.int64]) -> pd.DataFrame:
            changed = rows.copy(deep=False)
            for place, scale in scales.items():
                column = rows.iloc[:, place].to_numpy(copy=True)
                here = raw == place
                column[here] = scale.values(ordinals[here])
                changed.isetitem(place, column)
            return changed

        def above(ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
            return np.asarray(self.values(with_values(ordinals))[every, features] > thresholds)

        low = np.array([scales[place].lowest for place in raw.tolist()])
        high = np.array([scales[place].highest for place in raw.tolist()])
        rising = above(high)
        crosses = rising != above(low)
        while (low + 1 < high).any():
            middle = (low & high) + ((low ^ high) >> 1)  # cannot overflow
            beyond = above(middle) == rising
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        return pd.concat([with_values(low)[crosses], with_values(high)[crosses]], ignore_index=True)

    def _scale(self, raw: int) -> "_Scale":
        values = self._table.frame.iloc[:, raw].to_numpy(np.float64)
        low, high = np.nanmin(values), np.nanmax(values)
        reach = (high - low) or 1.0
        dtype: Any = np.float64 if self._double else np.float32
        if self._table.columns[raw].kind == "integer":
            dtype = np.int64
        ends = np.array([low - reach, high + reach]).astype(dtype)
        lowest, highest = _ordinals(ends)
        return _Scale(dtype, lowest, highest)


@dataclass(frozen=True)
class _Scale:
    """The values of one column, in order: `lowest` and `highest` are ordinals beyond its range."""

    dtype: Any
    lowest: np.int64
    highest: np.int64

    def values(self, ordinals: NDArray[np.int64]) -> NDArray[Any]:
        """The values of these ordinals, as the frame holds them."""
        if self.dtype is np.int64:
            return ordinals
        kind, zero = _BITS[self.dtype]
        bits = np.where(ordinals < 0, zero - ordinals, ordinals)
        return bits.astype(kind).view(self.dtype).astype(np.float64)


# For each float: the integer of the same size, and the bits of -0.0.
_BITS: dict[Any, tuple[Any, int]] = {
    np.float32: (np.int32, -(2**31)),
    np.float64: (np.int64, -(2**63)),
}


def _ordinals(values: NDArray[Any]) -> NDArray[np.int64]:
    """Numbers as integers in the same order, so that neighbours differ by 1."""
    if values.dtype == np.int64:
        return values
    kind, zero = _BITS[values.dtype.type]
    bits = values.view(kind).astype(np.int64)
    return np.where(bits < 0, zero - bits, bits)


_COMPARE: dict[bytes, Any] = {
    b"BRANCH_LEQ": np.less_equal,
    b"BRANCH_LT": np.less,
    b"BRANCH_GTE": np.greater_equal,
    b"BRANCH_GT": np.greater,
    b"BRANCH_EQ": np.equal,
    b"BRANCH_NEQ": np.not_equal,
}


@dataclass(frozen=True)
class _Tree:
    """One tree as parallel arrays over its nodes; node 0 is the root, children are -1 at leaves."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    true: NDArray[np.int64]
    false: NDArray[np.int64]
    mode: NDArray[Any]

    def splits(self, rows: NDArray[Any]) -> Iterator[Split]:
        """Each split that some of `rows` [N, F'] reach.

        The row still reaches the split if its feature is set to the threshold, because the threshold is
        inside the range of the splits above.
        """
        pending = [(0, np.arange(len(rows)))]
        while pending:
            node, reaching = pending.pop()
            if self.true[node] < 0 or not reaching.size:
                continue
            feature, threshold = int(self.feature[node]), float(self.threshold[node])
            compare = _COMPARE[self.mode[node]]
            if np.isfinite(threshold) and compare is not np.equal and compare is not np.not_equal:
                yield Split(feature, threshold, int(reaching[0]))
            to_true = compare(rows[reaching, feature], threshold)
            pending.append((int(self.true[node]), reaching[to_true]))
            pending.append((int(self.false[node]), reaching[~to_true]))


def _trees(node: onnx.NodeProto) -> Iterator[_Tree]:
    """The trees of an ensemble in the form of `ai.onnx.ml` 1 to 4."""
    read = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if "nodes_values_as_tensor" in read:
        thresholds = onnx.numpy_helper.to_array(read["nodes_values_as_tensor"]).astype(np.float64)
    else:
        thresholds = np.array(read["nodes_values"], np.float64)
    modes = np.array(read["nodes_modes"], object)
    trees, ids = np.array(read["nodes_treeids"]), np.array(read["nodes_nodeids"])
    features = np.array(read["nodes_featureids"])
    true, false = np.array(read["nodes_truenodeids"]), np.array(read["nodes_falsenodeids"])
    for tree in np.unique(trees):
        nodes = np.flatnonzero(trees == tree)
        place = {int(ids[each]): number for number, each in enumerate(nodes)}
        leaf = modes[nodes] == b"LEAF"
        children = [
            np.array(
                [
                    -1 if end else place[int(child)]
                    for end, child in zip(leaf, side[nodes], strict=True)
                ]
            )
            for side in (true, false)
        ]
        yield _Tree(features[nodes], thresholds[nodes], children[0], children[1], modes[nodes])
