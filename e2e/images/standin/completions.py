"""POST /v1/completions and /v1/chat/completions: the request, whether it is refused, and the answer."""

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

from . import bodies
from .engine import Engine, EngineDead, EngineStopping, QueueFull
from .http_server import Request, Response
from .scheduler import Request as Generation

CHAT_PATH = "/v1/chat/completions"
TOKEN = re.compile(r"\w+|[^\w\s]")
CHAT_TOKENS_PER_MESSAGE = 2
CHAT_OPENING_TOKENS = 1
COMPLETION_MAX_TOKENS = 16
"""What a completion gets that names no max_tokens; a chat gets all that the context leaves."""

Send = Callable[[bytes], Awaitable[None]]
Fields = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """The model as clients see it."""

    names: tuple[str, ...]
    root: str
    max_model_tokens: int
    answer_tokens: int
    """Length of an answer that nothing cuts short."""
    fingerprint: str
    track_load: bool


class Refused(Exception):  # noqa: N818  # an answer, not a fault
    def __init__(self, body: bodies.Body) -> None:
        super().__init__(body["error"]["message"])
        self.body = body


class Completions:
    def __init__(self, served: Served, engine: Engine) -> None:
        self._served = served
        self._engine = engine
        self.load = 0
        """Requests being answered; stays 0 unless the server tracks it."""

    async def answer(self, request: Request) -> Response:
        """Raises Refused for whatever the engine will not do."""
        is_chat = request.path == CHAT_PATH
        fields = _parsed(request, is_chat)
        model = fields.get("model") or self._served.names[0]
        if model not in self._served.names:
            message = f"The model `{model}` does not exist. Valid aliases: {', '.join(self._served.names)}."
            raise Refused(bodies.error(message, "NotFoundError", 404, "model"))
        generation = self._admit(fields, is_chat)
        identity = bodies.Identity(
            bodies.random_id("chatcmpl" if is_chat else "cmpl"), int(time.time()), model, self._served.fingerprint
        )
        if not fields.get("stream"):
            with self._loaded():
                return await self._whole(generation, identity, is_chat)
        include_usage = bool((fields.get("stream_options") or {}).get("include_usage"))

        async def stream(send: Send) -> None:
            with self._loaded():
                await self._stream(send, generation, identity, is_chat, include_usage)

        return Response(content_type="text/event-stream; charset=utf-8", stream=stream)

    def _admit(self, fields: Fields, is_chat: bool) -> Generation:
        longest = self._served.max_model_tokens
        prompt_tokens = _prompt_tokens(fields, is_chat)
        param = "max_completion_tokens" if is_chat and fields.get("max_completion_tokens") else "max_tokens"
        requested = fields.get(param) if is_chat or fields.get(param) is not None else COMPLETION_MAX_TOKENS
        if requested is not None and requested > longest:
            raise Refused(
                bodies.bad_request(
                    f"{param}={requested} cannot be greater than max_model_len={longest}. "
                    f"Please request fewer output tokens. (parameter={param}, value={requested})",
                    param,
                )
            )
        if prompt_tokens > longest:
            raise Refused(
                bodies.bad_request(
                    f"This model's maximum context length is {longest} tokens. However, your prompt contains "
                    f"at least {longest + 1} input tokens, which exceeds this limit even without any output "
                    f"tokens. Please reduce the length of the input prompt. "
                    f"(parameter=input_tokens, value={longest + 1})",
                    "input_tokens",
                )
            )
        max_tokens = max(1, min(requested or longest, longest - prompt_tokens))
        answer_tokens = max_tokens if fields.get("ignore_eos") else self._served.answer_tokens
        try:
            return self._engine.admit(prompt_tokens, max_tokens, max(answer_tokens, fields.get("min_tokens") or 0))
        except QueueFull as full:
            raise Refused(bodies.error(str(full), "Service Unavailable", 503)) from None
        except (EngineDead, EngineStopping) as stopped:
            raise Refused(bodies.server_error(str(stopped))) from None

    async def _whole(self, generation: Generation, identity: bodies.Identity, is_chat: bool) -> Response:
        answer, finish_reason = [], "abort"
        try:
            async with aclosing(self._engine.pieces(generation)) as pieces:
                async for piece in pieces:
                    answer.append(piece.text)
                    finish_reason = piece.finish_reason or finish_reason
        except EngineDead as dead:
            raise Refused(bodies.server_error(str(dead))) from None
        body = bodies.chat_completion if is_chat else bodies.completion
        used = bodies.usage(generation.prompt_tokens, generation.generated)
        return Response(body=bodies.text(body(identity, "".join(answer), finish_reason, used)))

    async def _stream(
        self, send: Send, generation: Generation, identity: bodies.Identity, is_chat: bool, include_usage: bool
    ) -> None:
        chunk = bodies.chat_chunk if is_chat else bodies.completion_chunk
        is_open = not is_chat
        try:
            async with aclosing(self._engine.pieces(generation)) as pieces:
                async for piece in pieces:
                    if not is_open:
                        await send(bodies.event(bodies.chat_opening_chunk(identity)))
                        is_open = True
                    body = chunk(identity, piece.text, piece.finish_reason)
                    if piece.finish_reason and not include_usage:
                        body |= bodies.fingerprint(identity)
                    await send(bodies.event(body))
            if include_usage:
                kind = "chat.completion.chunk" if is_chat else "text_completion"
                used = bodies.usage(generation.prompt_tokens, generation.generated)
                await send(bodies.event(bodies.usage_chunk(identity, kind, used)))
        except EngineDead as dead:
            await send(bodies.error_event(bodies.server_error(str(dead))))
        await send(bodies.DONE)

    @contextmanager
    def _loaded(self) -> Iterator[None]:
        self.load += self._served.track_load
        try:
            yield
        finally:
            self.load -= self._served.track_load


