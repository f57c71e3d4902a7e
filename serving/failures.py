"""A request that cannot be answered: a gRPC status and one sentence, whatever road it came by (gRPC or REST)."""

from __future__ import annotations

import grpc


class RequestFailure(Exception):
    """Ends one request with a status; the server lives on."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> RequestFailure:
    """INVALID_ARGUMENT."""
    return RequestFailure(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestFailure:
    """NOT_FOUND."""
    return RequestFailure(grpc.StatusCode.NOT_FOUND, message)


def status_of(number: int) -> grpc.StatusCode:
    """The status of a canonical error code; TensorFlow numbers its errors like gRPC."""
    return _STATUS_BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)


_STATUS_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
