// Signing out: at once, or after a question about edits that were not sent.
import { button, h } from "./dom.js";
import { capital, unsentEdits } from "./words.js";

export function signOut(client, { user, network }) {
  const end = async (keeps) => {
    dialog.close();
    await client.signOut(keeps);
    network.online = false;
    document.getElementById("root").replaceChildren(signedOut(user, keeps));
  };
  const ask = () => {
    if (client.unsent === 0) return void end(false);
    title.textContent = unsentEdits(client.unsent);
    dialog.showModal();
  };
  const title = h("h2", { id: "unsent" });
  const about = `Kept edits stay on this device, and are sent when ${capital(user)} signs in again. Everything else is removed from it.`;
  const choices = [
    button("Keep them", () => end(true), { type: "submit" }),
    button("Delete them", () => end(false), { class: "danger" }),
    button("Stay signed in", () => dialog.close()),
  ];
  const dialog = h(
    ...["dialog", { "aria-labelledby": "unsent" }],
    ...[title, h("p", {}, about), h("div", { class: "choices" }, ...choices)],
  );
  return [button("Sign out", ask), dialog];
}

/** What the page is from then on. */
function signedOut(user, keeps) {
  const kept = `Edits that were not sent wait on this device until ${capital(user)} signs in again. Nothing else is left on it.`;
  return h(
    ...["main", { class: "out" }],
    h(
      ...["section", { class: "card", "aria-label": "Signed out" }, h("h1", {}, "You are signed out")],
      h("p", {}, keeps ? kept : "Nothing of you is left on this device."),
      button(`Sign in as ${capital(user)}`, () => location.reload(), { type: "submit" }),
    ),
  );
}
