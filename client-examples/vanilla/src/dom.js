// Elements, and lists of them that keep the element of each item: a user who types in a row is not disturbed.

/** An element. Attributes named `on…` are listeners; booleans are properties. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") node[name] = value;
    else if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

export const button = (text, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, text);

/** Writes an attribute or the text of an element only if it differs. */
export function write(node, text, attribute) {
  if (attribute && node.getAttribute(attribute) !== String(text)) node.setAttribute(attribute, text);
  if (!attribute && node.textContent !== text) node.textContent = text;
}

/** Shows items by their ids. `make` gives for an id an element and what writes an item into it. */
export function showList(list, items, make) {
  const rows = (list.rows ??= new Map());
  const ids = new Set(items.map(({ id }) => id));
  for (const [id, { node }] of rows) if (!ids.has(id) && rows.delete(id)) node.remove();
  items.forEach((item, nth) => {
    if (!rows.has(item.id)) rows.set(item.id, make(item.id));
    const { node, show } = rows.get(item.id);
    if (list.children[nth] !== node) list.insertBefore(node, list.children[nth] ?? null);
    show(item);
  });
}

/** A text to edit in place. Enter commits it, and so does leaving it; Escape undoes it. A required one is put back if empty. */
export function textField(label, commit, { multiline = false, required = false, ...attributes } = {}) {
  const length = multiline ? { rows: 3, maxlength: 4000 } : { maxlength: 200 };
  const node = h(multiline ? "textarea" : "input", { "aria-label": label, ...length, ...attributes });
  let [stored, isTyping] = ["", false];
  const leave = () => {
    const text = node.value.trim();
    const isEdit = isTyping && text !== stored && !(required && text === "");
    isTyping = false;
    if (isEdit) commit(text);
    else node.value = stored;
  };
  node.addEventListener("input", () => (isTyping = true));
  node.addEventListener("blur", leave);
  node.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") [node.value, isTyping] = [stored, false];
    if (key === "Enter" && !multiline) node.blur();
  });
  const show = (text) => {
    stored = text;
    if (!isTyping && node.value !== text) node.value = text;
  };
  return { node, show };
}

/** A form of one line, which is emptied when its text is taken. */
export function addForm(label, add) {
  const input = h("input", { "aria-label": label, placeholder: label, maxlength: 200, autocomplete: "off" });
  const onsubmit = (event) => {
    event.preventDefault();
    const text = input.value.trim();
    input.value = "";
    if (text !== "") add(text);
  };
  return h("form", { class: "add", onsubmit }, input, h("button", { type: "submit" }, "Add"));
}

export function select(label, options, onchange) {
  const made = options.map(([value, name]) => h("option", { value }, name));
  return h("select", { "aria-label": label, onchange: ({ target }) => onchange(target.value) }, ...made);
}
