// Drives the page of a running server: URL=http://127.0.0.1:PORT/ node --test page.test.mjs
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';

const URL_OF_PAGE = process.env.URL;
const SCENE = fileURLToPath(new URL('../../../../../docs/images/scene.png', import.meta.url));
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const CHAT = '**/v1/chat/completions';
const DESCRIBE = 'Describe this image in detail.';

let browser;
let context;
let page;
let trouble;

before(async () => {
  assert.ok(URL_OF_PAGE, 'URL is not set');
  browser = await launch();
});

after(() => browser?.close());

beforeEach(() => open());

afterEach(async () => {
  const found = trouble;
  await context.close();
  assert.deepEqual(found, []);
});

/** A fresh visitor. Errors in the console and requests that leave the server end a test badly. */
async function open(options = {}) {
  await context?.close();
  context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  trouble = [];
  const mine = new URL(URL_OF_PAGE).host;
  page.on('pageerror', (e) => trouble.push(e.message));
  page.on('console', (message) => {
    // Chromium itself reports each answer with an error status; tests that provoke one look at the page.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
      trouble.push(message.text());
    }
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith('http') && url.host !== mine) {
      trouble.push(`request to ${url.host}`);
    }
  });
  await page.goto(URL_OF_PAGE);
  await page.waitForFunction(() => document.querySelectorAll('#main-settings input').length > 0);
}

const question = () => page.locator('#question');
const answers = () => page.locator('.message.assistant .text');
const lastAnswer = () => answers().last().innerText();
const finished = () => page.locator('#send:enabled').waitFor();

async function add(...files) {
  await page.setInputFiles('#files', files);
  await page.locator('#tray li').nth(files.length - 1).waitFor();
}

async function ask(text) {
  await question().fill(text);
  await page.click('#send');
  await finished();
}

function stream(...pieces) {
  const chunks = pieces.map((content) => ({ choices: [{ delta: { content }, finish_reason: null }] }));
  chunks.push({ choices: [{ delta: {}, finish_reason: 'stop' }] });
  return {
    status: 200,
    contentType: 'text/event-stream',
    body: [...chunks.map((chunk) => JSON.stringify(chunk)), '[DONE]'].map((data) => `data: ${data}\n\n`).join(''),
  };
}

function refusal(status, message, headers = {}) {
  return { status, headers, contentType: 'application/json', body: JSON.stringify({ error: { message } }) };
}

async function accessible(what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(grave.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], what);
}

test('an uploaded picture is described, and talked about further', async () => {
  await add(SCENE);
  await ask(DESCRIBE);
  const description = await lastAnswer();
  assert.match(description, /large yellow circle in the top left corner/);
  assert.match(await page.locator('#strip-speed').innerText(), /tokens\/s/);
  await ask('And the star?');
  assert.equal(await answers().count(), 2);
  assert.match(await lastAnswer(), /star/);
  assert.match(await page.locator('#strip-queue').innerText(), /\d+ running, \d+ waiting/);
});

test('the answer appears while it is written, and stops when told', async () => {
  await add(SCENE);
  await ask(DESCRIBE);
  const whole = await lastAnswer();
  await page.click('#restart');
  await add(SCENE);
  await question().fill(DESCRIBE);
  await page.evaluate(() => {
    const stop = new MutationObserver(() => {
      const text = document.querySelector('.message.assistant .text')?.textContent ?? '';
      if (text.length > 0) {
        stop.disconnect();
        document.getElementById('stop').click();
      }
    });
    stop.observe(document.getElementById('messages'), { childList: true, subtree: true, characterData: true });
  });
  await page.click('#send');
  await page.getByText('Stopped.', { exact: true }).first().waitFor();
  const part = await lastAnswer();
  assert.ok(part.length > 0 && part.length < whole.length, part);
  await page.getByRole('button', { name: 'Retry' }).click();
  await finished();
  assert.equal(await lastAnswer(), whole);
  assert.equal(await answers().count(), 1);
});

test('a question can be changed and asked again', async () => {
  await add(SCENE);
  await ask('How many circles are there?');
  await ask('And how many stars?');
  await page.getByRole('button', { name: 'Edit' }).first().click();
  await page.getByLabel('Edit the question').fill('Where is the heart?');
  await page.getByRole('button', { name: 'Ask again' }).click();
  await finished();
  assert.equal(await answers().count(), 1);
  assert.match(await lastAnswer(), /heart is in the bottom right corner/);
});

test('examples bring their question', async () => {
  await page.locator('#examples button').nth(3).click();
  await page.locator('#tray li').waitFor();
  assert.equal(await question().inputValue(), 'Where is the white square?');
  await page.click('#send');
  await finished();
  assert.match(await lastAnswer(), /on the right/);
});

