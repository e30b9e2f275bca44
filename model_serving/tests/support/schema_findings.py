"""A check that Schemathesis loads beside its own: what an answer carries, the document tells of."""

from __future__ import annotations

from typing import Any

import schemathesis

# of every HTTP answer, whatever the service
OF_HTTP = {"date", "connection", "content-length", "content-type", "keep-alive", "transfer-encoding"}


@schemathesis.check
def documented_headers(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Each header of the answer is in the document, under the answer's own status."""
    told = case.operation.definition.raw.get("responses", {}).get(str(response.status_code), {})
    unsaid = set(response.headers) - {name.lower() for name in told.get("headers", {})} - OF_HTTP
    if told and unsaid:  # an answer that is not told of at all is another check's finding
        raise AssertionError(f"{response.status_code}: not in the document: {', '.join(sorted(unsaid))}")
