/** What governs generation: ranges and defaults are MiniGPT-4's; 0 as a temperature means greedy. */
export const SETTINGS = [
  { key: 'num_beams', label: 'Beams', min: 1, max: 10, step: 1, value: 1, main: true,
    help: 'Answers followed side by side; more are slower.' },
  { key: 'temperature', label: 'Temperature', min: 0, max: 2, step: 0.1, value: 1, main: true,
    help: '0 always takes the likeliest word.' },
  { key: 'top_p', label: 'Top-p', min: 0.05, max: 1, step: 0.05, value: 0.9, main: true,
    help: 'Words are drawn from the likeliest that make up this share.' },
  { key: 'max_tokens', label: 'Longest answer', min: 1, max: 1000, step: 1, value: 300, main: true,
    help: 'In tokens; a word is one or two.' },
  { key: 'min_tokens', label: 'Shortest answer', min: 0, max: 200, step: 1, value: 1 },
  { key: 'top_k', label: 'Top-k', min: 0, max: 200, step: 1, value: 50, help: '0 turns it off.' },
  { key: 'repetition_penalty', label: 'Repetition penalty', min: 1, max: 2, step: 0.05, value: 1 },
  { key: 'length_penalty', label: 'Length penalty', min: -2, max: 2, step: 0.1, value: 1,
    help: 'For beams: above 0 favours long answers.' },
];

/**
 * @param {string} model the model's id; the demo model is small and answers best greedily
 * @returns {Record<string, number>}
 */
export function defaults(model) {
  const values = Object.fromEntries(SETTINGS.map((s) => [s.key, s.value]));
  if (model === 'demo') {
    values.temperature = 0;
    values.max_tokens = 200;
  }
  return values;
}

/** The nearest allowed value; what is no number becomes the fallback. */
export function clamp(setting, value, fallback) {
  const number = typeof value === 'string' && value.trim() === '' ? NaN : Number(value);
  if (!Number.isFinite(number)) {
    return fallback;
  }
  const steps = Math.round((number - setting.min) / setting.step);
  const near = setting.min + steps * setting.step;
  const decimals = (String(setting.step).split('.')[1] ?? '').length;
  return Number(Math.min(setting.max, Math.max(setting.min, near)).toFixed(decimals + 1));
}

/** What was saved, as far as it is sound, over the defaults. */
export function restore(saved, model) {
  const values = defaults(model);
  for (const setting of SETTINGS) {
    if (saved && typeof saved === 'object' && setting.key in saved) {
      values[setting.key] = clamp(setting, saved[setting.key], values[setting.key]);
    }
  }
  return values;
}

/** The fields of a request. Without sampling, what governs sampling is left out. */
export function fields(values) {
  const sent = { ...values };
  if (sent.temperature === 0) {
    delete sent.top_p;
    delete sent.top_k;
  }
  if (sent.num_beams === 1) {
    delete sent.length_penalty;
  }
  sent.min_tokens = Math.min(sent.min_tokens, sent.max_tokens);
  return sent;
}
