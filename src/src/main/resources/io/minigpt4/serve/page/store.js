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

function tab() {
  let id = sessionStorage.getItem(TAB);
  if (!id) {
    id = `${Date.now()}-${Math.random()}`;
    sessionStorage.setItem(TAB, id);
  }
  return id;
}

/** @returns {Promise<object[] | undefined>} the turns that this tab has saved */
export async function load() {
  try {
    const db = await open();
    return (await finished(db.transaction('conversations').objectStore('conversations').get(tab())))?.turns;
  } catch {
    return undefined;
  }
}

/** @param {object[]} turns */
export async function save(turns) {
  try {
    const db = await open();
    const all = db.transaction('conversations', 'readwrite').objectStore('conversations');
    await finished(all.put({ tab: tab(), time: Date.now(), turns }));
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
