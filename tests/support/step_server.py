"""Runs the pipelines' commands, each in a process of its own that has the imports behind it.

Started as a program: each line on standard input is an `Asked` as a JSON object, the answer is one line, the exit code.
A command that is to stop answers `stopped` first, and goes on at the next line.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from disk_acts import Acts

COMMANDS = {
    "data-pipeline": "data_pipeline",
    "training-pipeline": "training_pipeline",
    "model-serving": "model_serving",
}
MODELS = (
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "onnxruntime",
    "skops.io",
)
IMPORTED = {
    "data-pipeline": (
        "data_pipeline.cli",
        "data_pipeline.clean",
        "data_pipeline.ingest",
        "data_pipeline.validate",
        "feast.repo_operations",
        "pandera.strategies",
        "twinserve.features.materialization.materialize",
    ),
    "training-pipeline": (
        "training_pipeline.cli",
        "training_pipeline.labels",
        "training_pipeline.onnx_form.choice",
        "training_pipeline.plots",
        "training_pipeline.steps.data_validation",
        "training_pipeline.steps.model_evaluation",
        "training_pipeline.steps.model_training",
        "training_pipeline.steps.model_validation",
        "alembic.command",
        "git",
        "onnx",
        *MODELS,
    ),
    "model-serving": (
        "model_serving.cli",
        "model_serving.batch.batch_prediction",
        "model_serving.batch.data_extraction",
        "model_serving.batch.feature_store_init",
        *MODELS,
    ),
}


@dataclass(frozen=True)
class Asked:
    """One command.

    Attributes:
        output: a file for both outputs.
        kinds: of the acts on disks and servers that are counted; see `disk_acts`.
        kill_at: the act before which the process is killed by SIGKILL; null to let it end.
        stop_at: the act before which it stops.
        acts: a file for the names of all acts that it came to; empty for none.
    """

    script: str
    arguments: list[str]
    environment: dict[str, str]
    output: str
    kinds: list[str]
    kill_at: int | None
    stop_at: int | None
    acts: str


def main() -> None:
    """Import what every step of the scripts named on the command line imports, then fork for each line."""
    from twinserve.command.containment import keep_metrics_in_memory

    keep_metrics_in_memory()
    for script in sys.argv[1:]:
        for module in IMPORTED[script]:
            importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(Asked(**json.loads(line)))
        _answer(_ended(child))


def _ended(child: int) -> str:
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return str(os.waitstatus_to_exitcode(status))
        _answer("stopped")
        sys.stdin.readline()
        os.kill(child, signal.SIGCONT)


def _answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(asked: Asked) -> None:
    os.environ.update(asked.environment)
    target = os.open(asked.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(target, stream)
    command = importlib.import_module(f"{COMMANDS[asked.script]}.cli").main
    sys.argv = [asked.script, *asked.arguments]
    acts = Acts(frozenset(asked.kinds), asked.environment.get("TWINSERVE_HOME", "/"), asked.kill_at, asked.stop_at)
    acts.watch()
    code = 70
    try:
        command()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        acts.over = True
        if asked.acts:
            Path(asked.acts).write_text("\n".join(acts.seen), encoding="utf-8")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
