import { thumbnail } from './pictures.js';

/** Makes an element. Text is only ever set as text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) {
      made.addEventListener(name.slice(2), value);
    } else if (value === true) {
      made.setAttribute(name, '');
    } else if (value !== false && value !== undefined) {
      made.setAttribute(name, value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const ENDS = {
  length: 'The longest answer that was allowed.',
  stopped: 'Stopped.',
  failed: 'Not finished.',
};

/** The list of messages. Actions come back as calls of the handlers. */
export class MessageList {
  /**
   * @param {HTMLElement} list
   * @param {{edit: (i: number, text: string) => void, retry: () => void, copy: (text: string, button: HTMLElement) => void}} handlers
   */
  constructor(list, handlers) {
    this.list = list;
    this.handlers = handlers;
  }

  /** @param {import('./conversation.js').Conversation} conversation @param {boolean} busy */
  show(conversation, busy) {
    this.list.replaceChildren(
      ...conversation.turns.map((turn, i) =>
        turn.role === 'user'
          ? this.#question(turn, i, busy)
          : this.#answer(turn, i === conversation.turns.length - 1, busy)));
  }

  /** The text of the last answer, while it grows. */
  grow(text) {
    const last = this.list.lastElementChild?.querySelector('.text');
    if (last) {
      last.textContent = text;
      last.classList.remove('waiting');
    }
  }

  #question(turn, i, busy) {
    const text = element('p', { class: 'text' }, turn.text);
    const item = element('li', { class: 'message user' }, element('h3', { class: 'visually-hidden' }, 'You'));
    if (turn.pictures.length > 0) {
      item.append(element('div', { class: 'shown' },
        ...turn.pictures.map((picture) => thumbnail(picture, `Picture: ${picture.name}`))));
    }
    const edit = element('button', { type: 'button', class: 'small', disabled: busy,
      onclick: () => this.#edit(item, text, turn, i) }, 'Edit');
    item.append(text, element('div', { class: 'message-actions' }, edit));
    return item;
  }

  #edit(item, text, turn, i) {
    const actions = item.querySelector('.message-actions');
    const area = element('textarea', { 'aria-label': 'Edit the question', rows: '2', maxlength: '20000' });
    area.value = turn.text;
    const end = () => {
      form.replaceWith(text);
      actions.hidden = false;
      actions.querySelector('button').focus();
    };
    const form = element('form', { class: 'edit',
      onsubmit: (event) => {
        event.preventDefault();
        if (area.value.trim() !== '') {
          this.handlers.edit(i, area.value.trim());
        }
      },
      onkeydown: (event) => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          end();
        } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          form.requestSubmit();
        }
      } },
    area,
    element('div', { class: 'message-actions' },
      element('button', { type: 'button', class: 'small', onclick: end }, 'Cancel'),
      element('button', { type: 'submit', class: 'small strong' }, 'Ask again')));
    actions.hidden = true;
    text.replaceWith(form);
    area.focus();
  }

  #answer(turn, last, busy) {
    const open = turn.end === 'open';
    const item = element('li', { class: 'message assistant' },
      element('h3', { class: 'visually-hidden' }, 'MiniGPT-4'),
      element('p', { class: open && turn.text === '' ? 'text waiting' : 'text' }, turn.text));
    if (!open) {
      const note = ENDS[turn.end];
      if (note) {
        item.append(element('p', { class: 'end' }, note));
      }
      item.append(element('div', { class: 'message-actions' },
        turn.text === '' ? null
          : element('button', { type: 'button', class: 'small', onclick: (event) => this.handlers.copy(turn.text, event.currentTarget) }, 'Copy'),
        last ? element('button', { type: 'button', class: 'small', disabled: busy,
          onclick: () => this.handlers.retry() }, 'Retry') : null));
    }
    return item;
  }
}

/** Sliders with a number beside each, for one group of settings. */
export function sliders(settings, values, onChange) {
  return settings.map((setting) => {
    const id = `setting-${setting.key}`;
    const help = setting.help ? element('p', { class: 'hint', id: `${id}-help` }, setting.help) : null;
    const common = { min: String(setting.min), max: String(setting.max), step: String(setting.step) };
    const range = element('input', { type: 'range', id, ...common,
      'aria-describedby': help ? `${id}-help` : undefined });
    const number = element('input', { type: 'number', ...common, 'aria-label': `${setting.label}, as a number` });
    range.value = number.value = String(values[setting.key]);
    range.addEventListener('input', () => {
      number.value = range.value;
      onChange(setting, range.value);
    });
    number.addEventListener('change', () => {
      const taken = String(onChange(setting, number.value));
      number.value = range.value = taken;
    });
    return element('div', { class: 'setting' },
      element('label', { for: id }, setting.label), number, range, help);
  });
}
