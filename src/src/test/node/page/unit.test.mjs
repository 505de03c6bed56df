// The page's logic that needs no browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';

const page = new URL('../../../main/resources/io/minigpt4/serve/page/', import.meta.url);
const { EventParser } = await import(new URL('sse.js', page));
const { Conversation } = await import(new URL('conversation.js', page));
const { SETTINGS, clamp, defaults, fields, restore } = await import(new URL('settings.js', page));

const bytes = (text) => new TextEncoder().encode(text);
const picture = { name: 'a.png', url: 'data:image/png;base64,AAAA' };

test('events come out whole however the bytes are cut', () => {
  const stream = bytes(': hello\r\n\r\ndata: {"a":"ä€😀"}\n\ndata:b\ndata: c\n\nevent: x\ndata: [DONE]\n\n');
  for (let size = 1; size <= stream.length; size++) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < stream.length; at += size) {
      events.push(...parser.push(stream.slice(at, at + size)));
    }
    assert.deepEqual(events, ['{"a":"ä€😀"}', 'b\nc', '[DONE]'], `pieces of ${size}`);
  }
});

test('an event that is not ended yet waits', () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push(bytes('data: a\n')), []);
  assert.deepEqual(parser.push(bytes('\n')), ['a']);
});

test('messages are those of the API, pictures before the text', () => {
  const conversation = new Conversation();
  conversation.ask('What is this?', [picture]).text = 'A circle.';
  conversation.ask('And?', []);
  assert.deepEqual(conversation.messages(), [
    { role: 'user', content: [
      { type: 'image_url', image_url: { url: picture.url } }, { type: 'text', text: 'What is this?' }] },
    { role: 'assistant', content: 'A circle.' },
    { role: 'user', content: [{ type: 'text', text: 'And?' }] },
  ]);
});

test('a question without an answer is left out, its picture is not', () => {
  const conversation = new Conversation();
  conversation.ask('Never answered', [picture]).end = 'failed';
  conversation.ask('And now?', []);
  const messages = conversation.messages();
  assert.equal(messages.length, 1);
  assert.deepEqual(messages[0].content.map((part) => part.type), ['image_url', 'text']);
  assert.equal(messages[0].content[1].text, 'And now?');
});

test('retry and edit drop what they replace', () => {
  const conversation = new Conversation();
  conversation.ask('One', [picture]).text = 'first';
  conversation.ask('Two', []).text = 'second';
  conversation.retry();
  assert.equal(conversation.turns.length, 4);
  assert.equal(conversation.turns[3].text, '');
  conversation.edit(0, 'Other');
  assert.equal(conversation.turns.length, 2);
  assert.equal(conversation.turns[0].text, 'Other');
  assert.deepEqual(conversation.turns[0].pictures, [picture]);
});

test('what was saved comes back if it is sound', () => {
  const conversation = new Conversation();
  conversation.ask('One', [picture]).text = 'half an answ';
  const back = Conversation.from(JSON.parse(JSON.stringify(conversation.turns)));
  assert.equal(back.turns[1].end, 'stopped');
  for (const broken of [undefined, null, 7, 'x', [{}], [{ role: 'assistant', text: 'a' }], [{ role: 'user', text: 'a' }]]) {
    assert.deepEqual(Conversation.from(broken).turns, []);
  }
});

test('Markdown shows text as text', () => {
  const conversation = new Conversation();
  conversation.ask('# <b>*bold*', [picture]).text = 'A_b';
  const text = conversation.toMarkdown();
  assert.match(text, /\\# \\<b\\>\\\*bold\\\*/);
  assert.match(text, /_Picture: a\.png_/);
  assert.match(text, /A\\_b/);
});

test('JSON is a request that can be sent again', () => {
  const conversation = new Conversation();
  conversation.ask('One', [picture]).text = 'first';
  const saved = JSON.parse(conversation.toJson('demo', { temperature: 0 }));
  assert.equal(saved.model, 'demo');
  assert.deepEqual(saved.messages.map((message) => message.role), ['user', 'assistant']);
});

test('settings stay in their ranges', () => {
  for (const setting of SETTINGS) {
    assert.equal(clamp(setting, setting.value, NaN), setting.value, setting.key);
    assert.equal(clamp(setting, 1e9, NaN), setting.max, setting.key);
    assert.equal(clamp(setting, -1e9, NaN), setting.min, setting.key);
    for (const nonsense of ['', ' ', 'x', NaN, undefined, Infinity]) {
      assert.equal(clamp(setting, nonsense, setting.value), setting.value, `${setting.key} ${nonsense}`);
    }
  }
  const temperature = SETTINGS.find((setting) => setting.key === 'temperature');
  assert.equal(clamp(temperature, '0.30000000000000004', 1), 0.3);
});

test("defaults are MiniGPT-4's; the demo model is greedy", () => {
  assert.deepEqual(
    (({ num_beams, temperature, top_p, max_tokens, min_tokens }) =>
      ({ num_beams, temperature, top_p, max_tokens, min_tokens }))(defaults('vicuna-13b')),
    { num_beams: 1, temperature: 1, top_p: 0.9, max_tokens: 300, min_tokens: 1 });
  assert.equal(defaults('demo').temperature, 0);
  assert.deepEqual(restore({ temperature: 'hot', top_p: 7, unknown: 1 }, 'demo'), { ...defaults('demo'), top_p: 1 });
  assert.ok(!('top_p' in fields(defaults('demo'))));
});
