"""An ensemble of trees as an ONNX graph, in double, that adds up in the order in which scikit-learn does.

The operator is `TreeEnsemble` of ai.onnx.ml 5, at https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html; the
older ones give float32 only. It adds the trees of a row one after the other, beginning with zero; the ensemble's
start is the first tree, so that every intermediate sum, and with it the result, has the bits that scikit-learn's has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_pipeline.onnx_form.trees import Ensemble, NotConvertible, Tree, constant_tree
from twinserve.model.row_order import Cut

INPUT, OUTPUT = "rows", "raw"
OPSETS = {"": 18, "ai.onnx.ml": 5}
IR_VERSION = 10
MOST_NODES = 2_000_000  # more make a file of over 100 MB, which every start of a service would load
CELLS = 2**14  # of the grid by which rows are sorted: about one row of a chunk in each


def tree_model(ensemble: Ensemble, columns: int) -> Any:
    """The graph: (rows, columns) double → (rows, 1) double, before the link.

    Raises:
        NotConvertible: it is too large.
    """
    from onnx import TensorProto, checker, helper

    trees = [tree if tree.splits[0] else constant_tree(float(tree.value[0])) for tree in ensemble.trees]
    trees = ([constant_tree(ensemble.start)] if ensemble.start else []) + trees
    if (nodes := sum(len(tree.leaf) for tree in trees)) > MOST_NODES:
        raise NotConvertible(f"its trees have {nodes:,} nodes")
    steps, constants = _steps(ensemble, trees)
    graph = helper.make_graph(
        steps,
        "trees",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, columns])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [None, 1])],
        constants,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    checker.check_model(model)
    return model


def _steps(ensemble: Ensemble, trees: list[Tree]) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper, numpy_helper

    steps, constants = [], []
    seen, summed = INPUT, OUTPUT if ensemble.divisor == 1 else "sum"
    if ensemble.single:
        seen = "rounded"
        steps += [
            helper.make_node("Cast", [INPUT], ["single"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["single"], [seen], to=TensorProto.DOUBLE),
        ]
    steps.append(helper.make_node("TreeEnsemble", [seen], [summed], domain="ai.onnx.ml", **_attributes(trees)))
    if ensemble.divisor != 1:
        constants.append(numpy_helper.from_array(np.array([ensemble.divisor]), "divisor"))
        steps.append(helper.make_node("Div", [summed, "divisor"], [OUTPUT]))
    return steps, constants


def _attributes(trees: list[Tree]) -> dict[str, Any]:
    """Splits and leaves of all trees, each numbered on their own."""
    from onnx import numpy_helper

    splits = np.concatenate([tree.splits for tree in trees])
    number = np.where(splits, np.cumsum(splits), np.cumsum(~splits)) - 1
    first = np.cumsum([0, *(len(tree.leaf) for tree in trees)])[:-1]
    children = {
        "true": np.concatenate([tree.left + at for tree, at in zip(trees, first, strict=True)])[splits],
        "false": np.concatenate([tree.right + at for tree, at in zip(trees, first, strict=True)])[splits],
    }
    parts = {name: _joined(trees, name) for name in ("feature", "threshold", "nan_left", "value")}
    return {
        "n_targets": 1,
        "post_transform": 0,  # none
        "aggregate_function": 1,  # sum
        "tree_roots": number[first].tolist(),
        "nodes_featureids": parts["feature"][splits].tolist(),
        "nodes_modes": numpy_helper.from_array(np.zeros(splits.sum(), np.uint8), "modes"),  # at most
        "nodes_splits": numpy_helper.from_array(parts["threshold"][splits], "splits"),
        "nodes_missing_value_tracks_true": parts["nan_left"][splits].astype(np.int64).tolist(),
        **{f"nodes_{side}nodeids": number[child].tolist() for side, child in children.items()},
        **{f"nodes_{side}leafs": (~splits[child]).astype(np.int64).tolist() for side, child in children.items()},
        "leaf_targetids": np.zeros((~splits).sum(), np.int64).tolist(),
        "leaf_weights": numpy_helper.from_array(parts["value"][~splits], "weights"),
    }


def _joined(trees: list[Tree], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(tree, name) for tree in trees])


def thresholds(ensemble: Ensemble) -> dict[int, NDArray[np.float64]]:
    """Every finite threshold of each feature that is split on, once for each split; ascending."""
    if not ensemble.trees:
        return {}
    splits = _joined(ensemble.trees, "leaf") == 0
    feature, at = _joined(ensemble.trees, "feature")[splits], _joined(ensemble.trees, "threshold")[splits]
    finite = np.isfinite(at)
    return {int(one): np.sort(at[finite & (feature == one)]) for one in np.unique(feature[finite])}


def choose_cuts(found: dict[int, NDArray[np.float64]]) -> tuple[Cut, ...]:
    """A grid for `twinserve.model.row_order`: the more often a feature is split on, the finer it is cut."""
    distinct = {feature: np.unique(at) for feature, at in found.items()}
    buckets = dict.fromkeys(found, 1)
    while np.prod(list(buckets.values()), dtype=float) * 2 <= CELLS:
        open_ones = [feature for feature, count in buckets.items() if count * 2 <= len(distinct[feature]) + 1]
        if not open_ones:
            break
        buckets[max(open_ones, key=lambda feature: len(found[feature]) / buckets[feature])] *= 2
    ranked = sorted((f for f in buckets if buckets[f] > 1), key=lambda feature: -len(found[feature]))
    return tuple(Cut(feature=f, edges=_quantiles(found[f], buckets[f])) for f in ranked)


def _quantiles(sample: NDArray[np.float64], parts: int) -> tuple[float, ...]:
    edges = np.quantile(sample, np.linspace(0, 1, parts + 1)[1:-1], method="inverted_cdf")
    return tuple(np.unique(edges).tolist())
