"""The OpenAPI document of the service, built from the models that validate, and the page that shows it."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from model_serving.online.inference.readiness import Readiness, Serving
from model_serving.online.inference.refusals import CODES, Refusal
from model_serving.online.inference.schemas import EXAMPLE_REQUEST_ID, Answer, LeftOut, PassedAsNaN, RequestShape

REF = "#/components/schemas/{model}"
NOT_STORED = {"Cache-Control": {"description": "answers are not to be kept", "schema": {"const": "no-store"}}}
RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
TIMING = {
    "Server-Timing": {
        "description": "`parse;dur=…, read;dur=…, score;dur=…, rank;dur=…`, in milliseconds",
        "schema": {"type": "string"},
    }
}
MORE_HEADERS: dict[int, dict[str, Any]] = {200: TIMING, 503: RETRY_AFTER}  # besides those of every answer


def openapi(readiness: Readiness) -> dict[str, Any]:
    """OpenAPI 3.1. Before a model is loaded the request's field is not known yet, and the document says so."""
    serving = readiness.serving
    model = readiness.model
    request, schemas = _schemas(serving.shape if serving else None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Twinserve",
            "version": "1",
            "description": f"Serves {model.name}, version {model.version}." if model else f"Not ready: {readiness.why}",
        },
        "tags": [{"name": "inference"}, {"name": "operation", "description": "for those who run the service"}],
        "paths": {
            "/inference": {"post": _inference(request, serving)},
            "/livez": _page("Is the process alive?", {"200": "yes"}),
            "/readyz": _page("Is a model loaded?", {"200": "yes", "503": "no; the text says why"}),
            "/metrics": _page("Metrics for Prometheus", {"200": "in Prometheus's text format"}),
        },
        "components": {"schemas": schemas},
    }


def _schemas(shape: RequestShape | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request's schema, and every named one."""
    models: list[Any] = [(Answer, "serialization"), *([(shape.body, "validation")] if shape else [])]
    names, definitions = models_json_schema(models, ref_template=REF)
    request = names[shape.body, "validation"] if shape else {"type": "object"}
    return request, definitions["$defs"]


def _inference(request: dict[str, Any], serving: Serving | None) -> dict[str, Any]:
    body = {"schema": request} | ({"example": serving.shape.example} if serving else {})
    good = {"200": _answer("The best candidate, and who was left out and why", _good_examples(serving))}
    return {
        "tags": ["inference"],
        "summary": "Choose the best of some candidates",
        "operationId": "inference",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": good | _refusals(serving),
    }


def _good_examples(serving: Serving | None) -> dict[str, Answer]:
    if serving is None:
        return {}
    first, second, *_, last = serving.shape.example[serving.shape.field]
    return {
        "ok": Answer(
            request_id=EXAMPLE_REQUEST_ID,
            prediction=first,
            score=0.75,
            error=None,
            model=serving.serves,
            left_out=(LeftOut(id=last, reason="stale"),),
        ),
        "passed_as_nan": Answer(
            request_id=EXAMPLE_REQUEST_ID,
            prediction=first,
            score=0.75,
            error=None,
            model=serving.serves,
            left_out=(),
            passed_as_nan=(PassedAsNaN(id=second, missing={"a_feature_view": "stale"}),),
        ),
    }


def _refusals(serving: Serving | None) -> dict[str, Any]:
    """One response for each status, with an example for each of its codes."""
    by_status: dict[int, dict[str, Answer]] = {}
    for code, (status, meaning) in CODES.items():
        if code != "method_not_allowed":  # no answer to a POST
            refusal = Refusal(code, meaning)
            refusal.model = serving.serves if serving and code != "model_not_ready" else None
            by_status.setdefault(status, {})[code] = refusal.answer
    return {
        str(status): _answer("; ".join(f"`{code}`: {CODES[code][1]}" for code in answers), answers, status)
        for status, answers in sorted(by_status.items())
    }


def _answer(description: str, examples: dict[str, Answer], status: int = 200) -> dict[str, Any]:
    shown = {name: {"value": answer.model_dump(mode="json")} for name, answer in examples.items()}
    content = {"application/json": {"schema": {"$ref": REF.format(model="Answer")}, "examples": shown}}
    headers = NOT_STORED | MORE_HEADERS.get(status, {})
    return {"description": description, "headers": headers, "content": content}


def _page(summary: str, meanings: dict[str, str]) -> dict[str, Any]:
    """GET, and HEAD, which some load balancers use."""
    text = {"text/plain": {"schema": {"type": "string"}}}
    told = {
        status: {"description": meaning} | ({"headers": RETRY_AFTER} if status == "503" else {})
        for status, meaning in meanings.items()
    }
    full = {status: described | {"content": text} for status, described in told.items()}
    return {
        "get": {"tags": ["operation"], "summary": summary, "responses": full},
        "head": {"tags": ["operation"], "summary": f"{summary} Without a text", "responses": told},
    }


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Twinserve</title>
  <link rel="stylesheet" href="static_content/swagger-ui.css">
  <link rel="icon" href="data:,">
  <style>
    body { margin: 0; background: #fafafa; }
    .swagger-ui .wrapper { max-width: 1100px; }
    .swagger-ui .info { margin: 30px 0 10px; }
    .swagger-ui .operation-servers { display: none; }
    .swagger-ui .body-param__text { min-height: 200px; }
  </style>
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="static_content/swagger-ui-bundle.js" charset="utf-8"></script>
  <script src="docs.js" charset="utf-8"></script>
</body>
</html>
"""

SCRIPT = """\
SwaggerUIBundle({
  url: "docs.json",
  dom_id: "#swagger-ui",
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: null,
  onComplete: () => document.querySelector("[id$='-inference'] .opblock-summary-control")?.click(),
});
"""

# nothing but our own files; Swagger UI sets styles and uses data: images
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    "Cache-Control": "no-cache",
}
