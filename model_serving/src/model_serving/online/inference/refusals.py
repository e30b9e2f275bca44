"""Every way in which `/inference` says no, and the HTTP status that goes with it."""

from __future__ import annotations

from model_serving.online.inference.schemas import Answer, LeftOut, Model, Problem

RETRY_AFTER = 1  # seconds, of what is over in a moment


class Refusal(Exception):
    """An answer without a prediction.

    Args:
        code: stable name of what is wrong; one of `CODES`.
        message: what is wrong, in words.
        field: the part of the request that it is about.
        retry_after: seconds after which the same request may succeed.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        request_id: str | None = None,
        left_out: tuple[LeftOut, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.field = code, message, field
        self.request_id, self.left_out, self.retry_after = request_id, left_out, retry_after
        self.model: Model | None = None  # known to the transport, which sets it

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.code][0]

    @property
    def answer(self) -> Answer:
        """The body, in the shape of every answer."""
        return Answer(
            request_id=self.request_id,
            prediction=None,
            score=None,
            error=Problem(code=self.code, message=self.message, field=self.field),
            model=self.model,
            left_out=self.left_out,
        )

    @property
    def headers(self) -> dict[str, str]:
        """When to come back; and that a connection with an unread body can't be used again."""
        again = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        close = {"Connection": "close"} if self.code in LAST else {}
        allow = {"Allow": "POST"} if self.code == "method_not_allowed" else {}
        return again | close | allow


# code -> status, meaning
CODES: dict[str, tuple[int, str]] = {
    "not_http": (400, "what came can't be read as an HTTP/1.1 request"),
    "not_json": (400, "the body is not one JSON document in UTF-8"),
    "duplicate_field": (400, "an object names a field twice"),
    "no_candidate": (404, "none of the candidates could be scored; see left_out"),
    "method_not_allowed": (405, "the page does not take this method"),
    "head_timeout": (408, "the request's headers did not arrive in time"),
    "body_timeout": (408, "the body did not arrive in time"),
    "body_too_large": (413, "the body has too many bytes"),
    "too_many_candidates": (413, "the list of candidates is too long"),
    "url_too_long": (414, "the URL is too long"),
    "unsupported_media_type": (415, "the body is declared as something else than application/json, or as compressed"),
    "missing_field": (422, "a field is not there"),
    "unknown_field": (422, "a field has no meaning here"),
    "wrong_type": (422, "a value is not of the type that the field has"),
    "out_of_range": (422, "a number or a text is too small, too large, too short or too long"),
    "empty_list": (422, "the list of candidates is empty"),
    "head_too_large": (431, "the request's headers are too large, or too many"),
    "internal": (500, "a fault of ours; the service's log has the rest"),
    "model_not_ready": (503, "no model is loaded; the message says why"),
    "feature_store_unavailable": (503, "the feature store does not answer"),
    "too_many_connections": (503, "too many connections are open"),
    "overloaded": (503, "too many requests are under way"),
    "deadline_exceeded": (503, "the request could not be answered in time"),
}
# codes of which the connection can't be used again: what comes on it is unread, or can't be
LAST = frozenset(
    (
        "not_http",
        "head_timeout",
        "body_timeout",
        "body_too_large",
        "url_too_long",
        "head_too_large",
        "too_many_connections",
    )
)
