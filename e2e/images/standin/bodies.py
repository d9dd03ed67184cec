"""The JSON that the real engine answers with, field by field in its order (recorded from vLLM 0.32)."""

import json
import os
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from .command_line import VERSION

Body = dict[str, Any]


@dataclass(frozen=True)
class Identity:
    """What every part of one answer repeats."""

    id: str
    created_s: int
    model: str
    fingerprint: str


def text(body: Body) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def event(body: Body) -> bytes:
    """One server-sent event."""
    return b"data: " + text(body) + b"\n\n"


def error_event(body: Body) -> bytes:
    """The event that ends a stream with an error: the real server writes this one with blanks."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def random_id(prefix: str) -> str:
    return f"{prefix}-{os.urandom(8).hex()}"


def error(message: str, kind: str, code: int, param: str | None = None) -> Body:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def server_error(message: str) -> Body:
    return error(message, "InternalServerError", 500)


def bad_request(message: str, param: str) -> Body:
    """A value that vLLM's own checks refuse."""
    return error(message, "BadRequestError", 400, param)


def invalid(detail: str, param: str | None) -> Body:
    """A body that does not fit the request's type; `detail` is the one thing wrong with it."""
    return error(f"1 validation error:\n  {detail}", HTTPStatus.BAD_REQUEST.phrase, 400, param)


def version() -> Body:
    return {"version": VERSION}


def models(names: tuple[str, ...], root: str, max_model_tokens: int, created_s: int) -> Body:
    return {"object": "list", "data": [_model(name, root, max_model_tokens, created_s) for name in names]}


def _model(name: str, root: str, max_model_tokens: int, created_s: int) -> Body:
    permission = {
        "id": random_id("modelperm"),
        "object": "model_permission",
        "created": created_s,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": created_s,
        "owned_by": "vllm",
        "root": root,
        "parent": None,
        "max_model_len": max_model_tokens,
        "permission": [permission],
    }


def usage(prompt_tokens: int, answer_tokens: int) -> Body:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + answer_tokens,
        "completion_tokens": answer_tokens,
    }


def completion(identity: Identity, answer: str, finish_reason: str, used: Body) -> Body:
    choice = {
        "index": 0,
        "text": answer,
        "logprobs": None,
        "finish_reason": finish_reason,
        "stop_reason": None,
        "token_ids": None,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "routed_experts": None,
    }
    return {
        **_start(identity, "text_completion", [choice]),
        **_account(identity, used),
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def chat_completion(identity: Identity, answer: str, finish_reason: str, used: Body) -> Body:
    message = {
        "role": "assistant",
        "content": answer,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "reasoning": None,
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason,
        "stop_reason": None,
        "token_ids": None,
        "routed_experts": None,
    }
    return {
        **_start(identity, "chat.completion", [choice]),
        **_account(identity, used),
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def completion_chunk(identity: Identity, piece: str, finish_reason: str | None) -> Body:
    choice = {
        "index": 0,
        "text": piece,
        "logprobs": None,
        "finish_reason": finish_reason,
        "stop_reason": None,
        "prompt_token_ids": None,
        "token_ids": None,
    }
    return _start(identity, "text_completion", [choice])


def chat_opening_chunk(identity: Identity) -> Body:
    delta = {"role": "assistant", "content": ""}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return {**_start(identity, "chat.completion.chunk", [choice]), "prompt_token_ids": None, "prompt_text": None}


def chat_chunk(identity: Identity, piece: str, finish_reason: str | None) -> Body:
    choice: Body = {"index": 0, "delta": {"content": piece}, "logprobs": None, "finish_reason": finish_reason}
    if finish_reason:
        choice["stop_reason"] = None
    choice["token_ids"] = None
    return _start(identity, "chat.completion.chunk", [choice])


def usage_chunk(identity: Identity, kind: str, used: Body) -> Body:
    return {**_start(identity, kind, []), "usage": used, **fingerprint(identity)}


def fingerprint(identity: Identity) -> Body:
    return {"system_fingerprint": identity.fingerprint}


def _start(identity: Identity, kind: str, choices: list[Body]) -> Body:
    return {
        "id": identity.id,
        "object": kind,
        "created": identity.created_s,
        "model": identity.model,
        "choices": choices,
    }


def _account(identity: Identity, used: Body) -> Body:
    details = {"prompt_tokens_details": None, "completion_tokens_details": None}
    return {"service_tier": None, **fingerprint(identity), "usage": {**used, **details}}
