"""The folders of the pipelines bear the names of their packages: the packages must be there first.

Pytest would otherwise take `data_pipeline/`, say, for the package, and its modules would not be found.
"""

import os
import signal

import pytest

# as the commands do (twinserve.command.containment); read when the first library that uses them is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# a shell starts what runs in its background with Ctrl-C ignored, and so would be what the tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import data_pipeline
import model_serving
import training_pipeline


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The profile that `make mutation` asks for: the same few examples for every change, and none made smaller."""
    if config.getoption("hypothesis_profile", None) == "mutation":
        from hypothesis import HealthCheck, Phase, settings

        settings.register_profile(
            "mutation",
            derandomize=True,
            database=None,
            deadline=None,
            max_examples=40,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of single tests; pytest asks only this file for them."""
    parser.addoption("--soak-minutes", type=float, default=1.0, help="how long model_serving/tests/test_soak.py loads")
    parser.addoption("--data-path-minutes", type=float, help="how long tests/test_data_path.py tries new sequences")
    parser.addoption("--kills", type=int, default=10, help="how often `make test-kills` disturbs each step")


__all__ = ["data_pipeline", "model_serving", "training_pipeline"]
