import { Api, ApiError } from './api.js';
import { Camera } from './camera.js';
import { Conversation } from './conversation.js';
import { EXAMPLES } from './examples.js';
import { filesOf, thumbnail, toPicture, typeOf } from './pictures.js';
import { SETTINGS, clamp, defaults, fields, restore } from './settings.js';
import { load, remember, remembered, save } from './store.js';
import { MessageList, element, sliders } from './view.js';

const $ = (id) => document.getElementById(id);
const KEY = 'minigpt4.key';
const POLL_MS = 5000;

const api = new Api();
let conversation = new Conversation();
let model = '';
let settings = defaults('');
/** @type {import('./conversation.js').Picture[]} */
let tray = [];
/** @type {AbortController | null} the answer that is being written */
let running = null;
let countdown = 0;

const messages = new MessageList($('messages'), {
  edit: (i, text) => answer(conversation.edit(i, text)),
  retry: () => answer(conversation.retry()),
  copy: (text, button) => copy(text, button),
});

// --- Showing ---

function show() {
  messages.show(conversation, running !== null);
  $('welcome').hidden = conversation.turns.length > 0;
  document.body.classList.toggle('talking', conversation.turns.length > 0 || tray.length > 0);
  $('stop').hidden = running === null;
  $('send').disabled = running !== null;
  for (const id of ['restart', 'save']) {
    $(id).disabled = conversation.turns.length === 0 && tray.length === 0;
  }
}

function toBottom() {
  const area = $('conversation');
  area.scrollTop = area.scrollHeight;
}

function isAtBottom() {
  const area = $('conversation');
  return area.scrollHeight - area.scrollTop - area.clientHeight < 80;
}

/** For screen readers, once and quietly. */
function say(text) {
  $('status').textContent = text;
}

function notice(text, retry) {
  clearInterval(countdown);
  $('notice-text').textContent = text;
  $('notice-retry').hidden = !retry;
  $('notice').hidden = false;
}

function closeNotice() {
  clearInterval(countdown);
  $('notice').hidden = true;
}

function showTray() {
  $('tray').replaceChildren(...tray.map((picture, i) =>
    element('li', {}, thumbnail(picture, picture.name),
      element('button', { type: 'button', 'aria-label': `Remove ${picture.name}`, onclick: () => {
        tray.splice(i, 1);
        showTray();
        $('question').focus();
      } }, '×'))));
  $('tray').hidden = tray.length === 0;
  show();
}

// --- Asking ---

async function addFiles(files) {
  for (const file of files) {
    const name = file.name || 'picture';
    try {
      tray.push(await toPicture(file, name));
      say(`${name} was added.`);
    } catch (e) {
      notice(e.message, false);
    }
  }
  showTray();
  $('question').focus();
}

function send() {
  const text = $('question').value.trim();
  if (running || text === '') {
    $('question').focus();
    return;
  }
  if (tray.length === 0 && !conversation.hasPictures()) {
    notice('Show a picture first: drop or paste one, choose a file, or take an example.', false);
    return;
  }
  const pictures = tray;
  tray = [];
  $('question').value = '';
  fitQuestion();
  showTray();
  answer(conversation.ask(text, pictures));
}

/** Where the keyboard goes on when the button that had the focus is gone. */
function keepFocus(instead) {
  const focused = document.activeElement;
  if (!focused || focused === document.body || focused.hidden || focused.disabled) {
    instead.focus({ preventScroll: true });
  }
}

/** Fills an open answer. */
async function answer(turn) {
  closeNotice();
  running = new AbortController();
  show();
  keepFocus($('stop'));
  toBottom();
  save(conversation.turns);
  say('The answer is on its way.');
  const start = performance.now();
  let [first, last] = [0, 0];
  try {
    const body = { model, ...fields(settings), messages: conversation.messages() };
    const result = await api.complete(body, running.signal, (piece) => {
      last = performance.now();
      first ||= last;
      const follow = isAtBottom();
      turn.text += piece;
      messages.grow(turn.text);
      if (follow) {
        toBottom();
      }
    }, () => {
      turn.text = '';
      messages.grow('');
    });
    turn.end = result.end;
    speed(start, first, last, result.tokens);
    say(turn.text);
  } catch (e) {
    turn.end = e.name === 'AbortError' ? 'stopped' : 'failed';
    if (turn.end !== 'stopped') {
      if (e.kind === 'refused' && conversation.turns.at(-1) === turn) {
        takeBack();
      }
      fail(e);
    } else if (conversation.turns.includes(turn)) {
      say('Stopped.');
    }
  }
  running = null;
  show();
  keepFocus(turn.end === 'failed' && !conversation.turns.includes(turn) ? $('question') : $('conversation'));
  if (isAtBottom()) {
    toBottom();
  }
  save(conversation.turns);
}

