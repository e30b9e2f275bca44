"""`training-pipeline`: from labels and features to a registered, validated champion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from twinserve.command.console import report, run_app

if TYPE_CHECKING:
    import pyarrow as pa

    from training_pipeline.labels import LabelColumns
    from training_pipeline.params import Labels, Params
    from training_pipeline.run_folder import RunFolder
    from twinserve.contract import Contract
    from twinserve.features.feast_repo.views import ServiceSpec
    from twinserve.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)
RunKey = Annotated[str, typer.Option(help="names the run; its steps hand each other files under this name")]


@app.callback()
def commands() -> None:
    """The steps, in order: feature-store-init, data-extraction, data-validation, data-preparation, model-training,
    model-evaluation, model-validation."""


@app.command()
def feature_store_init(run_key: RunKey) -> None:
    """Apply the feature definitions, check the feature service, and fix this run's parameters."""
    from training_pipeline.params import load_params
    from training_pipeline.steps.feature_store_init import init_feature_store
    from twinserve.embedded.redis import leased_redis
    from twinserve.features.feast_repo.registry_state import joined_definitions
    from twinserve.features.feast_repo.service import describe_service
    from twinserve.features.feast_repo.store import apply_definitions, open_store
    from twinserve.settings import load_settings

    settings = load_settings()
    params = load_params(settings.training_params)
    with _step("feature-store-init", settings, run_key) as run, leased_redis(settings) as redis_url:
        result = init_feature_store(
            run,
            params,
            apply=lambda: apply_definitions(settings, redis_url),
            describe=lambda name: describe_service(open_store(settings, redis_url), name),
            draft=_draft_contract,
            bind=lambda: run.bind(settings.model_name, joined_definitions(settings, params.feature_service)),
        )
        report(result)


@app.command()
def data_extraction(
    run_key: RunKey,
    labels: Annotated[str, typer.Option(help="a file of labels, in place of those that params.yaml names")] = "",
) -> None:
    """Join labels with the features of their moment."""
    from training_pipeline.labels import LabelColumns
    from training_pipeline.steps.data_extraction import extract_data
    from training_pipeline.target_values import target_type
    from twinserve.embedded.redis import leased_redis
    from twinserve.features.feast_repo.store import open_store
    from twinserve.features.offline_store.join_state import join_state
    from twinserve.settings import load_settings

    settings = load_settings()
    with _step("data-extraction", settings, run_key) as run:
        run.begin("data-extraction")
        params, contract = run.params(), run.contract()
        keys: dict[str, str] = {key.name: key.dtype for key in contract.join_keys}
        named = params.labels
        kind = target_type(params.output.positive_class)
        columns = LabelColumns(keys, named.timestamp, named.target, kind, named.rename)
        place, pieces = _labels(settings, named, labels, columns)
        with leased_redis(settings) as redis_url:
            store = open_store(settings, redis_url)

            def join(source: Path, target: Path) -> int:
                service = store.get_feature_service(contract.feature_service)
                job = store.get_historical_features(
                    entity_df=str(source), features=service, full_feature_names=contract.full_feature_names
                )
                return int(job.write_parquet(target, event_times=True))

            state = partial(join_state, store, contract.feature_service)
            report(extract_data(run, columns, pieces, place, join, state))


@app.command()
def data_validation(run_key: RunKey) -> None:
    """Check schema, targets, balance, missing values and skew; refuse what is not fit to train on."""
    from training_pipeline.steps.data_validation import validate_data
    from twinserve.settings import load_settings

    with _step("data-validation", load_settings(), run_key) as run:
        report(validate_data(run))


@app.command()
def data_preparation(run_key: RunKey) -> None:
    """Leave out rows that can't be scored, split by time."""
    from training_pipeline.steps.data_preparation import prepare_data
    from twinserve.settings import load_settings

    with _step("data-preparation", load_settings(), run_key) as run:
        report(prepare_data(run))


@app.command()
def model_training(run_key: RunKey) -> None:
    """Fit the candidate and log it."""
    from training_pipeline.steps.model_training import train_model
    from training_pipeline.tracking import Tracking
    from twinserve.settings import load_settings

    settings = load_settings()
    with _step("model-training", settings, run_key) as run:
        report(train_model(run, Tracking(settings)))


@app.command()
def model_evaluation(run_key: RunKey) -> None:
    """Measure candidate, baselines and champion on the test rows."""
    from training_pipeline.steps.model_evaluation import evaluate_model
    from training_pipeline.tracking import Tracking
    from twinserve.registry import Registry
    from twinserve.settings import load_settings

    settings = load_settings()
    with _step("model-evaluation", settings, run_key) as run:
        report(evaluate_model(run, Registry(settings), Tracking(settings)))


@app.command()
def model_validation(run_key: RunKey) -> None:
    """Register the candidate and make it champion, if it passes every check."""
    from training_pipeline.steps.model_validation import validate_model
    from twinserve.files.locks import one_at_a_time
    from twinserve.registry import Registry
    from twinserve.settings import load_settings

    settings = load_settings()
    # or two runs that were compared with the same champion would both take its place
    in_turn = one_at_a_time(settings.home / "locks" / f"champion-{settings.model_name}")
    with _step("model-validation", settings, run_key) as run, in_turn:
        report(validate_model(run, Registry(settings)))


def main() -> NoReturn:
    """The console script."""
    run_app(app)


@contextmanager
def _step(step: str, settings: Settings, run_key: str) -> Iterator[RunFolder]:
    """The run's folder, for a block in which no other step works on it; refused where the run began with others."""
    from training_pipeline.params import load_params
    from training_pipeline.run_folder import STEPS, RunFolder
    from twinserve.features.feast_repo.registry_state import joined_definitions

    run = RunFolder(settings.scratch("training_pipeline", run_key), run_key)
    with run.alone(step):
        if step == STEPS[0]:
            run.refuse_other_model(settings.model_name)
        else:
            params = load_params(settings.training_params)
            run.refuse_others(settings.model_name, params, joined_definitions(settings, run.params().feature_service))
        yield run


def _draft_contract(service: ServiceSpec, params: Params) -> Contract:
    from training_pipeline.estimators import libraries_of, stated_tolerance
    from twinserve.contract import build_contract, library_versions

    return build_contract(
        service,
        output=params.contract_output,
        missing=params.missing,
        tolerance=stated_tolerance(params.model, params.tolerance),
        libraries=library_versions(libraries_of(params.model)),
        golden=(),
    )


def _labels(settings: Settings, named: Labels, given: str, columns: LabelColumns) -> tuple[str, Iterator[pa.Table]]:
    """Where the labels are, and the labels."""
    from training_pipeline.database_labels import database_labels
    from training_pipeline.labels import file_labels

    file = Path(given) if given else named.file
    if file is not None:
        return str(file), file_labels(file, columns)
    table = named.table or ""
    return f"table {table}", database_labels(settings.source_database, table, columns)
