"""A result that the next task is mapped over: one instance of that task for each part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

RESULT_KEY = "result"


def handed_on(result: dict[str, Any], parts: str, context: Context) -> dict[str, Any] | list[dict[str, str]]:
    """What becomes the task's XCom.

    Airflow maps over a task's returned list and over nothing else. So a task that has parts returns the options that
    tell them apart, and its result goes under the key `result`.

    Args:
        result: of the command.
        parts: the field of it that counts the parts; empty: there are none, and the result is returned.

    Raises:
        AirflowFailException: the field counts nothing.
    """
    if not parts:
        return result
    count = result.get(parts)
    if not isinstance(count, int) or count < 1:
        raise AirflowFailException(f"the command's result has no count of {parts}: {str(result)[:200]}")
    context["ti"].xcom_push(key=RESULT_KEY, value=result)
    return [{f"--{parts.removesuffix('s')}": str(part)} for part in range(count)]
