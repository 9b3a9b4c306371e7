"""Answers of one JSON object a line, for as many as there are."""

from fastapi.responses import StreamingResponse


class NdjsonResponse(StreamingResponse):
    """Streams lines; as a route's `response_class` it says so in OpenAPI."""

    media_type = "application/x-ndjson"
