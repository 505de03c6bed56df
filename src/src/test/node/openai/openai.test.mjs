// OpenAI's own client against a running server: URL=http://127.0.0.1:PORT KEY=... node --test openai.test.mjs
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import OpenAI, { APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from 'openai';

const SCENE = fileURLToPath(new URL('../../../../../docs/images/scene.png', import.meta.url));
const SCENE_URL = `data:image/png;base64,${(await readFile(SCENE)).toString('base64')}`;
const DESCRIBE = 'Describe this image in detail.';

const baseURL = `${process.env.URL}/v1`;
const client = new OpenAI({ baseURL, apiKey: process.env.KEY, maxRetries: 0, timeout: 60_000 });

const about = (text, url = SCENE_URL) => [
  { role: 'user', content: [{ type: 'text', text }, { type: 'image_url', image_url: { url } }] },
];
const create = (fields) => client.chat.completions.create({ model: 'demo', ...fields });

/** Collects a stream's text by choice, its finish reasons and its usage. */
async function collect(stream) {
  const texts = [];
  const reasons = [];
  let usage = null;
  let pieces = 0;
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    usage = chunk.usage ?? usage;
    for (const { index, delta, finish_reason: reason } of chunk.choices) {
      texts[index] = (texts[index] ?? '') + (delta.content ?? '');
      reasons[index] = reason ?? reasons[index];
      pieces += delta.content ? 1 : 0;
    }
  }
  return { texts, reasons, usage, pieces };
}

test('models', async () => {
  const models = await client.models.list();
  assert.deepEqual(models.data.map((model) => model.id), ['demo']);
  assert.equal((await client.models.retrieve('demo')).object, 'model');
});

test('a whole answer about an image', async () => {
  const completion = await create({ messages: about(DESCRIBE) });
  const [choice] = completion.choices;
  assert.match(choice.message.content, /purple star.*orange heart/);
  assert.equal(choice.message.role, 'assistant');
  assert.equal(choice.finish_reason, 'stop');
  assert.equal(completion.model, 'demo');
  const { prompt_tokens: prompt, completion_tokens: answer, total_tokens: total } = completion.usage;
  assert.ok(prompt > 16 && answer > 20);
  assert.equal(total, prompt + answer);
});

test('a stream is the whole answer in pieces', async () => {
  const whole = await create({ messages: about(DESCRIBE) });
  const { texts, reasons, usage, pieces } = await collect(
    await create({ messages: about(DESCRIBE), stream: true, stream_options: { include_usage: true } }),
  );
  assert.deepEqual(texts, [whole.choices[0].message.content]);
  assert.deepEqual(reasons, ['stop']);
  assert.ok(pieces > 1, 'the first words do not wait for the last'); // tokens of ten milliseconds share a chunk
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the client's own helper for streams", async () => {
  const runner = client.chat.completions.stream({ model: 'demo', messages: about('How many objects are there?') });
  let pieces = '';
  runner.on('content', (piece) => { pieces += piece; });
  const content = await runner.finalContent();
  assert.match(content, /five/i);
  assert.equal(pieces, content);
});

test('earlier turns, a system text, roles', async () => {
  const first = await create({ messages: about(DESCRIBE) });
  const messages = [
    { role: 'system', content: 'Answer truthfully.' },
    ...about(DESCRIBE),
    { role: 'assistant', content: first.choices[0].message.content },
    { role: 'user', content: 'How many stars are there?' },
  ];
  const second = await create({ messages });
  assert.match(second.choices[0].message.content, /one/i);
});

test('several answers, seeds', async () => {
  const fields = { messages: about('What is this?'), n: 3, temperature: 2, top_p: 1, top_k: 0, max_tokens: 25 };
  const text = (completion) => completion.choices.map((choice) => choice.message.content);
  const one = text(await create({ ...fields, seed: 7 }));
  assert.equal(one.length, 3);
  assert.ok(new Set(one).size > 1);
  assert.deepEqual(text(await create({ ...fields, seed: 7 })), one);
  assert.notDeepEqual(text(await create({ ...fields, seed: 1000 })), one);
  const streamed = await collect(await create({ ...fields, seed: 7, stream: true }));
  assert.deepEqual(streamed.texts.map((piece) => piece.trim()), one);
});

test('log-probabilities, whole and streamed', async () => {
  const fields = { messages: about('How many objects are there?'), logprobs: true, top_logprobs: 3, max_tokens: 6 };
  const { content } = (await create(fields)).choices[0].logprobs;
  assert.equal(content.length, 6);
  for (const token of content) {
    assert.equal(token.top_logprobs.length, 3);
    assert.equal(token.top_logprobs[0].token, token.token);
    assert.ok(token.logprob <= 0 && token.logprob >= token.top_logprobs[1].logprob);
    assert.equal(Buffer.from(token.bytes).toString(), token.token);
  }
  const streamed = [];
  for await (const chunk of await create({ ...fields, stream: true })) {
    streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
  }
  assert.deepEqual(streamed, content);
});

test('stop texts and lengths', async () => {
  const hello = { messages: [{ role: 'user', content: 'Hello' }] };
  const whole = (await create(hello)).choices[0].message.content;
  assert.match(whole, /picture/);
  const stopped = (await create({ ...hello, stop: ['picture', 'zebra'] })).choices[0];
  assert.equal(stopped.message.content, whole.slice(0, whole.indexOf('picture')).trim());
  assert.equal(stopped.finish_reason, 'stop');
  const cut = await create({ ...hello, max_completion_tokens: 3 });
  assert.equal(cut.choices[0].finish_reason, 'length');
  assert.equal(cut.usage.completion_tokens, 3);
});

test('errors are those that the client knows', async () => {
  const hello = [{ role: 'user', content: 'Hello' }];
  await assert.rejects(create({ messages: hello, temperature: 9 }), (e) =>
    e instanceof BadRequestError && e.status === 400 && e.param === 'temperature' && e.type === 'invalid_request_error');
  await assert.rejects(create({ messages: hello, model: 'gpt-5' }), (e) =>
    e instanceof NotFoundError && e.code === 'model_not_found');
  await assert.rejects(create({ messages: about('What?', 'data:image/png;base64,AAAA') }), (e) =>
    e instanceof BadRequestError && e.code === 'invalid_image');
  await assert.rejects(create({ messages: about('What?', 'https://example.org/a.png'), stream: true }), BadRequestError);
  await assert.rejects(create({ messages: [] }), BadRequestError);
  const stranger = new OpenAI({ baseURL, apiKey: 'wrong', maxRetries: 0 });
  await assert.rejects(stranger.models.list(), AuthenticationError);
});

test('an answer that is aborted frees its place', async () => {
  const endless = {
    messages: [{ role: 'user', content: 'Go on' }], temperature: 0, repetition_penalty: 0.01, min_tokens: 900, max_tokens: 900,
  };
  const running = async () => {
    const health = await fetch(`${process.env.URL}/health`, { headers: { authorization: `Bearer ${process.env.KEY}` } });
    return (await health.json()).running;
  };
  const stream = await create({ ...endless, stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) {
      stream.controller.abort();
    }
  }
  const controller = new AbortController();
  const whole = client.chat.completions.create({ model: 'demo', ...endless }, { signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  await assert.rejects(whole, APIUserAbortError);
  const end = Date.now() + 30_000;
  while ((await running()) > 0) {
    assert.ok(Date.now() < end, 'an answer that nobody waits for goes on');
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  assert.equal((await create({ messages: about('How many objects are there?') })).choices.length, 1);
});