test('a conversation outlives a reload, and ends with a restart', async () => {
  await add(SCENE);
  await ask('What colour is the heart?');
  const answer = await lastAnswer();
  await page.waitForTimeout(300);
  await page.reload();
  await answers().first().waitFor();
  assert.equal(await lastAnswer(), answer);
  assert.equal(await page.locator('.message.user .shown img').count(), 1);
  await ask('And the star?');
  assert.equal(await answers().count(), 2);
  await page.click('#restart');
  assert.equal(await page.locator('.message').count(), 0);
  await page.waitForTimeout(300);
  await page.reload();
  await page.locator('#welcome').waitFor();
});

test('no speed is made up for an answer that comes at once', async () => {
  const chunks = [{ choices: [{ delta: { content: 'Five.' }, finish_reason: null }] },
    { choices: [{ delta: {}, finish_reason: 'stop' }] }, { choices: [], usage: { completion_tokens: 50 } }];
  await page.route(CHAT, (route) => route.fulfill({ status: 200, contentType: 'text/event-stream',
    body: chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('') }));
  await add(SCENE);
  await ask('How many?');
  assert.match(await page.locator('#strip-first').innerText(), / s/);
  assert.equal(await page.locator('#strip-speed').innerText(), '–');
});

test('a copy of a tab goes its own way', async () => {
  await add(SCENE);
  await ask('What colour is the heart?');
  const answer = await lastAnswer();
  await page.waitForTimeout(300);
  const [copy] = await Promise.all([context.waitForEvent('page'), page.evaluate(() => { open(location.href); })]);
  await copy.locator('.message.assistant .text').waitFor();
  await copy.click('#restart');
  assert.equal(await copy.locator('.message').count(), 0);
  await copy.waitForTimeout(300);
  await page.reload();
  await answers().first().waitFor();
  assert.equal(await lastAnswer(), answer);
});

test('a reload in the middle of an answer keeps the question', async () => {
  await page.route(CHAT, () => {}); // an answer that never comes
  await add(SCENE);
  await question().fill('What is this?');
  await page.click('#send');
  await page.waitForTimeout(300);
  await page.reload();
  await page.locator('.message.user .shown img').waitFor();
  await page.getByText('Stopped.', { exact: true }).first().waitFor();
  await page.unroute(CHAT);
  await page.getByRole('button', { name: 'Retry' }).click();
  await finished();
  assert.match(await lastAnswer(), /\w/);
});

test('what a model takes back is not shown', async () => {
  const chunk = (choice) => `data: ${JSON.stringify({ choices: [choice] })}\n\n`;
  await page.route(CHAT, (route) => route.fulfill({
    status: 200, contentType: 'text/event-stream',
    body: chunk({ delta: { content: 'No. Assistant' } }) + chunk({ delta: {}, restarted: true })
      + chunk({ delta: { content: 'Yes.' } }) + chunk({ delta: {}, finish_reason: 'stop' }) + 'data: [DONE]\n\n',
  }));
  await add(SCENE);
  await ask('Is it?');
  assert.equal(await lastAnswer(), 'Yes.');
});

test('pictures come by paste, by drop and from the camera; they can be taken away', async () => {
  const data = (await readFile(SCENE)).toString('base64');
  await page.evaluate(async (base64) => {
    const blob = await (await fetch(`data:image/png;base64,${base64}`).catch(() => null))?.blob();
    const bytes = blob ?? new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type: 'image/png' });
    const transfer = () => {
      const made = new DataTransfer();
      made.items.add(new File([bytes], 'dropped.png', { type: 'image/png' }));
      return made;
    };
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer(), bubbles: true, cancelable: true }));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer(), bubbles: true, cancelable: true }));
  }, data);
  await page.locator('#tray li').nth(1).waitFor();
  trouble = trouble.filter((line) => !line.includes('Content Security Policy'));
  await page.click('#camera');
  await page.locator('#camera-dialog').waitFor();
  await page.waitForFunction(() => document.getElementById('camera-view').videoWidth > 0);
  await page.click('#camera-shoot');
  await page.locator('#tray li').nth(2).waitFor();
  await page.getByRole('button', { name: 'Remove camera.jpg' }).click();
  assert.equal(await page.locator('#tray li').count(), 2);
});

test('the keyboard is enough', async () => {
  await add(SCENE);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'question');
  await page.keyboard.type('Is there a star?');
  await page.keyboard.press('Enter');
  await finished();
  assert.match(await lastAnswer(), /^Yes/);
  const reached = new Set();
  await page.locator('body').press('Tab');
  for (let i = 0; i < 60; i++) {
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent));
    await page.keyboard.press('Tab');
  }
  for (const wanted of ['theme', 'save', 'restart', 'setting-temperature', 'question', 'send', 'add', 'camera', 'Copy', 'Edit', 'Retry']) {
    assert.ok(reached.has(wanted), `${wanted} cannot be reached: ${[...reached]}`);
  }
  await page.getByRole('button', { name: 'Retry' }).focus();
  await page.keyboard.press('Enter');
  await finished();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'conversation', 'where the keyboard goes on');
});

