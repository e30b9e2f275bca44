"""Third step: score the extracted rows; one output row per input row, in input order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from model_serving.batch.output import Finished, Source
from model_serving.batch.publishing import done, finished_of, publish
from model_serving.batch.run import BatchRun
from model_serving.batch.shard_scoring import score_shard
from model_serving.batch.shards import shard_name
from twinserve.errors import BadInput, ContractMismatch
from twinserve.registry import ServedModel
from twinserve.steps.ledger import Ledger
from twinserve.steps.progress import RowProgress

LoadVersion = Callable[[str], ServedModel]


def batch_prediction(run: BatchRun, load_version: LoadVersion, shard: int | None = None) -> dict[str, Any]:
    """Write the run's output; a finished one is reported again as it is, however champion and features have moved on.

    Args:
        load_version: loads the pinned version, checked.
        shard: do this one only, and tell of it alone; whoever does the last one publishes all of them.

    Raises:
        BadInput: there is no such shard, or something else lies in the output's place. Or the run is of another model,
            or of other definitions.
        StepMissing: an earlier step has not run.
        LedgerMismatch: rows that were extracted have neither a score nor a reason.
        ContractMismatch: the pinned version's artifact is damaged, or its name stands for another model by now.
        TransientError: MLflow can't be reached, the disk is full, or another step of the run is at work.
    """
    with run.alone("batch-prediction") if shard is None else run.alone_with(shard):
        return _predicted(run, load_version, shard)


def _predicted(run: BatchRun, load_version: LoadVersion, shard: int | None) -> dict[str, Any]:
    began = time.monotonic()
    finished_before = finished_of(run)
    sources = finished_before.facts if finished_before else _sources(run)
    wanted = sources if shard is None else [_one(run, sources, shard)]
    rows = 0 if finished_before else _score(run, load_version, wanted)
    finished = finished_before or publish(run, sources)
    seconds = time.monotonic() - began
    told = _told(run, finished, wanted)
    extracted = told.rows if finished_before else _extracted_rows(run, wanted)
    ledger = Ledger(extracted, {"predicted": told.predicted}, told.left_out)
    return {
        **({} if shard is None else {"shard": shard, "shards": len(sources)}),
        **_figures(told),
        "ledger": ledger.balanced(f"batch-prediction of run {run.key!r}").to_dict(),
        "output": str(run.output),
        "published": finished is not None,
        "finished_before": finished_before is not None,
        "seconds": round(seconds, 3),
        "rows_per_second": round(rows / max(seconds, 1e-3)),
    }


def _sources(run: BatchRun) -> list[Source]:
    extraction, pin = run.needed_extraction(), run.needed_pin()
    service = pin.contract.feature_service
    again = f"Run `model-serving batch feature-store-init --run-key {run.key}` and data-extraction again"
    run.refuse_others(pin.model_name, service, extraction.definitions, again)
    return [
        Source(
            run_key=run.key,
            input_digest=extraction.input_digest,
            model_name=pin.model_name,
            model_version=pin.model_version,
            shard=shard,
            shards=extraction.shards,
            feature_service=service,
            definitions=extraction.definitions,
        )
        for shard in range(extraction.shards)
    ]


def _one(run: BatchRun, sources: Sequence[Source], shard: int) -> Source:
    if not 0 <= shard < len(sources):
        raise BadInput(
            f"run {run.key!r} has no shard {shard}", fix=f"Take one from 0 to {len(sources) - 1}, or leave --shard out"
        )
    return sources[shard]


def _score(run: BatchRun, load_version: LoadVersion, wanted: Sequence[Source]) -> int:
    """Score what is not done yet; gives the number of rows."""
    extraction, model = run.needed_extraction(), None
    with RowProgress("predict", _extracted_rows(run, wanted)) as progress:
        for source in wanted:
            # in this order: what is no longer among the unfinished was published
            if done(run, source) or Finished.read(run.output):
                continue
            model = model or _pinned(run, load_version)
            score_shard(run, extraction, source, model, progress)
    return progress.rows


def _extracted_rows(run: BatchRun, wanted: Sequence[Source]) -> int:
    extraction = run.needed_extraction()
    return sum(extraction.rows_of(source.shard) for source in wanted)


def _pinned(run: BatchRun, load_version: LoadVersion) -> ServedModel:
    pin = run.needed_pin()
    model = load_version(pin.model_version)
    if (model.name, model.contract) != (pin.model_name, pin.contract):
        raise ContractMismatch(
            f"{model.name} version {model.version} is not the {pin.model_name} version {pin.model_version} that run "
            f"{run.key!r} is pinned to: its contract is another",
            fix="Is TWINSERVE_MLFLOW_URI still the same? Otherwise begin with another run key",
        )
    return model


def _told(run: BatchRun, finished: Finished | None, wanted: Sequence[Source]) -> Finished:
    """What the result tells of: the files of `wanted`, wherever they are by now."""
    if finished:
        return finished.only([source.shard for source in wanted])
    facts = tuple(found for source in wanted if (found := done(run, source)))
    return Finished(run.unfinished, tuple(run.unfinished / shard_name(found.shard) for found in facts), facts)


def _figures(found: Finished) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "predicted": found.predicted,
        "left_out": found.left_out,
        "passed_as_nan": None if found.passed_as_nan is None else found.passed_as_nan.model_dump(),
        "scores": found.scores.figures(),
        "files": len(found.files),
        "bytes": sum(file.stat().st_size for file in found.files),
        "model_name": found.model_name,
        "model_version": found.model_version,
    }
