import { EventParser } from './sse.js';

/** A request that failed: `kind` says what the page does about it, `message` what it tells. */
export class ApiError extends Error {
  /** @param {'key' | 'busy' | 'refused' | 'failed' | 'gone'} kind @param {number} [retryAfter] seconds */
  constructor(kind, message, retryAfter) {
    super(message);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}

/** The HTTP API of the server that this page came from. */
export class Api {
  key = '';

  async #fetch(path, options = {}) {
    const headers = { ...options.headers };
    if (this.key) {
      headers.Authorization = `Bearer ${this.key}`;
    }
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (e) {
      if (e.name === 'AbortError') {
        throw e;
      }
      throw new ApiError('gone', 'The server cannot be reached.');
    }
    if (!response.ok) {
      throw await failure(response);
    }
    return response;
  }

  async health() {
    return (await this.#fetch('/health')).json();
  }

  /** @returns {Promise<string>} the id of the model that the server runs */
  async model() {
    return (await (await this.#fetch('/v1/models')).json()).data[0].id;
  }

  /**
   * Asks for an answer.
   *
   * @param {object} body of the request, without `stream`
   * @param {AbortSignal} signal ends it
   * @param {(text: string) => void} onText gets the answer piece by piece
   * @param {() => void} onRestart what came so far is void, the model has begun anew
   * @returns {Promise<{end: string, tokens: number | undefined}>} why it ended, and its length
   */
  async complete(body, signal, onText, onRestart) {
    const response = await this.#fetch('/v1/chat/completions', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
      signal,
    });
    const result = { end: '', tokens: undefined };
    const parser = new EventParser();
    const reader = response.body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          break;
        }
        for (const data of parser.push(value)) {
          if (data !== '[DONE]') {
            take(JSON.parse(data), result, onText, onRestart);
          }
        }
      }
    } catch (e) {
      if (e.name === 'AbortError' || e instanceof ApiError) {
        throw e;
      }
      throw new ApiError('gone', 'The connection broke in the middle of the answer.');
    }
    if (!result.end) {
      throw new ApiError('gone', 'The connection ended in the middle of the answer.');
    }
    return result;
  }
}

function take(chunk, result, onText, onRestart) {
  if (chunk.error) {
    throw new ApiError('failed', chunk.error.message ?? 'The server failed.');
  }
  const choice = chunk.choices?.[0];
  if (choice?.restarted) {
    onRestart();
  }
  if (choice?.delta?.content) {
    onText(choice.delta.content);
  }
  result.end = choice?.finish_reason ?? result.end;
  result.tokens = chunk.usage?.completion_tokens ?? result.tokens;
}

async function failure(response) {
  let said;
  try {
    said = (await response.json()).error?.message;
  } catch {
    // Not the API's own answer, a proxy's perhaps.
  }
  const status = response.status;
  if (status === 401) {
    return new ApiError('key', said ?? 'The server asks for a key.');
  }
  if (status === 429 || status === 503) {
    const seconds = Number(response.headers.get('Retry-After'));
    return new ApiError('busy', said ?? 'The server is busy.', seconds > 0 ? Math.min(seconds, 300) : 5);
  }
  if (status >= 500) {
    return new ApiError('failed', said ?? `The server failed (${status}).`);
  }
  if (status === 413) {
    return new ApiError('refused', said ?? 'The pictures are too large for this server.');
  }
  return new ApiError('refused', said ?? `The server refused the request (${status}).`);
}
