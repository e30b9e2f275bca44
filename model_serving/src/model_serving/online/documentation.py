"""The OpenAPI document of the service, built from the models that validate, and the page that shows it."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from model_serving.online.readiness import Readiness
from model_serving.online.refusal import CODES
from model_serving.online.wire import Answer, RequestShape

REF = "#/components/schemas/{model}"
RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}


def openapi(readiness: Readiness) -> dict[str, Any]:
    """OpenAPI 3.1. Before a model is loaded the request's field is not known yet, and the document says so."""
    serving = readiness.serving
    about = f"Serves {serving.plane.serves.name} version {serving.plane.serves.version}." if serving else ""
    request, schemas = _schemas(serving.shape if serving else None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Twinserve",
            "version": "1",
            "description": about or f"Not ready: {readiness.why}",
        },
        "paths": {
            "/inference": {"post": _inference(request, serving.shape.example if serving else None)},
            "/livez": {"get": _probe("Is the process alive?", {"200": "yes"})},
            "/readyz": {"get": _probe("Is a model loaded?", {"200": "yes", "503": "no; the text says why"})},
            "/metrics": {"get": _probe("Metrics for Prometheus", {"200": "in Prometheus's text format"})},
        },
        "components": {"schemas": schemas},
    }


def _schemas(shape: RequestShape | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request's schema, and every named one."""
    models: list[Any] = [(Answer, "serialization"), *([(shape.body, "validation")] if shape else [])]
    names, definitions = models_json_schema(models, ref_template=REF)
    request = names[(shape.body, "validation")] if shape else {"type": "object"}
    return request, definitions["$defs"]


def _inference(request: dict[str, Any], example: dict[str, Any] | None) -> dict[str, Any]:
    body = {"schema": request} | ({"example": example} if example else {})
    return {
        "summary": "Choose the best of some candidates",
        "operationId": "inference",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {"200": _answer("The best candidate, and who was left out and why")} | _refusals(),
    }


def _refusals() -> dict[str, Any]:
    """One response for each status, listing its codes."""
    by_status: dict[int, list[str]] = {}
    for code, (status, meaning) in CODES.items():
        if code != "method_not_allowed":  # no answer to a POST
            by_status.setdefault(status, []).append(f"`{code}`: {meaning}")
    return {str(status): _answer("; ".join(lines), status) for status, lines in sorted(by_status.items())}


def _answer(description: str, status: int = 200) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": REF.format(model="Answer")}}}
    again = {"headers": RETRY_AFTER} if status == 503 else {}  # noqa: PLR2004 - the one status that asks to come back
    return {"description": description, "content": content} | again


def _probe(summary: str, responses: dict[str, str]) -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": summary,
        "responses": {status: {"description": d, "content": text} for status, d in responses.items()},
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
