"""A fitted estimator as an ONNX file that `twinserve.model.onnx_scorer` reads."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training_pipeline.onnx_form.tree_graph import INPUT, choose_cuts, thresholds, tree_model
from training_pipeline.onnx_form.trees import Ensemble, NotConvertible, read_ensemble
from twinserve.contract import Contract
from twinserve.missing import Matrix
from twinserve.model.onnx_scorer import METADATA_KEY, Usage

logger = logging.getLogger(__name__)
SAMPLE = 10_000  # rows that tell how a transformer maps values
GENERAL_OPSETS = {"": 18, "ai.onnx.ml": 3}  # the newest that skl2onnx writes in double


@dataclass(frozen=True)
class Converted:
    """A graph and how it is used.

    Attributes:
        thresholds: per feature, where the estimator's trees split, ascending; empty where it has none.
    """

    model: Any
    usage: Usage
    thresholds: dict[int, NDArray[np.float64]]

    def content(self, usage: Usage) -> bytes:
        """The file, with `usage` in its metadata; the same bytes for the same model."""
        from onnx import ModelProto, helper

        model = ModelProto()
        model.CopyFrom(self.model)
        helper.set_model_props(model, {METADATA_KEY: usage.model_dump_json()})
        return bytes(model.SerializeToString(deterministic=True))


def convert(estimator: Any, contract: Contract, known: Matrix) -> Converted:
    """The estimator's ONNX form, in double throughout.

    Trees by our own builder, since skl2onnx writes theirs in float32 and histogram boosting not at all; anything else,
    and what stands before trees in a pipeline, by skl2onnx.

    Args:
        known: (rows, features) that the estimator scores.

    Raises:
        NotConvertible: says why there is none.
    """
    output, columns = contract.output, len(contract.columns)
    positive = list(estimator.classes_).index(output.positive_class) if output.method == "predict_proba" else None
    before, last = _split(estimator)
    ensemble = read_ensemble(last, positive)
    if ensemble is None:
        model = _general(estimator, columns, "probabilities" if positive is not None else "variable")
        return Converted(model, Usage(column=positive or 0), {})
    model, splits = tree_model(ensemble, last.n_features_in_), thresholds(ensemble)
    if before is not None:
        model = _joined(_general(before, columns, "variable"), model)
        splits = _seen_before(splits, known[:SAMPLE], before)
    return Converted(model, Usage(link=_link(ensemble), order=choose_cuts(splits)), splits)


def _seen_before(splits: dict[int, NDArray[np.float64]], known: Matrix, before: Any) -> dict[int, NDArray[np.float64]]:
    """Where trees behind a transformer split, in about the values that it is given.

    Each threshold becomes the known value of the same rank; right for a transformer that keeps columns and their
    order, as a scaler does. For another it is of no use, and of no harm: rows are sorted by it, not scored.
    """
    behind = before.transform(known)
    if not isinstance(behind, np.ndarray) or behind.shape != known.shape:
        return {}
    found = {}
    for column, at in splits.items():
        new, old = (np.sort(values[np.isfinite(values)]) for values in (behind[:, column], known[:, column]))
        if len(new) == len(old) > 0:
            found[column] = np.interp(at, new, old)
    return found


def _link(ensemble: Ensemble) -> Literal["identity", "logit", "logit_complement", "log"]:
    return "logit_complement" if ensemble.link == "logit" and ensemble.column == 0 else ensemble.link


def _split(estimator: Any) -> tuple[Any | None, Any]:
    from sklearn.pipeline import Pipeline

    if not isinstance(estimator, Pipeline):
        return None, estimator
    return (estimator[:-1] if len(estimator.steps) > 1 else None), estimator.steps[-1][1]


def _general(estimator: Any, columns: int, wanted: str) -> Any:
    """skl2onnx's graph, cut down to the output that is wanted."""
    from onnx import TensorProto
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    options = {id(estimator): {"zipmap": False}} if wanted == "probabilities" else None
    try:
        types = [(INPUT, DoubleTensorType([None, columns]))]
        model = convert_sklearn(estimator, "model", types, options=options, target_opset=GENERAL_OPSETS, naming="step")
        kinds = {output.name: output.type.tensor_type.elem_type for output in model.graph.output}
        model = select_model_inputs_outputs(model, wanted)
    except Exception as error:  # converters fail in any way: a class unknown to them, an attribute that has moved
        raise NotConvertible(f"skl2onnx can't convert it: {_first_line(error)}") from error
    if kinds[wanted] != TensorProto.DOUBLE:
        raise NotConvertible("skl2onnx converts it to float32 only")
    return model


def _joined(before: Any, trees: Any) -> Any:
    from onnx import compose, version_converter

    output = before.graph.output[0].name
    try:
        raised = version_converter.convert_version(before, 18)
        trees = compose.add_prefix(trees, "trees_")
        for opset in raised.opset_import:
            opset.version = 5 if opset.domain == "ai.onnx.ml" else opset.version
        raised.ir_version = trees.ir_version
        return compose.merge_models(raised, trees, io_map=[(output, f"trees_{INPUT}")])
    except Exception as error:
        raise NotConvertible(f"what stands before its trees can't be joined to them: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
