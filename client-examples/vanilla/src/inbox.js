// What waits for the user: conflicts first, with both sides beside each other, then what became of other edits.
import { button, h, showList } from "./dom.js";
import { capital, fieldName, OUTCOME_NAMES, shown, titleOf } from "./words.js";

export function inbox(client, { user }) {
  const count = h("span", { class: "count", hidden: true });
  const empty = h("p", { class: "empty" }, "Nothing waits for you.");
  const list = h("div", { class: "cards" });
  const title = h("h2", {}, "Inbox ", count);
  const node = h("section", { class: "card inbox", "aria-label": "Inbox" }, title, empty, list);

  const show = () => {
    const conflicts = client.conflicts.map((it) => ({ ...it, make: () => conflictCard(client, user, it) }));
    // The conflict shows such an edit already.
    const others = client.state.outcomes.filter(({ conflict }) => !conflict?.conflictId).toReversed();
    const outcomes = others.map((it) => ({ id: `edit ${it.n}`, make: () => outcomeCard(client, it) }));
    // A conflict of another version is another card.
    const cards = [...conflicts.map((it) => ({ ...it, id: `${it.id} ${it.currentVersion}` })), ...outcomes];
    count.hidden = cards.length === 0;
    count.textContent = String(cards.length);
    empty.hidden = cards.length > 0;
    const make = new Map(cards.map((it) => [it.id, it.make]));
    showList(list, cards, (id) => ({ node: make.get(id)(), show: () => undefined }));
  };
  return { node, show };
}

function conflictCard(client, user, conflict) {
  const { openedBy, fields, mine, current } = conflict;
  const take = (side) => () => client.resolve(conflict, { take: side });
  const name = openedBy === user ? "Your edit" : `${capital(openedBy)}’s edit`;
  const title = `Two versions of ${titleOf(current, mine)}`;
  return h(
    ...["article", { class: "conflict", "data-testid": "conflict", "aria-label": title }],
    h("h3", {}, `Two versions of “${titleOf(current, mine)}”`),
    h(
      ...["div", { class: "sides" }],
      side(name, mine, fields, button("Take this edit", take("MINE"))),
      side("As it is now", current, fields, button("Keep it as it is", take("THEIRS"))),
    ),
    mine && current && conflict.type === "Article" ? third(client, conflict) : undefined,
  );
}

function side(name, document, fields, action) {
  const body = document ? fieldList(document, fields) : h("p", { class: "deleted" }, "Deleted");
  return h("div", { class: "side", role: "group", "aria-label": name }, h("h4", {}, name), body, action);
}

function fieldList(document, fields) {
  const pair = (field) => h("div", {}, h("dt", {}, fieldName(field)), h("dd", {}, shown(field, document[field])));
  return h("dl", {}, ...fields.map(pair));
}

/** A new version, made of both. */
function third(client, conflict) {
  const { type, fields, mine, current } = conflict;
  const texts = fields.filter((field) => field === "title" || field === "text");
  const inputs = texts.map((field) => {
    const both = [...new Set([mine, current].map((it) => shown(field, it[field])))];
    const isLong = field === "text";
    const length = isLong ? { rows: 4 } : { maxlength: 200 };
    const input = h(isLong ? "textarea" : "input", { name: field, "aria-label": `New ${field}`, ...length });
    input.value = both.join(isLong ? "\n\n" : " or ");
    return input;
  });
  const onsubmit = (event) => {
    event.preventDefault();
    const set = Object.fromEntries(inputs.map(({ name, value }) => [name, value]));
    void client.resolve(conflict, { [client.model.types[type].root]: set });
  };
  const save = h("button", { type: "submit" }, "Save a new version");
  return h("form", { class: "third", onsubmit }, h("h4", {}, "One of both"), ...inputs, save);
}

function outcomeCard(client, outcome) {
  const { n, status, edit, theirs, error, conflict } = outcome;
  const isMerged = status === "MERGED";
  const isGone = status === "CONFLICT" && !theirs;
  const fields = conflict?.fields ?? [];
  const badge = h("span", { class: "badge" }, OUTCOME_NAMES[status] ?? status);
  return h(
    ...["article", { class: "outcome", "data-testid": "outcome", "data-status": status }],
    h("h3", {}, badge, " ", titleOf(theirs, edit.set, edit.base)),
    error ? h("p", {}, error.message ?? error.code) : undefined,
    isGone ? h("p", {}, "It was deleted meanwhile. This is what you wrote:") : undefined,
    edit.op === "delete" ? h("p", {}, "You deleted it.") : undefined,
    fields.length > 0 ? settledTable(fields) : fieldList(edit.set, Object.keys(edit.set)),
    h(
      ...["div", { class: "foot" }],
      isMerged || isGone ? undefined : button("Try again", () => client.again(outcome)),
      button(isMerged ? "Good" : "Discard", () => client.discard(n)),
    ),
  );
}

/** How each field of a merged edit was settled. */
function settledTable(fields) {
  const head = ["Field", "Yours", "Theirs", "Now"].map((name) => h("th", { scope: "col" }, name));
  const rows = fields.map(({ field, mine, theirs, result }) => {
    const cells = [mine, theirs, result].map((value) => h("td", {}, shown(field, value)));
    return h("tr", {}, h("th", { scope: "row" }, fieldName(field)), ...cells);
  });
  return h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows));
}
