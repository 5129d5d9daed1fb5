// What runs in the page of each storage: it measures, and says how long and how the page's thread was blocked.

import * as storage from 'storage';

const tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({ type: 'longtask', buffered: true });

/** The time of something, and the longest task of the thread in it. */
async function measured(work) {
  // In a task of its own.
  await new Promise((resolve) => setTimeout(resolve));
  const start = performance.now();
  await work();
  const ms = performance.now() - start;
  // Long tasks are reported later.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const longest = Math.max(0, ...tasks.filter((it) => it.startTime + it.duration >= start).map((it) => it.duration));
  return { ms: Math.round(ms * 10) / 10, longest: Math.round(longest) };
}

window.fill = async (count) => {
  const documents = Array.from({ length: count }, (_, nth) => documentOf(nth));
  return measured(() => storage.fill(documents));
};

/** A live query of the first 50, and an edit that brings another document to its front. */
window.query = async (count) => {
  const opened = await storage.open();
  const id = String(Math.floor(count / 4) * 2);
  let first = () => {};
  let edited = () => {};
  const shows = new Promise((resolve) => (first = resolve));
  const follows = new Promise((resolve) => (edited = resolve));
  const query = await measured(async () => {
    storage.live(opened, (found) => {
      if (found.length === 50) first(found);
      if (found[0]?.id === id) edited();
    });
    const found = await shows;
    const due = found.map((it) => it.due);
    if (due.join() !== [...due].sort().join() || found.some((it) => it.done)) throw new Error('it finds something else');
  });
  const edit = await measured(async () => {
    await storage.edit(opened, id, { due: '2020-01-01T00:00:00.000Z' });
    await follows;
  });
  return { query, edit };
};

/** Every second one is open, and their dates are in no order. */
function documentOf(nth) {
  return {
    id: String(nth),
    audience: 'user:alice',
    title: `Task ${nth}`,
    notes: 'What is to be done, in some more words. '.repeat(5),
    done: nth % 2 === 1,
    priority: 'NORMAL',
    labels: ['home', 'shop'],
    minutesSpent: 0,
    due: new Date(Date.UTC(2030, 0, 1) + ((nth * 7919) % 100_003) * 60_000).toISOString(),
    projectId: null,
  };
}
