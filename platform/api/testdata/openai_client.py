"""Talks to a running server through the unmodified openai package and checks what comes back.

Usage: openai_client.py BASE_URL KEY MODEL

Works with any served chat model: nothing depends on what the model says. Prints a line "OK what" for each part.
"""

import sys

import openai

base_url, key, model = sys.argv[1:4]
client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
messages = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "Count to three."}]


def check(what, ok, got=None):
    if not ok:
        sys.exit(f"FAILED {what}: {got!r}")


def ok(what):
    print("OK", what, flush=True)


def fails(what, kind, call, status, code=None, param=None):
    try:
        call()
    except kind as e:
        check(f"{what}: status", e.status_code == status, e.status_code)
        check(f"{what}: code", code is None or e.code == code, e.code)
        check(f"{what}: param", param is None or e.param == param, e.param)
        check(f"{what}: body", {"message", "type", "param", "code"} <= set(e.body), e.body)
        check(f"{what}: request id", e.request_id, e.request_id)
    else:
        sys.exit(f"FAILED {what}: no error")


# Models
listed = client.models.list()
check("models", model in [m.id for m in listed], listed)
one = client.models.retrieve(model)
check("model", one.id == model and one.object == "model" and one.owned_by and one.created >= 0, one)
ok("models")

# Chat
chat = client.chat.completions.create(model=model, messages=messages, max_completion_tokens=12, seed=1, temperature=0.8, top_p=0.95)
choice = chat.choices[0]
check("chat", chat.object == "chat.completion" and chat.id and chat.created and len(chat.choices) == 1, chat)
check("message", choice.message.role == "assistant" and isinstance(choice.message.content, str), choice)
check("finish", choice.finish_reason in ("stop", "length"), choice)
check("usage", chat.usage.prompt_tokens > 0 and 0 < chat.usage.completion_tokens <= 12
      and chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens, chat.usage)
check("request id", chat._request_id, chat._request_id)
again = client.chat.completions.create(model=model, messages=messages, max_completion_tokens=12, seed=1, temperature=0.8, top_p=0.95)
check("same seed, same text", again.choices[0].message.content == choice.message.content, (choice, again))
ok("chat")

# Several choices; text parts; the message handed back as it came
parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]}]
several = client.chat.completions.create(model=model, messages=parts + [choice.message, {"role": "user", "content": "Again."}], n=3, seed=5, max_tokens=6)
check("choices", [c.index for c in several.choices] == [0, 1, 2], several)
single = client.chat.completions.create(model=model, messages=parts + [choice.message, {"role": "user", "content": "Again."}], n=1, seed=5, max_tokens=6)
check("the first choice does not depend on n", single.choices[0].message.content == several.choices[0].message.content, (single, several))
ok("choices")

# Stream, with usage; the same text as without a stream
whole = client.chat.completions.create(model=model, messages=messages, max_tokens=24, temperature=0)
chunks = list(client.chat.completions.create(model=model, messages=messages, max_tokens=24, temperature=0, stream=True, stream_options={"include_usage": True}))
check("chunks", len({c.id for c in chunks}) == 1 and all(c.object == "chat.completion.chunk" for c in chunks), chunks)
check("usage chunk", chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens, chunks[-1])
check("no usage before", all(c.usage is None for c in chunks[:-1]), chunks)
deltas = [c.choices[0] for c in chunks[:-1]]
check("role", deltas[0].delta.role == "assistant" and not deltas[0].delta.content and all(d.delta.role is None for d in deltas[1:]), deltas)
check("text", "".join(d.delta.content or "" for d in deltas) == whole.choices[0].message.content, (deltas, whole))
check("finish", deltas[-1].finish_reason == whole.choices[0].finish_reason and not deltas[-1].delta.content
      and all(d.finish_reason is None for d in deltas[:-1]), deltas)
ok("stream")

# A client that stops listening
stream = client.chat.completions.create(model=model, messages=messages, max_tokens=50, stream=True)
next(iter(stream))
stream.close()
ok("close")

