"""A server on the loopback interface that speaks the OpenAI protocol and misbehaves on request.

    with Loopback() as server:
        server.script(Answer(status=429, headers={"Retry-After": "0"}), Answer())
        OpenAIEngine(OpenAISettings(base_url=server.url, model="toy"))

Each request takes the next scripted `Answer`; when the script is used up, the default answers: the text `reply 1`, `reply 2`, ...
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What one request gets."""

    text: str | None = ""
    """Empty: `reply <number>`; None: a message without content."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0
    """Seconds before the answer."""
    trickle: float = 0.0
    """Seconds between two bytes of the body."""
    cut: bool = False
    """Close the connection in the middle of the answer."""
    empty: bool = False
    """`choices: []`."""
    body: str | None = None
    """Raw body instead of JSON: an HTML page, broken JSON."""
    raw: bytes | None = None
    """Sent as it is, instead of an answer by HTTP."""
    last: dict[str, Any] | str | None = None
    """Of a stream: its last piece, in place of the one that ends it; empty: none."""
    content_type: str = "application/json"
    logprobs: dict[str, float] | None = None
    """Tokens of the first position with their log-probabilities, where the request asks for them."""
    message: str = "as scripted"
    """Of an error status."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Who hangs up is no fault of ours."""


class Loopback:
    """The server; `requests` keeps every JSON body it was sent."""

    def __init__(self, *, honours_n: bool = True, default: Answer | None = None) -> None:
        self.honours_n, self.default = honours_n, default or Answer()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.peak = 0
        self._answers: list[Answer] = []
        self._lock = threading.Lock()
        self._open = 0
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def script(self, *answers: Answer) -> None:
        """These answers come next, one a request."""
        self._answers += answers

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _next(self, request: dict[str, Any], key: str) -> tuple[Answer, int]:
        with self._lock:
            self.requests.append(request)
            self.keys.append(key)
            self._open += 1
            self.peak = max(self.peak, self._open)
            return (self._answers.pop(0) if self._answers else self.default), len(self.requests)

    def _done(self) -> None:
        with self._lock:
            self._open -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                return

            def do_GET(self) -> None:
                if not self.path.endswith("/models"):
                    self.send(404, {"error": {"message": "no such path"}})
                    return
                self.send(200, {"object": "list", "data": [{"id": "toy", "object": "model", "created": 0, "owned_by": "test"}]})

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer, number = owner._next(request, self.headers.get("Authorization", ""))
                try:
                    time.sleep(answer.slow)
                    self.answer(request, answer, number)
                except OSError:
                    self.close_connection = True
                finally:
                    owner._done()

            def answer(self, request: dict[str, Any], answer: Answer, number: int) -> None:
                if answer.raw is not None:
                    self.wfile.write(answer.raw)
                    self.close_connection = True
                elif answer.body is not None:
                    self.raw(answer.status, answer.body.encode(), answer.content_type, answer.headers)
                elif answer.status != 200:
                    self.send(answer.status, {"error": {"message": answer.message}}, answer.headers)
                elif request.get("stream"):
                    self.stream(answer, number)
                else:
                    whole = json.dumps(completion(request, answer, number, owner.honours_n)).encode()
                    if answer.cut:
                        self.head(200, "application/json", len(whole), {})
                        self.wfile.write(whole[: len(whole) // 2])
                        self.close_connection = True
                    else:
                        self.raw(200, whole, "application/json", answer.headers, answer.trickle)

            def stream(self, answer: Answer, number: int) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                words = (answer.text or f"reply {number}").split(" ")
                for index, word in enumerate(words):
                    if answer.cut and index == len(words) - 1:
                        self.close_connection = True
                        return
                    piece = f" {word}" if index else word
                    self.chunk({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}, answer.trickle)
                if answer.last is None:
                    self.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                    self.chunk("[DONE]")
                elif answer.last:
                    self.chunk(answer.last)
                self.wfile.write(b"0\r\n\r\n")

            def chunk(self, value: dict[str, Any] | str, trickle: float = 0.0) -> None:
                text = value if isinstance(value, str) else json.dumps(
                    {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "toy", **value}
                )  # fmt: skip
                data = f"data: {text}\n\n".encode()
                self.write(f"{len(data):x}\r\n".encode() + data + b"\r\n", trickle)

            def send(self, status: int, value: dict[str, Any], headers: dict[str, str] | None = None) -> None:
                self.raw(status, json.dumps(value).encode(), "application/json", headers or {})

            def raw(self, status: int, body: bytes, kind: str, headers: dict[str, str], trickle: float = 0.0) -> None:
                self.head(status, kind, len(body), headers)
                self.write(body, trickle)

            def write(self, data: bytes, trickle: float) -> None:
                for byte in data if trickle else ():
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(trickle)
                self.wfile.write(b"" if trickle else data)
                self.wfile.flush()

            def head(self, status: int, kind: str, length: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"Content-Type": kind, "Content-Length": str(length), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

        return Handler


def completion(request: dict[str, Any], answer: Answer, number: int, honours_n: bool) -> dict[str, Any]:
    """A chat completion as the protocol has it."""
    count = 0 if answer.empty else (request.get("n") or 1) if honours_n else 1
    return {
        "id": "x", "object": "chat.completion", "created": 0, "model": "toy",
        "choices": [_choice(request, answer, number, index) for index in range(count)],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2 * count, "total_tokens": 7 + 2 * count},
    }  # fmt: skip


def _choice(request: dict[str, Any], answer: Answer, number: int, index: int) -> dict[str, Any]:
    said = answer.text if answer.text != "" else f"reply {number}.{index}"
    choice: dict[str, Any] = {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
    if request.get("logprobs") and answer.logprobs is not None:
        top = [{"token": token, "logprob": value, "bytes": None} for token, value in answer.logprobs.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return choice
