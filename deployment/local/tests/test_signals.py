"""A signal that comes while programs are started or stopped waits until that is done."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from twinserve.command.signals import undisturbed
from twinserve.command.stop import Stopped
from twinserve_local.signals import leave_on_hangup


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as on a terminal: whoever starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_signal_waits_for_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_hang_up_ends_us_in_order() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        leave_on_hangup()
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
