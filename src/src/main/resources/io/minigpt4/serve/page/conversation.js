/**
 * @typedef {{name: string, url: string}} Picture url is a data: URI
 * @typedef {{role: 'user', text: string, pictures: Picture[]}} Question
 * @typedef {{role: 'assistant', text: string, end: string}} Answer
 *   end: 'stop', 'length', 'stopped' by the user, 'failed', or 'open' while it is being written
 */

/** What was shown, asked and answered. Questions and answers alternate, beginning with a question. */
export class Conversation {
  /** @type {(Question | Answer)[]} */
  turns = [];

  static from(saved) {
    const conversation = new Conversation();
    const sound = (turn, i) =>
      turn && typeof turn.text === 'string' &&
      turn.role === (i % 2 === 0 ? 'user' : 'assistant') &&
      (turn.role === 'assistant' || Array.isArray(turn.pictures));
    if (Array.isArray(saved) && saved.every(sound)) {
      conversation.turns = saved.map((turn) =>
        turn.role === 'assistant' && turn.end === 'open' ? { ...turn, end: 'stopped' } : turn);
    }
    return conversation;
  }

  /** A new question; a last one that got no answer is replaced. @returns {Answer} to be filled */
  ask(text, pictures) {
    this.turns.push({ role: 'user', text, pictures });
    return this.#open();
  }

  #open() {
    const answer = { role: 'assistant', text: '', end: 'open' };
    this.turns.push(answer);
    return answer;
  }

  /** Drops the last answer and opens a new one to the same question. */
  retry() {
    this.turns.pop();
    return this.#open();
  }

  /** Asks question number i (an index of turns) anew with another text; what followed is dropped. */
  edit(i, text) {
    const { pictures } = this.turns[i];
    this.turns.length = i;
    return this.ask(text, pictures);
  }

  /** Removes the last question with its answer. @returns {Question} */
  takeBack() {
    return this.turns.splice(-2)[0];
  }

  hasPictures() {
    return this.turns.some((turn) => turn.role === 'user' && turn.pictures.length > 0);
  }

  /** The messages of a request for the last, open answer. Answers that are empty are left out with their question. */
  messages() {
    const messages = [];
    let orphans = [];
    for (let i = 0; i < this.turns.length; i += 2) {
      const question = this.turns[i];
      const answer = this.turns[i + 1];
      const last = i + 2 >= this.turns.length;
      const pictures = [...orphans, ...question.pictures];
      if (!last && answer.text === '') {
        // What it showed stays in sight for the questions after it.
        orphans = pictures;
        continue;
      }
      orphans = [];
      messages.push({
        role: 'user',
        content: [
          ...pictures.map((picture) => ({ type: 'image_url', image_url: { url: picture.url } })),
          { type: 'text', text: question.text },
        ],
      });
      if (!last) {
        messages.push({ role: 'assistant', content: answer.text });
      }
    }
    return messages;
  }

  /** For people. Pictures appear by name. */
  toMarkdown() {
    const lines = ['# A conversation with MiniGPT-4', ''];
    for (const turn of this.turns) {
      if (turn.role === 'user') {
        lines.push('**You**', '');
        for (const picture of turn.pictures) {
          lines.push(`_Picture: ${escapeMarkdown(picture.name)}_`, '');
        }
      } else {
        lines.push('**MiniGPT-4**', '');
      }
      lines.push(escapeMarkdown(turn.text) || '_(no answer)_', '');
    }
    return lines.join('\n');
  }

  /** For programs: the messages of OpenAI's API, pictures included. */
  toJson(model, settings) {
    const messages = this.messages();
    const answer = this.turns.at(-1);
    if (answer?.role === 'assistant' && answer.text !== '') {
      messages.push({ role: 'assistant', content: answer.text });
    }
    return JSON.stringify({ model, ...settings, messages }, null, 2);
  }
}

function escapeMarkdown(text) {
  return text.replace(/[\\`*_{}[\]<>#|]/g, '\\$&');
}