/** A question that the server refused goes back to where it, and its pictures, can be changed. */
function takeBack() {
  const { text, pictures } = conversation.takeBack();
  tray = [...pictures, ...tray];
  // Before what has been written meanwhile.
  $('question').value = [text, $('question').value].filter((part) => part.trim() !== '').join('\n');
  fitQuestion();
  showTray();
}

/** Times of the request, of the first piece of the answer and of the last. */
function speed(start, first, last, tokens) {
  $('strip-first').textContent = first ? `${((first - start) / 1000).toFixed(2)} s` : '–';
  const seconds = (last - first) / 1000;
  // The server joins the tokens of 10 ms, so that of a short answer all may come in the first piece.
  $('strip-speed').textContent =
    first && tokens > 1 && seconds > 0.01 ? `${((tokens - 1) / seconds).toFixed(1)} tokens/s` : '–';
}

function fail(error) {
  if (!(error instanceof ApiError)) {
    notice(`Something went wrong in this page: ${error.message}`, true);
    return;
  }
  if (error.kind === 'key') {
    askKey();
  } else if (error.kind === 'busy') {
    wait(error);
  } else {
    notice(error.message, error.kind !== 'refused');
  }
}

/** Tries again by itself when the server has said when. */
function wait(error) {
  let left = Math.ceil(error.retryAfter);
  notice('', true);
  const tick = () => {
    $('notice-text').textContent = `${error.message} Trying again in ${left} s.`;
    if (left-- <= 0) {
      tryAgain();
    }
  };
  tick();
  countdown = setInterval(tick, 1000);
}

/** What failed last: to meet the server, or the last answer. */
function tryAgain() {
  closeNotice();
  if (!model) {
    meet();
  } else if (!running && conversation.turns.at(-1)?.end === 'failed') {
    answer(conversation.retry());
  }
}

function askKey() {
  $('key').value = '';
  $('key-wrong').hidden = api.key === '';
  $('key-dialog').returnValue = '';
  $('key-dialog').showModal();
}

function restart() {
  running?.abort();
  conversation = new Conversation();
  tray = [];
  closeNotice();
  showTray();
  save([]);
  say('A new conversation.');
  $('question').focus();
}

// --- Saving ---

/** @param {HTMLElement} [button] shows for a moment that it was done */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
    if (button) {
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = 'Copy'; }, 1500);
    }
  } catch {
    notice('The browser does not let this page copy; select the text instead.', false);
  }
}

function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function menu(open) {
  $('save-menu').hidden = !open;
  $('save').setAttribute('aria-expanded', String(open));
  if (open) {
    $('copy-all').focus();
  }
}

// --- Settings, theme, examples ---

function showSettings() {
  const change = (setting, value) => {
    settings[setting.key] = clamp(setting, value, settings[setting.key]);
    remember(`minigpt4.settings.${model}`, settings);
    return settings[setting.key];
  };
  $('main-settings').replaceChildren(...sliders(SETTINGS.filter((s) => s.main), settings, change));
  $('more-settings').replaceChildren(...sliders(SETTINGS.filter((s) => !s.main), settings, change));
}

function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function showTheme() {
  $('theme').textContent = dark() ? 'Light' : 'Dark';
  $('theme').setAttribute('aria-label', dark() ? 'Use the light theme' : 'Use the dark theme');
}

function switchTheme() {
  const theme = dark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('minigpt4.theme', theme);
  } catch {
    // It lasts until the page is left, then.
  }
  showTheme();
}

async function takeExample(example) {
  if (running) {
    return;
  }
  try {
    const response = await fetch(example.file);
    const blob = await response.blob();
    await addFiles([new File([blob], example.file.split('/').pop(), { type: 'image/png' })]);
  } catch {
    notice('The example cannot be loaded: the server cannot be reached.', false);
    return;
  }
  $('question').value = example.question;
  fitQuestion();
}

function showExamples() {
  $('examples').replaceChildren(...EXAMPLES.map((example) =>
    element('li', {}, element('button', { type: 'button', onclick: () => takeExample(example) },
      element('img', { src: example.file, alt: example.alt, width: '96', height: '96' }),
      element('span', {}, example.question)))));
}

