// How the page says things.

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Ids that begin with the time: lists show the newest first, offline too. */
export const newId = () => `${Date.now().toString(36)}-${crypto.randomUUID().slice(0, 8)}`;

/** `team:demo` is called Demo, and `user:alice` Only me. */
export function audienceName(audience) {
  const [kind, name = audience] = audience.split(":");
  return kind === "user" ? "Only me" : capital(name);
}

export function phaseName({ phase, read }) {
  if (phase === "live") return "In step";
  if (phase === "catching-up") return `Catching up, ${read.toLocaleString("en")} changes read`;
  return phase === "halted" ? "Stopped" : "Offline";
}

export const waiting = (edits) => (edits === 1 ? "1 edit waits" : `${edits.toLocaleString("en")} edits wait`);

/** The question before a sign-out. */
export const unsentEdits = (edits) =>
  edits === 1 ? "One edit is not sent yet" : `${edits.toLocaleString("en")} edits are not sent yet`;

export function lastSync(at) {
  return at ? `last in step at ${at.toLocaleTimeString("en", { timeStyle: "short" })}` : "never in step yet";
}

/** `95` is 1 h 35 min. */
export function timeSpent(minutes) {
  const hours = Math.trunc(minutes / 60);
  return hours === 0 ? `${minutes} min` : `${hours} h ${Math.abs(minutes % 60)} min`;
}

/** What became of an edit, by its status. */
export const OUTCOME_NAMES = {
  MERGED: "Merged with another edit",
  CONFLICT: "Another edit came first",
  REJECTED: "Not accepted",
  DROPPED: "Not sent",
  REFUSED: "Too large to send",
  UNKNOWN: "Perhaps in force",
};

const FIELD_NAMES = { minutesSpent: "Time spent", audience: "For" };

export const fieldName = (field) => FIELD_NAMES[field] ?? capital(field);

/** The value of a field as text. */
export function shown(field, value) {
  if (value === null || value === undefined || value === "") return "—";
  if (field === "audience") return audienceName(value);
  if (field === "minutesSpent") return timeSpent(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.length === 0 ? "—" : value.join(", ");
  return String(value);
}

/** What a document is called: its title, of whichever of these has one. */
export const titleOf = (...documents) => documents.find((it) => it?.title)?.title ?? "Untitled";
