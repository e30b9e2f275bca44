"""Runtime `local`: a pipeline command as a process of the Airflow worker, from the pipelines' own environment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from command_line import given, without_passwords
from command_outcome import outcome
from command_process import CommandProcess
from result_parts import handed_on

if TYPE_CHECKING:
    from airflow.sdk import Context

VENV_SETTING = "TWINSERVE_VENV"


class LocalCommand(BaseOperator):
    """Runs a console script without a shell; its output is the task's log, its last line of output the XCom.

    Args:
        command: console script and subcommands.
        options: option names and (templated) values; an empty value drops the option.
        part: further options, those of one part where the task is mapped.
        parts: the field of the result that counts the parts over which the next task is mapped.
    """

    template_fields = ("options",)
    template_fields_renderers = {"options": "json"}  # noqa: RUF012 - declared so by Airflow

    def __init__(
        self,
        *,
        command: Sequence[str],
        options: Mapping[str, str],
        part: Mapping[str, str] | None = None,
        parts: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.command = list(command)
        self.options = dict(options)
        self.part = dict(part or {})
        self.parts = parts
        self._process: CommandProcess | None = None
        self._killed = False

    def execute(self, context: Context) -> Any:
        """Run the command.

        Returns:
            The JSON object that the command printed last, or its parts: see `handed_on`.

        Raises:
            AirflowFailException: trying again won't help: bad input, wrong usage, a bug, no such command.
            AirflowException: it may.
        """
        words = [str(console_script(self.command[0])), *self.command[1:], *given(self.options | self.part)]
        self.log.info("Running %s", without_passwords(shlex.join(words)))
        self._process = CommandProcess(words, command_environment(os.environ), self.log.info)
        if self._killed:  # before there was a process to be told
            self._process.stop()
        try:
            code = self._process.run()
        except BaseException:
            self.on_kill()
            raise
        result = outcome(" ".join(self.command), code, self._process.last_output, self._process.last_error)
        return handed_on(result, self.parts, context)

    def on_kill(self) -> None:
        """Stop the command and everything that it started; one that has not begun is stopped as soon as it does."""
        self._killed = True
        if self._process:
            self._process.stop()


def console_script(name: str) -> Path:
    """The script in the virtual environment that `TWINSERVE_VENV` names.

    Raises:
        AirflowFailException: the setting or the script is missing.
    """
    venv = os.environ.get(VENV_SETTING)
    if not venv:
        raise AirflowFailException(f"{VENV_SETTING} is not set. Set it to the pipelines' virtual environment")
    script = Path(venv) / "bin" / name
    if not os.access(script, os.X_OK):
        raise AirflowFailException(f"no command {script}. Run `make setup`, or correct {VENV_SETTING}")
    return script


def command_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The worker's environment without Airflow's own settings, among them its database and its secrets."""
    own = {name: value for name, value in environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
    return {"TWINSERVE_LOG_FORMAT": "text", **own, "PYTHONUNBUFFERED": "1"}
