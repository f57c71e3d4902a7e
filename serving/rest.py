"""TensorFlow Serving's REST API, its Prometheus metrics and the playground, over the models in memory.

POST /v1/models/NAME[/versions/V|/labels/L]:predict     see json_tensors
GET  /v1/models/NAME[/versions/V|/labels/L]             status of the versions
GET  /v1/models/NAME[/versions/V|/labels/L]/metadata    signatures
GET  /monitoring/prometheus/metrics
GET  /playground/                                       where it is switched on
"""

from __future__ import annotations

import json
import mimetypes
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from nextclick.serving import json_tensors, protos, services
from nextclick.serving.admission import Admission
from nextclick.serving.calls import signature_name
from nextclick.serving.failures import RequestFailure, invalid, not_found
from nextclick.serving.http import Request, Response
from nextclick.serving.messages import SIGNATURE_METADATA
from nextclick.serving.models import Models
from nextclick.serving.services import Predictor

PLAYGROUND = "/playground/"
# Item ids come from logs: whatever they hold, the page runs and loads nothing but its own files.
PAGE_POLICY = "default-src 'self'; img-src data:; frame-ancestors 'none'"
_MODEL = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?"
    r"(?P<what>:predict|/metadata)?"
)
_HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class Rest:
    """The handler of the HTTP server."""

    def __init__(
        self,
        models: Models,
        predictor: Predictor,
        admission: Admission,
        *,
        metrics: tuple[str, Callable[[], str]] | None = None,
        playground: Path | None = None,
    ) -> None:
        self._models, self._predictor, self._admission = models, predictor, admission
        self._metrics, self._playground = metrics, playground

    async def handle(self, request: Request) -> Response:
        """Answers any request."""
        try:
            with self._admission.admitted():
                return await self._answer(request)
        except RequestFailure as failure:
            status = _HTTP_STATUS.get(failure.code, 500)
            return Response(status, json.dumps({"error": failure.message}).encode())

    async def _answer(self, request: Request) -> Response:
        match = _MODEL.fullmatch(urllib.parse.unquote(request.path))
        if match and request.method == "POST" and match["what"] == ":predict":
            return Response(200, await self._predict(match, request.body))
        if match and request.method == "GET" and match["what"] != ":predict":
            return Response(200, self._metadata(match) if match["what"] else self._status(match))
        if request.method == "GET" and self._metrics is not None and request.path == self._metrics[0]:
            return Response(200, self._metrics[1]().encode(), "text/plain; version=0.0.4")
        if request.method == "GET" and self._playground is not None and request.path.startswith(PLAYGROUND):
            return self._page(request.path.removeprefix(PLAYGROUND) or "index.html", self._playground)
        if request.path.startswith("/v1/"):
            raise invalid(f"Malformed request: {request.method} {request.path}")
        raise not_found(f"nothing here answers {request.method} {request.path}")

    async def _predict(self, match: re.Match[str], body: bytes) -> bytes:
        parsed = json_tensors.parse_body(body)
        request = protos.predict_pb2.PredictRequest()
        _fill_spec(request.model_spec, match)
        request.model_spec.signature_name = parsed.get("signature_name", "")
        with self._models.lease(request.model_spec) as servable:
            # Inputs are typed by this version's signature, so this version must answer.
            request.model_spec.version.value = servable.version
            signature = servable.signatures.get(signature_name(request))
            if signature is None:
                raise invalid(f'Serving signature name: "{signature_name(request)}" not found in signature def')
            json_tensors.fill_inputs(request, parsed, signature.inputs)
            response = await self._predictor.predict(request, "REST")
        return json_tensors.body_of(response, row_format="instances" in parsed)

    def _status(self, match: re.Match[str]) -> bytes:
        spec = protos.model_pb2.ModelSpec()
        _fill_spec(spec, match)
        response = self._models.status(spec)
        states = protos.get_model_status_pb2.ModelVersionStatus.State
        codes = protos.status_pb2.StatusProto.DESCRIPTOR.fields_by_name["error_code"].enum_type.values_by_number
        entries = [
            {
                "version": str(entry.version),
                "state": states.Name(entry.state),
                "status": {
                    "error_code": codes[entry.status.error_code].name,
                    "error_message": entry.status.error_message,
                },
            }
            for entry in response.model_version_status
        ]
        return json.dumps({"model_version_status": entries}).encode()

    def _page(self, name: str, folder: Path) -> Response:
        """A file of the playground by its bare name, or models.json: what there is to play with."""
        if name == "models.json":
            return Response(200, json.dumps({"models": self._models.overview()}).encode())
        files = {path.name: path for path in folder.iterdir() if path.is_file()}
        if name not in files:
            raise not_found(f"the playground has no file {name}")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(200, files[name].read_bytes(), kind, (("content-security-policy", PAGE_POLICY),))

    def _metadata(self, match: re.Match[str]) -> bytes:
        spec = protos.model_pb2.ModelSpec()
        _fill_spec(spec, match)
        with self._models.lease(spec) as servable:
            response = services.metadata_response(servable)
        signatures = protos.get_model_metadata_pb2.SignatureDefMap()
        response.metadata[SIGNATURE_METADATA].Unpack(signatures)
        found = {
            "model_spec": {"name": servable.model, "signature_name": "", "version": str(servable.version)},
            "metadata": {SIGNATURE_METADATA: json_format.MessageToDict(signatures, preserving_proto_field_name=True)},
        }
        return json.dumps(found).encode()


def _fill_spec(spec: Any, match: re.Match[str]) -> None:
    spec.name = match["name"]
    if match["version"]:
        spec.version.value = int(match["version"])
    if match["label"]:
        spec.version_label = match["label"]
