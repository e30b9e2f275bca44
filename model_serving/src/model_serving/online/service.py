"""The class service that BentoML finds by its name, `model_serving.online.service:Inference`.

BentoML imports this module in its supervisor and in each worker, so the objects below must exist after the import;
they read the settings, take the place that a worker's metrics need, and do nothing else. Loading begins with the
worker's lifespan.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from prometheus_client.values import MutexValue, ValueClass
from uvicorn.config import HTTP_PROTOCOLS

from model_serving.online.application import online_application, paths
from model_serving.online.http.connections.protocol import Connection
from model_serving.online.http.dispatcher import Dispatcher
from model_serving.online.http.draining import Draining
from model_serving.online.telemetry.metric_files import reserve_metric_files

if ValueClass is not MutexValue:  # in a worker, whose metrics are kept in files
    reserve_metric_files(Path(BentoMLContainer.prometheus_multiproc_dir.get()))
application = online_application()


class FrontedService(bentoml.Service[Any]):  # type: ignore[misc] # BentoML loads it lazily
    """A service of which one page is answered before BentoML's middleware."""

    def to_asgi(self, is_main: bool = True) -> Dispatcher:
        """What a worker runs. It makes its uvicorn next, and leaves it to that which protocol it takes."""
        HTTP_PROTOCOLS["auto"] = partial(Connection, application.connections)  # type: ignore[assignment] # no name
        return Dispatcher(application.entrance, super().to_asgi(is_main), paths())


@bentoml.service(name="inference", service_class=FrontedService)
@bentoml.asgi_app(application.pages, path="/")
class Inference:
    """The online service; its pages are in `application`, its health answers are BentoML's."""

    async def __is_ready__(self) -> bool:
        """Ready once a model is loaded; `/readyz` gives the reason otherwise."""
        application.refuse_unready()
        return True


Inference.add_asgi_middleware(Draining, readiness=application.readiness)  # type: ignore[attr-defined] # a bentoml.Service
