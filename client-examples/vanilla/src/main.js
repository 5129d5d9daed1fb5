// The page: what is around the lists, and one function that shows what has changed.
import { Client } from "./client.js";
import { views } from "./core.js";
import { button, h, select, write } from "./dom.js";
import { inbox } from "./inbox.js";
import { articleList, taskList } from "./lists.js";
import { MODEL } from "./model.js";
import { openSession } from "./session.js";
import { signOut } from "./signout.js";
import { openStore } from "./storage.js";
import { capital, lastSync, phaseName, waiting } from "./words.js";

const session = openSession();
const { user, network } = session;

const [phase, unsent, synced] = [
  h("span", { class: "phase" }),
  h("strong", { class: "waits" }),
  h("span", { class: "synced" }),
];
const status = h("p", { class: "status", role: "status" }, phase, unsent, synced);
const users = [...new Set(["alice", "bob", "carol", user])].map((it) => [it, capital(it)]);
const signedIn = select("Signed in as", users, (it) => {
  const address = new URL(location.href);
  address.searchParams.set("user", it);
  location.assign(address);
});
signedIn.value = user;
const online = button("Online", () => write(online, (network.online = !network.online), "aria-checked"), {
  role: "switch",
});
write(online, true, "aria-checked");
const failure = h("p", { class: "failure", role: "alert" });
const main = h("main");
const label = h("label", { class: "user" }, h("span", {}, "Signed in as"), signedIn);
const bar = h("header", { class: "bar" }, h("h1", {}, "Tidelist"), status, label, online);
document.getElementById("root").append(bar, main);

const store = await openStore(session.database);
const client = await Client.open({ session, store, model: MODEL }, () => schedule());
const tasks = taskList(client, session, () => show());
const articles = articleList(client, session);
const cards = inbox(client, session);
bar.append(...signOut(client, session));
main.append(tasks.node, h("aside", {}, cards.node, articles.node));
show();

/** Many steps in a row are shown once. */
function schedule() {
  schedule.timer ??= setTimeout(() => {
    schedule.timer = undefined;
    show();
  }, 16);
}

function show() {
  const { state, conflicts, status: at, unsent: edits } = client;
  write(status, at.phase, "data-phase");
  write(status, edits, "data-unsent");
  write(phase, phaseName(at));
  write(unsent, edits > 0 ? waiting(edits) : "");
  unsent.hidden = edits === 0;
  write(synced, lastSync(at.lastSync));
  if (at.phase === "halted") tell(`The gateway refused: ${at.error}`);
  const counts = new Map();
  for (const { id } of [...(state.flight?.edits ?? []), ...state.queue]) counts.set(id, (counts.get(id) ?? 0) + 1);
  const shown = [...views(MODEL.types, state)].filter(([, body]) => body);
  const of = (type) => shown.filter(([name]) => name.startsWith(`${type}/`)).map(([, body]) => body);
  const counted = (body) => ({ ...body, edits: counts.get(body.id) ?? 0 });
  tasks.show(of("Task").map(counted));
  articles.show(of("Article").map(counted));
  cards.show(conflicts);
}

function tell(text) {
  bar.after(failure);
  failure.replaceChildren(
    text,
    " ",
    button("Dismiss", () => failure.remove()),
  );
}

// An edit that could not be stored, and a resolution that did not arrive.
addEventListener("unhandledrejection", ({ reason }) => tell(reason instanceof Error ? reason.message : String(reason)));
