/**
 * Keeps the conversation over a reload, each tab its own, in IndexedDB, as pictures are too large for
 * other storage. A browser that keeps nothing just starts anew.
 */
const TAB = 'minigpt4.tab';
const MOST_TABS = 10;

function open() {
  return new Promise((done, failed) => {
    const request = indexedDB.open('minigpt4', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('conversations', { keyPath: 'tab' });
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

function finished(request) {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

/**
 * Keeps an id for this page until it is left. A tab that was duplicated begins with its original's id, and
 * both would write over each other's conversation. Browsers have locks for pages from this machine or over TLS.
 */
function hold(id) {
  if (!navigator.locks) {
    return Promise.resolve(true);
  }
  return new Promise((done) => {
    // A page that is being reloaded may take a moment to let go.
    const signal = AbortSignal.timeout(1000);
    navigator.locks.request(`minigpt4.tab.${id}`, { signal }, () => {
      done(true);
      return new Promise(() => {});
    }).catch(() => done(false));
  });
}

let held;

function tab() {
  held ??= (async () => {
    let id = sessionStorage.getItem(TAB);
    if (!id || !(await hold(id))) {
      id = `${Date.now()}-${Math.random()}`;
      sessionStorage.setItem(TAB, id);
      await hold(id);
    }
    return id;
  })();
  return held;
}

/** @returns {Promise<object[] | undefined>} the turns that this tab, or the one it is a copy of, has saved */
export async function load() {
  try {
    const from = sessionStorage.getItem(TAB) ?? '';
    await tab();
    const db = await open();
    return (await finished(db.transaction('conversations').objectStore('conversations').get(from)))?.turns;
  } catch {
    return undefined;
  }
}

/** @param {object[]} turns */
export async function save(turns) {
  try {
    const id = await tab();
    const db = await open();
    const all = db.transaction('conversations', 'readwrite').objectStore('conversations');
    await finished(all.put({ tab: id, time: Date.now(), turns }));
    const others = await finished(all.getAll());
    others.sort((a, b) => b.time - a.time);
    await Promise.all(others.slice(MOST_TABS).map((old) => finished(all.delete(old.tab))));
  } catch {
    // Nothing is lost but what a reload would have brought back.
  }
}

/** A value of localStorage, read as JSON. */
export function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Then not.
  }
}
