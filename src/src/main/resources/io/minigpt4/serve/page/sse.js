/**
 * Server-sent events: bytes that come in any pieces, events that come out whole.
 * Only what this API uses: `data:` lines, events ended by an empty line, comments ignored.
 */
export class EventParser {
  #decoder = new TextDecoder();
  #rest = '';
  #data = [];

  /**
   * @param {Uint8Array} bytes the next piece; characters and lines may be cut anywhere
   * @returns {string[]} the data of the events that it completes
   */
  push(bytes) {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    const lines = this.#rest.split(/\r\n|\n/);
    this.#rest = lines.pop();
    const events = [];
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) {
          events.push(this.#data.join('\n'));
          this.#data = [];
        }
      } else if (line.startsWith('data:')) {
        this.#data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
      }
    }
    return events;
  }
}
