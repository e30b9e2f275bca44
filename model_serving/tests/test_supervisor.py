"""The supervisor's thread before it has begun."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from model_serving.online.process.supervisor import Supervisor


def test_one_that_has_no_loop_yet_is_waited_for() -> None:
    began = threading.Event()
    arbiter = SimpleNamespace(loop=None, _stopping=False, _thread=threading.Thread(target=began.wait, args=(30,)))
    arbiter._thread.start()
    threading.Timer(0.3, began.set).start()
    Supervisor(SimpleNamespace(arbiter=arbiter)).stop()
    assert not arbiter._thread.is_alive()
