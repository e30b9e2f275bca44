"""Every way in which `/inference` says no, and the HTTP status that goes with it."""

from __future__ import annotations

from model_serving.online.wire import LeftOut, Model


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
        model: Model | None = None,
        left_out: tuple[LeftOut, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.field = code, message, field
        self.request_id, self.model, self.left_out = request_id, model, left_out
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.code][0]


# code -> status, meaning
CODES: dict[str, tuple[int, str]] = {
    "not_json": (400, "the body is not one JSON document in UTF-8"),
    "duplicate_field": (400, "an object names a field twice"),
    "no_candidate": (404, "none of the candidates could be scored; see left_out"),
    "method_not_allowed": (405, "the page does not take this method"),
    "body_timeout": (408, "the body did not arrive in time"),
    "body_too_large": (413, "the body has too many bytes"),
    "too_many_candidates": (413, "the list of candidates is too long"),
    "unsupported_media_type": (415, "the body is not declared as application/json"),
    "missing_field": (422, "a field is not there"),
    "unknown_field": (422, "a field has no meaning here"),
    "wrong_type": (422, "a value is not of the type that the field has"),
    "out_of_range": (422, "a number or a text is too small, too large, too short or too long"),
    "empty_list": (422, "the list of candidates is empty"),
    "internal": (500, "a fault of ours; the service's log has the rest"),
    "model_not_ready": (503, "no model is loaded; the message says why"),
    "feature_store_unavailable": (503, "the feature store does not answer"),
}
