"""Asks a hone server through the unmodified openai package. Arguments: base URL, key, chat model."""

import sys

import openai

base_url, key, model = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)

assert model in [m.id for m in client.models.list()], "models.list"
assert client.models.retrieve(model).id == model

messages = [{"role": "user", "content": "What is the capital of France?"}]
whole = client.chat.completions.create(
    model=model, messages=messages, temperature=0, max_tokens=12, logprobs=True, top_logprobs=2
)
choice = whole.choices[0]
assert choice.message.role == "assistant" and "Paris" in choice.message.content, choice
assert choice.finish_reason in ("stop", "length"), choice
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
assert all(t.logprob <= 0 and len(t.top_logprobs) == 2 for t in choice.logprobs.content)

stream = client.chat.completions.create(
    model=model, messages=messages, temperature=0, max_tokens=12, stream=True, stream_options={"include_usage": True}
)
text, usage, finish = "", None, None
for chunk in stream:
    usage = chunk.usage or usage
    for c in chunk.choices:
        text += c.delta.content or ""
        finish = c.finish_reason or finish
assert text == choice.message.content, (text, choice.message.content)
assert usage.completion_tokens == whole.usage.completion_tokens and finish == choice.finish_reason

several = client.chat.completions.create(model=model, messages=messages, n=2, seed=7, temperature=1, max_tokens=8)
again = client.chat.completions.create(model=model, messages=messages, n=2, seed=7, temperature=1, max_tokens=8)
assert [c.message.content for c in several.choices] == [c.message.content for c in again.choices]
assert [c.index for c in several.choices] == [0, 1]

cut = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=12, stop=["Paris"])
assert "Paris" not in cut.choices[0].message.content and cut.choices[0].finish_reason == "stop"

done = client.completions.create(model=model, prompt="One, two, three,", temperature=0, max_tokens=4)
assert done.choices[0].text and done.object == "text_completion"


def refused(kind, f):
    try:
        f()
    except kind as e:
        return e
    raise AssertionError(f"{kind.__name__} was expected")


refused(openai.NotFoundError, lambda: client.chat.completions.create(model="no-such-model", messages=messages))
error = refused(
    openai.BadRequestError,
    lambda: client.chat.completions.create(model=model, messages=messages, extra_body={"no_such_field": 1}),
)
assert "no_such_field" in str(error), error
stranger = openai.OpenAI(base_url=base_url, api_key="another", max_retries=0)
refused(openai.AuthenticationError, lambda: stranger.models.list())
print("all well")