function fitQuestion() {
  const area = $('question');
  area.style.height = 'auto';
  area.style.height = `${Math.min(area.scrollHeight, 200)}px`;
}

// --- The server ---

async function poll() {
  if (document.hidden) {
    return;
  }
  try {
    const health = await api.health();
    if (health.device) { // not told without the key
      $('strip-queue').textContent = `${health.running} running, ${health.queued} waiting`;
      $('strip-device').textContent = $('strip-device').title = health.device;
    }
  } catch (e) {
    $('strip-queue').textContent = e.kind === 'gone' ? 'not reachable' : '–';
  }
}

async function meet() {
  try {
    model = await api.model();
  } catch (e) {
    fail(e);
    return;
  }
  $('model').textContent = model;
  $('model').hidden = false;
  $('demo-hint').hidden = model !== 'demo';
  settings = restore(remembered(`minigpt4.settings.${model}`), model);
  showSettings();
}

// --- Wiring ---

function wireComposer() {
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
  $('question').addEventListener('input', fitQuestion);
  $('question').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  });
  $('stop').addEventListener('click', () => {
    running?.abort();
    $('question').focus();
  });
  const camera = new Camera((file) => addFiles([file]), () => $('capture').click());
  $('camera').addEventListener('click', () => camera.open());
  $('add').addEventListener('click', () => $('files').click());
  for (const id of ['files', 'capture']) {
    $(id).addEventListener('change', async () => {
      await addFiles([...$(id).files]);
      $(id).value = '';
    });
  }
}

function wireBar() {
  $('restart').addEventListener('click', restart);
  $('theme').addEventListener('click', switchTheme);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showTheme);
  $('save').addEventListener('click', () => menu($('save-menu').hidden));
  $('save-menu').addEventListener('click', () => {
    menu(false);
    $('save').focus();
  });
  $('copy-all').addEventListener('click', () => copy(conversation.toMarkdown()));
  $('save-markdown').addEventListener('click', () =>
    download('conversation.md', 'text/markdown', conversation.toMarkdown()));
  $('save-json').addEventListener('click', () =>
    download('conversation.json', 'application/json', conversation.toJson(model, fields(settings))));
  $('defaults').addEventListener('click', () => {
    settings = defaults(model);
    remember(`minigpt4.settings.${model}`, settings);
    showSettings();
  });
  $('settings-form').addEventListener('submit', (event) => event.preventDefault());
  $('notice-close').addEventListener('click', closeNotice);
  $('notice-retry').addEventListener('click', tryAgain);
  $('key-cancel').addEventListener('click', () => $('key-dialog').close());
  $('key-dialog').addEventListener('close', () => {
    if ($('key-dialog').returnValue === 'use') {
      api.key = $('key').value;
      sessionStorage.setItem(KEY, api.key);
      tryAgain();
    } else {
      notice('Without the key the server gives no answers.', true);
    }
  });
}

function wirePage() {
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') {
      return;
    }
    if (!$('save-menu').hidden) {
      menu(false);
      $('save').focus();
    } else if (running && !document.querySelector('dialog[open]')) {
      running.abort();
    }
  });
  document.addEventListener('click', (event) => {
    if (!event.target.closest('.menu')) {
      menu(false);
    }
  });
  document.addEventListener('paste', (event) => {
    const files = filesOf(event.clipboardData).filter(typeOf);
    if (files.length > 0) {
      event.preventDefault();
      addFiles(files);
    }
  });
  let depth = 0;
  const drag = (change) => {
    depth = Math.max(0, change === 0 ? 0 : depth + change);
    $('drop').hidden = depth === 0;
  };
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  document.addEventListener('dragenter', (event) => hasFiles(event) && drag(1));
  document.addEventListener('dragleave', (event) => hasFiles(event) && drag(-1));
  document.addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    drag(0);
    if (hasFiles(event)) {
      event.preventDefault();
      addFiles(filesOf(event.dataTransfer));
    }
  });
  document.addEventListener('visibilitychange', poll);
}

async function start() {
  wireComposer();
  wireBar();
  wirePage();
  showTheme();
  showExamples();
  if (matchMedia('(max-width: 60rem)').matches) {
    $('settings').open = false;
  }
  api.key = sessionStorage.getItem(KEY) ?? '';
  conversation = Conversation.from(await load());
  show();
  toBottom();
  await meet();
  await poll();
  setInterval(poll, POLL_MS);
}

start();
