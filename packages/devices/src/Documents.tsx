import { increment, type Live } from "@tidegate/client";
import { Add, Field } from "./Field.js";
import { AUDIENCE, type Device } from "./device.js";
import { useLive } from "./live.js";

/** The tasks of the team: what two devices edit is merged. */
export function Tasks({ device }: { readonly device: Device }) {
  const { tasks } = device.client;
  const all = useLive(() => tasks.live({ where: { audience: { eq: AUDIENCE } }, orderBy: ["title_ASC"] }), [device]);
  return (
    <section>
      <h3>Tasks</h3>
      <p class="about">Edits of two devices are merged. The later title wins; minutes add up.</p>
      <ul>
        {all?.map(({ id, title, done, minutesSpent }) => (
          <li key={id} class={done ? "task done" : "task"}>
            <input
              type="checkbox"
              aria-label={`${title} is done`}
              checked={done}
              onChange={({ currentTarget }) => void tasks.update(id, { done: currentTarget.checked })}
            />
            <Field
              label={`Title of ${title}`}
              value={title}
              required
              onCommit={(it) => void tasks.update(id, { title: it })}
            />
            <Pending pending={() => tasks.pending(id)} id={id} />
            <span class="minutes">{minutesSpent} min</span>
            <button
              type="button"
              aria-label={`5 minutes more for ${title}`}
              onClick={() => void tasks.update(id, { minutesSpent: increment(5) })}
            >
              +5
            </button>
            <button type="button" class="quiet" aria-label={`Delete ${title}`} onClick={() => void tasks.delete(id)}>
              ×
            </button>
          </li>
        ))}
      </ul>
      <Add label="Another task" onAdd={(title) => void tasks.create({ title, audience: AUDIENCE })} />
    </section>
  );
}

/** The notes of the team: of two edits a person makes one. */
export function Notes({ device }: { readonly device: Device }) {
  const { articles } = device.client;
  const where = { audience: { eq: AUDIENCE } };
  const all = useLive(() => articles.live({ where, orderBy: ["title_ASC"] }), [device]);
  return (
    <section>
      <h3>Notes</h3>
      <p class="about">Of two edits of one note a person makes one.</p>
      <ul>
        {all?.map(({ id, title, text }) => (
          <li key={id} class="note">
            <Field
              label={`Title of the note ${title}`}
              value={title}
              required
              onCommit={(it) => void articles.update(id, { title: it })}
            />
            <Pending pending={() => articles.pending(id)} id={id} />
            <button
              type="button"
              class="quiet"
              aria-label={`Delete the note ${title}`}
              onClick={() => void articles.delete(id)}
            >
              ×
            </button>
            <Field
              label={`Text of the note ${title}`}
              value={text ?? ""}
              placeholder="What it says"
              multiline
              onCommit={(it) => void articles.update(id, { text: it })}
            />
          </li>
        ))}
      </ul>
      <Add label="Another note" onAdd={(title) => void articles.create({ title, audience: AUDIENCE })} />
    </section>
  );
}

/** Says that edits of a document have no answer yet. */
function Pending({ pending, id }: { readonly pending: () => Live<readonly unknown[]>; readonly id: string }) {
  const edits = useLive(pending, [id])?.length ?? 0;
  return edits > 0 ? <span class="pending">{edits === 1 ? "1 edit waits" : `${edits} edits wait`}</span> : null;
}