# Log-probabilities
probs = client.chat.completions.create(model=model, messages=messages, max_tokens=12, temperature=0, logprobs=True, top_logprobs=3)
tokens = probs.choices[0].logprobs.content
text = probs.choices[0].message.content
check("tokens join to the text", "".join(t.token for t in tokens) == text, (tokens, text))
check("bytes join to the text", bytes(b for t in tokens for b in t.bytes).decode("utf-8", "replace") == text, tokens)
check("log-probabilities", all(t.logprob <= 0 and len(t.top_logprobs) == 3 for t in tokens), tokens)
check("sorted candidates", all([c.logprob for c in t.top_logprobs] == sorted((c.logprob for c in t.top_logprobs), reverse=True) for t in tokens), tokens)
streamed = client.chat.completions.create(model=model, messages=messages, max_tokens=12, temperature=0, logprobs=True, top_logprobs=3, stream=True)
pieces = [t for c in streamed if c.choices and c.choices[0].logprobs for t in c.choices[0].logprobs.content]
check("streamed log-probabilities", [(t.token, t.logprob) for t in pieces] == [(t.token, t.logprob) for t in tokens], pieces)
ok("logprobs")

# Stop strings
long = client.chat.completions.create(model=model, messages=messages, max_tokens=24, temperature=0).choices[0].message.content
if len(long) > 6:
    stop = long[4:6]
    cut = client.chat.completions.create(model=model, messages=messages, max_tokens=24, temperature=0, stop=[stop, "\x00"])
    check("stop", cut.choices[0].message.content == long[:long.index(stop)] and cut.choices[0].finish_reason == "stop", (stop, cut, long))
ok("stop")

# Plain completions
plain = client.completions.create(model=model, prompt=["Once upon", "The end"], max_tokens=5, temperature=0, logprobs=2, echo=True, n=2)
check("completions", plain.object == "text_completion" and [c.index for c in plain.choices] == [0, 1, 2, 3], plain)
check("echo", plain.choices[0].text.startswith("Once upon") and plain.choices[3].text.startswith("The end"), plain)
check("tokens", all("".join(c.logprobs.tokens) == c.text for c in plain.choices), plain)
check("lists", all(len(c.logprobs.tokens) == len(c.logprobs.token_logprobs) == len(c.logprobs.top_logprobs) == len(c.logprobs.text_offset) for c in plain.choices), plain)
check("offsets", all(c.text[o:o + len(t)] == t for c in plain.choices for t, o in zip(c.logprobs.tokens, c.logprobs.text_offset)), plain)
check("first token", all(c.logprobs.token_logprobs[0] is None and c.logprobs.token_logprobs[1] <= 0 for c in plain.choices), plain)
ids = client.completions.create(model=model, prompt=[5, 6, 7], max_tokens=3)
check("token prompt", ids.usage.prompt_tokens == 3, ids)
pieces = list(client.completions.create(model=model, prompt="Once upon", max_tokens=5, temperature=0, stream=True))
whole = client.completions.create(model=model, prompt="Once upon", max_tokens=5, temperature=0)
check("stream", "".join(c.choices[0].text for c in pieces) == whole.choices[0].text and pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason, pieces)
ok("completions")

# Errors
chat = client.chat.completions.create
fails("wrong key", openai.AuthenticationError, lambda: client.with_options(api_key="wrong").models.list(), 401, "invalid_api_key")
fails("unknown model", openai.NotFoundError, lambda: chat(model="no-such-model", messages=messages), 404, "model_not_found")
fails("unknown model", openai.NotFoundError, lambda: client.models.retrieve("no-such-model"), 404, "model_not_found")
fails("no messages", openai.BadRequestError, lambda: chat(model=model, messages=[]), 400, param="messages")
fails("temperature", openai.BadRequestError, lambda: chat(model=model, messages=messages, temperature=2.5), 400, param="temperature")
fails("response_format", openai.BadRequestError, lambda: chat(model=model, messages=messages, response_format={"type": "json_object"}), 400, param="response_format")
fails("unknown field", openai.BadRequestError, lambda: chat(model=model, messages=messages, extra_body={"no_such_field": 1}), 400, param="no_such_field")
fails("image", openai.BadRequestError, lambda: chat(model=model, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]), 400)
fails("long prompt", openai.BadRequestError, lambda: chat(model=model, messages=[{"role": "user", "content": "x y " * 200000}]), 400, "context_length_exceeded")
fails("unknown route", openai.NotFoundError, lambda: client.embeddings.create(model=model, input="x"), 404, "unknown_url")
ok("errors")

# Fields that change nothing, and sampling beyond OpenAI's
chat(model=model, messages=messages, max_tokens=2, user="me", metadata={"a": "b"}, store=False, service_tier="auto", response_format={"type": "text"},
     extra_body={"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1})
ok("extras")
