// The lists of tasks and articles. Each edit is by intention: an item of a set, or minutes more.
import { addForm, button, h, select, showList, textField, write } from "./dom.js";
import { audienceName, newId, timeSpent, waiting } from "./words.js";

/** What a list does to documents of its type. */
function editsOf(client, type) {
  return {
    create: (document) => client.edit({ op: "create", type, id: newId(), document }),
    update: (id, fields) => client.edit({ op: "update", type, id, fields }),
    delete: (id) => client.edit({ op: "delete", type, id }),
  };
}

/** Says beside a title, if there are any, that edits of a document have no answer yet. */
function showWaits(what, edits) {
  const mark = what.querySelector(".waits") ?? h("span", { class: "waits", "data-testid": "waits" });
  if (edits > 0) what.append(mark);
  else mark.remove();
  write(mark, waiting(edits));
}

export function taskList(client, { audiences }, refresh) {
  const edits = editsOf(client, "Task");
  const filter = { done: false, audience: "", limit: 50 };
  let audience = audiences[0];
  const names = audiences.map((it) => [it, audienceName(it)]);
  const change = (changes) => refresh(Object.assign(filter, changes));
  const tabs = [false, true].map((done) => button(done ? "Done" : "Open", () => change({ done, limit: 50 })));
  const list = h("ul", { class: "rows", "aria-busy": "true" });
  const empty = h("p", { class: "empty", hidden: true });
  const more = button("Show more", () => change({ limit: filter.limit + 50 }), { class: "more", hidden: true });
  const create = (title) => edits.create({ title, audience });
  const chosen = select("For", names, (it) => (audience = it));
  const filtered = select("Show", [["", "All teams"], ...names], (it) => change({ audience: it, limit: 50 }));
  const node = h(
    ...["section", { class: "card", "aria-label": "Tasks" }],
    h("div", { class: "new" }, addForm("New task", create), chosen),
    h(
      ...["div", { class: "filter" }],
      h("div", { class: "tabs", role: "group", "aria-label": "Which tasks" }, ...tabs),
      filtered,
    ),
    ...[list, empty, more],
  );
  const fits = (task) => task.done === filter.done && (filter.audience === "" || task.audience === filter.audience);

  const show = (tasks) => {
    const found = tasks.filter(fits).sort((a, b) => (a.id < b.id ? 1 : -1));
    const page = found.slice(0, filter.limit);
    tabs.forEach((tab, nth) => write(tab, filter.done === (nth === 1), "aria-pressed"));
    write(list, "false", "aria-busy");
    showList(list, page, (id) => taskRow(id, edits));
    empty.hidden = page.length > 0;
    write(empty, filter.done ? "Nothing is done yet." : "All done. Add a task above.");
    more.hidden = page.length < filter.limit;
  };
  return { node, show };
}

function taskRow(id, edits) {
  const update = (fields) => edits.update(id, fields);
  const box = h("input", { type: "checkbox", onchange: () => update({ done: { set: box.checked } }) });
  const title = textField("Title", (set) => update({ title: { set } }), { class: "title", required: true });
  const notes = textField("Notes", (set) => update({ notes: { set } }), { placeholder: "Notes", multiline: true });
  const what = h("div", { class: "what" }, title.node);
  const [minutes, spend] = [h("span", { "data-testid": "minutes" }), button("+15", () => spent())];
  const spent = () => update({ minutesSpent: { increment: 15 } });
  const [team, chips] = [h("li", { class: "team" }), h("ul", { class: "chips" })];
  const summary = h("summary", {}, "More");
  const label = addForm("New label", (text) => update({ labels: { add: [text] } }));
  const remove = button("Delete", () => edits.delete(id), { class: "danger" });
  const node = h(
    ...["li", { class: "row", "data-testid": "task" }],
    ...[box, what, chips],
    h("div", { class: "time" }, minutes, spend),
    h("details", {}, summary, notes.node, h("div", { class: "foot" }, label, remove)),
  );
  const chip = (text) => {
    const drop = () => update({ labels: { remove: [text] } });
    return h(
      ...["li", { class: "label", "data-testid": "label" }, h("span", {}, text)],
      button("×", drop, { "aria-label": `Remove the label ${text}` }),
    );
  };

  const show = (task) => {
    write(node, task.title, "aria-label");
    write(box, `${task.title} is done`, "aria-label");
    box.checked = task.done;
    title.show(task.title);
    notes.show(task.notes ?? "");
    showWaits(what, task.edits);
    write(chips, `Labels of ${task.title}`, "aria-label");
    write(minutes, timeSpent(task.minutesSpent));
    write(spend, `15 minutes more for ${task.title}`, "aria-label");
    write(summary, `More about ${task.title}`, "aria-label");
    write(team, audienceName(task.audience));
    const isShown = chips.dataset.labels === JSON.stringify(task.labels);
    chips.dataset.labels = JSON.stringify(task.labels);
    if (!isShown) chips.replaceChildren(team, ...task.labels.map(chip));
  };
  return { node, show };
}

export function articleList(client, { audiences }) {
  const edits = editsOf(client, "Article");
  const list = h("ul", { class: "rows", "aria-busy": "true" });
  const empty = h("p", { class: "empty", hidden: true }, "No article yet.");
  const create = (title) => edits.create({ title, audience: audiences[0] });
  const node = h(
    ...["section", { class: "card", "aria-label": "Articles" }, h("h2", {}, "Articles")],
    h("p", { class: "about" }, "Texts that the team agrees on. Of two edits a person makes one."),
    ...[list, empty, addForm("New article", create)],
  );

  const show = (articles) => {
    const found = articles.sort((a, b) => (a.title < b.title ? -1 : 1)).slice(0, 20);
    write(list, "false", "aria-busy");
    showList(list, found, (id) => articleRow(id, edits));
    empty.hidden = found.length > 0;
  };
  return { node, show };
}

function articleRow(id, edits) {
  const update = (fields) => edits.update(id, fields);
  const title = textField("Title", (set) => update({ title: { set } }), { class: "title", required: true });
  const text = textField("Text", (set) => update({ text: { set } }), { placeholder: "What it says", multiline: true });
  const [what, team] = [h("div", { class: "what" }, title.node), h("span", { class: "team" })];
  const remove = button("Delete", () => edits.delete(id), { class: "danger" });
  const node = h(
    ...["li", { class: "article", "data-testid": "article" }],
    ...[what, text.node],
    h("div", { class: "foot" }, team, remove),
  );

  const show = (article) => {
    write(node, article.title, "aria-label");
    title.show(article.title);
    text.show(article.text ?? "");
    showWaits(what, article.edits);
    write(team, audienceName(article.audience));
    write(remove, `Delete the article ${article.title}`, "aria-label");
  };
  return { node, show };
}