def _parsed(request: Request, is_chat: bool) -> Fields:
    """The request's JSON. Raises Refused in the words that the real server's checks use."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(bodies.invalid("Unsupported Media Type: Only 'application/json' is allowed", None))
    try:
        fields = json.loads(request.body)
    except json.JSONDecodeError as error:
        place = f"body.{error.pos}"
        detail = {"type": "json_invalid", "loc": place, "msg": "JSON decode error", "input": "<dict of 0 items>"}
        raise Refused(bodies.invalid(str(detail | {"ctx": {"error": error.msg}}), place)) from None
    if not isinstance(fields, dict):
        raise Refused(bodies.invalid("the body is not an object", "body"))
    if is_chat and "messages" not in fields:
        place = "body.messages"
        detail = {"type": "missing", "loc": place, "msg": "Field required", "input": f"<dict of {len(fields)} items>"}
        raise Refused(bodies.invalid(str(detail), place))
    if not is_chat and not fields.get("prompt"):
        raise Refused(
            bodies.bad_request(
                "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)", "prompt"
            )
        )
    if fields.get("stream_options") and not fields.get("stream"):
        raise Refused(
            bodies.bad_request(
                "Stream options can only be defined when `stream=True`. (parameter=stream_options)", "stream_options"
            )
        )
    return fields


def _prompt_tokens(fields: Fields, is_chat: bool) -> int:
    """About what a tokenizer makes of it: words and signs, and a chat template's marks around each message."""
    if is_chat:
        contents = [str(message.get("content") or "") for message in fields["messages"]]
        return CHAT_OPENING_TOKENS + sum(CHAT_TOKENS_PER_MESSAGE + len(TOKEN.findall(text)) for text in contents)
    prompt = fields["prompt"]
    if isinstance(prompt, list) and isinstance(prompt[0], int):
        return len(prompt)
    return len(TOKEN.findall(prompt if isinstance(prompt, str) else " ".join(map(str, prompt))))