test('it fits a phone', async () => {
  await open({ viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
  await add(SCENE);
  await ask(DESCRIBE);
  const [wide, tall] = await page.evaluate(() =>
    [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
  assert.ok(wide <= 360 && tall <= 640, `${wide} × ${tall}`);
  const send = await page.locator('#send').boundingBox();
  assert.ok(send.height >= 40 && send.y + send.height <= 640);
  assert.ok((await page.locator('#conversation').boundingBox()).height > 200);
  await accessible('on a phone');
});

test('many pictures and a long question leave the button in sight', async () => {
  await open({ viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
  await add(...Array(14).fill(SCENE));
  await question().fill('line\n'.repeat(12));
  assert.ok((await page.evaluate(() => document.documentElement.scrollHeight)) <= 640);
  const send = await page.locator('#send').boundingBox();
  assert.ok(send.y + send.height <= 640, `${send.y} + ${send.height}`);
});

test('it fits the smallest phone, and one on its side', async () => {
  for (const [width, height, least] of [[320, 568, 150], [640, 320, 100]]) {
    await open({ viewport: { width, height }, hasTouch: true, isMobile: true });
    await add(SCENE);
    await ask('Where is the heart?');
    await ask('x'.repeat(300));
    const [wide, tall] = await page.evaluate(() =>
      [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
    assert.ok(wide <= width && tall <= height, `${wide} × ${tall} at ${width} × ${height}`);
    const room = (await page.locator('#conversation').boundingBox()).height;
    assert.ok(room >= least, `${room} for the conversation at ${width} × ${height}`);
  }
});

test('axe finds nothing grave, in the light and in the dark', async () => {
  await accessible('before a conversation');
  await add(SCENE);
  await ask('What is this?');
  await accessible('in a conversation');
  await page.click('#theme');
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  await accessible('in the dark');
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
});

test('settings govern the request', async () => {
  const bodies = [];
  await page.route(CHAT, (route) => {
    bodies.push(route.request().postDataJSON());
    return route.fulfill(stream('Yes.'));
  });
  await add(SCENE);
  await page.locator('#setting-num_beams').fill('3');
  await page.locator('#setting-temperature').fill('0.5');
  await page.getByLabel('Longest answer, as a number').fill('5000');
  await page.getByLabel('Longest answer, as a number').press('Tab');
  await ask('Is it?');
  const { num_beams, temperature, max_tokens, stream: streamed, messages } = bodies[0];
  assert.deepEqual({ num_beams, temperature, max_tokens, streamed }, { num_beams: 3, temperature: 0.5, max_tokens: 1000, streamed: true });
  assert.match(messages[0].content[0].image_url.url, /^data:image\/png;base64,/);
  await page.reload();
  await page.waitForFunction(() => document.getElementById('setting-num_beams')?.value === '3');
});

test('an answer is text, whatever it says', async () => {
  const evil = '<img src=x onerror="document.title=1"><script>document.title=2</script> & **bold**';
  await page.route(CHAT, (route) => route.fulfill(stream(evil.slice(0, 9), evil.slice(9))));
  await add(SCENE);
  await ask('What is this?');
  assert.equal(await lastAnswer(), evil);
  assert.equal(await page.locator('.message.assistant img').count(), 0);
});

test('a busy server is asked again when it said', async () => {
  let asked = 0;
  await page.route(CHAT, (route) => (asked++ === 0
    ? route.fulfill(refusal(429, 'Too many people are asking.', { 'Retry-After': '2' }))
    : route.fulfill(stream('Now.'))));
  await add(SCENE);
  await question().fill('What is this?');
  await page.click('#send');
  await page.getByText(/Too many people are asking\. Trying again in \d s\./).waitFor();
  await page.getByText('Now.', { exact: true }).first().waitFor();
  assert.equal(asked, 2);
});

test('a key that the server asks for is asked for and sent', async () => {
  await page.route(CHAT, (route) => (route.request().headers().authorization === 'Bearer secret'
    ? route.fulfill(stream('Welcome.'))
    : route.fulfill(refusal(401, 'A key is needed.'))));
  await add(SCENE);
  await question().fill('What is this?');
  await page.click('#send');
  await page.locator('#key-dialog').waitFor();
  await page.fill('#key', 'secret');
  await page.keyboard.press('Enter');
  await page.getByText('Welcome.', { exact: true }).first().waitFor();
});

test('without the key the page says so, and nothing that it does not know', async () => {
  await page.route('**/health', (route) => route.fulfill({ contentType: 'application/json', body: '{"status":"ok"}' }));
  await page.route('**/v1/models', (route) => route.fulfill(refusal(401, 'A key is needed.')));
  const polled = page.waitForResponse('**/health');
  await page.reload();
  await page.locator('#key-dialog').waitFor();
  assert.doesNotMatch(await page.locator('#key-dialog').innerText(), /does not take/);
  await page.fill('#key', 'wrong');
  await page.keyboard.press('Enter');
  await page.getByText('The server does not take the key that was given.').waitFor();
  await polled;
  assert.doesNotMatch(await page.locator('#strip').innerText(), /undefined/);
});

test('where the server lets nobody in, no key is asked for', async () => {
  await page.route(CHAT, (route) => route.fulfill(refusal(403, 'Web pages of this origin may not use this server.')));
  await add(SCENE);
  await ask('What is this?');
  await page.getByText('Web pages of this origin may not use this server.').waitFor();
  assert.equal(await page.locator('#key-dialog[open]').count(), 0);
});

test('what goes wrong is said in words and can be tried again', async () => {
  let gone = true;
  await page.route(CHAT, (route) => (gone ? route.abort() : route.fulfill(stream('Back.'))));
  await add(SCENE);
  await ask('What is this?');
  await page.getByText('The server cannot be reached.').waitFor();
  gone = false;
  await page.click('#notice-retry');
  await page.getByText('Back.', { exact: true }).first().waitFor();
  await page.unroute(CHAT);
  await page.route(CHAT, (route) => route.fulfill(refusal(400, 'The message has 9999 tokens.')));
  await ask('Too much?');
  await page.getByText('The message has 9999 tokens.').waitFor();
  await page.unroute(CHAT);
  await page.route(CHAT, (route) => route.fulfill({
    status: 200, contentType: 'text/event-stream',
    body: 'data: {"choices":[{"delta":{"content":"Half an"}}]}\n\n',
  }));
  await ask('Broken off?');
  await page.getByText('The connection ended in the middle of the answer.').waitFor();
  assert.equal(await lastAnswer(), 'Half an');
});

test('what is no picture is refused by name; a question needs a picture', async () => {
  await page.setInputFiles('#files', { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('x') });
  await page.getByText('notes.txt is not a picture that can be read').waitFor();
  await page.setInputFiles('#files', { name: 'empty.png', mimeType: 'image/png', buffer: Buffer.alloc(0) });
  await page.getByText('empty.png is empty.').waitFor();
  await question().fill('What is this?');
  await page.click('#send');
  await page.getByText('Show a picture first').waitFor();
  assert.equal(await page.locator('.message').count(), 0);
});

test('a picture that only looks like one is refused by the server, in words', async () => {
  await page.setInputFiles('#files', { name: 'fake.png', mimeType: 'image/png', buffer: Buffer.from('not a picture') });
  await page.locator('#tray li').waitFor();
  await ask('What is this?');
  await page.locator('#notice').waitFor();
  assert.doesNotMatch(await page.locator('#notice-text').innerText(), /Exception|\.java|went wrong in this page/);
});

test('a question that is refused comes back to be changed', async () => {
  await page.setInputFiles('#files', { name: 'fake.png', mimeType: 'image/png', buffer: Buffer.from('not a picture') });
  await page.locator('#tray li').waitFor();
  await ask('How many objects are there?');
  await page.locator('#notice').waitFor();
  assert.equal(await page.locator('.message').count(), 0);
  assert.equal(await question().inputValue(), 'How many objects are there?');
  await page.getByRole('button', { name: 'Remove fake.png' }).click();
  await add(SCENE);
  await page.click('#send');
  await finished();
  assert.match(await lastAnswer(), /five/);
});

test('a question that is refused does not take the place of the next one', async () => {
  let refuse;
  const wait = new Promise((resolve) => { refuse = resolve; });
  await page.route(CHAT, async (route) => {
    await wait;
    await route.fulfill(refusal(400, 'Too long.'));
  });
  await add(SCENE);
  await question().fill('First?');
  await page.click('#send');
  await question().fill('Second?');
  refuse();
  await page.getByText('Too long.').waitFor();
  assert.equal(await question().inputValue(), 'First?\nSecond?');
});

test('the conversation can be taken along', async () => {
  await add(SCENE);
  await ask('How many objects are there?');
  for (const [button, pattern] of [['Download as Markdown', /\*\*You\*\*/], ['Download as JSON', /"role": "assistant"/]]) {
    await page.click('#save');
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: button }).click()]);
    assert.match(await readFile(await download.path(), 'utf8'), pattern);
  }
});
