import type { Conflict, FieldConflict, OutcomeOf, Value } from "@tidegate/client";
import { useState } from "preact/hooks";
import type { Model } from "../../client/test/models/example.js";
import type { Device } from "./device.js";
import { useLive } from "./live.js";

/** What became of edits that were not simply applied, and the conflicts that wait for a person. */
export function Outcomes({ device }: { readonly device: Device }) {
  const outcomes = useLive(() => device.client.outcomes, [device]) ?? [];
  const conflicts = useLive(() => device.client.conflicts, [device]) ?? [];
  return (
    <div class="outcomes" role="log" aria-label={`What became of edits on ${device.name}`}>
      {conflicts.map((conflict) => (
        <ConflictCard key={conflict.id} conflict={conflict} user={device.user} />
      ))}
      {[...outcomes]
        .reverse()
        .filter(({ conflictId }) => conflictId === undefined)
        .map((outcome) => (
          <OutcomeCard key={outcome.n} outcome={outcome} />
        ))}
    </div>
  );
}

/** A conflict of the inbox. All users who may edit the document see it. */
function ConflictCard({ conflict, user }: { readonly conflict: Conflict<Model>; readonly user: string }) {
  const { openedBy, fields, mine, current } = conflict;
  const whose = openedBy === user ? "mine" : `${capital(openedBy)}’s`;
  const titles = [titleOf(mine), titleOf(current)];
  const [title, setTitle] = useState(titles.join(" or "));
  // Another device may be quicker. The inbox then shows what is left.
  const resolve = (resolution: Parameters<typeof conflict.resolve>[0]): void => {
    conflict.resolve(resolution).catch(() => undefined);
  };
  return (
    <article class="outcome conflict">
      <h4>
        <strong>CONFLICT</strong> {titles[1]}
      </h4>
      <table>
        <thead>
          <tr>
            <th scope="col">Field</th>
            <th scope="col">{capital(whose)}</th>
            <th scope="col">Now</th>
          </tr>
        </thead>
        <tbody>
          {fields.map((field) => (
            <tr key={field}>
              <th scope="row">{field}</th>
              <td>{shown(valueOf(mine, field))}</td>
              <td>{shown(valueOf(current, field))}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <div class="buttons">
        <button type="button" onClick={() => resolve({ take: "mine" })}>
          Take {whose}
        </button>
        <button type="button" onClick={() => resolve({ take: "theirs" })}>
          Keep it as it is now
        </button>
      </div>
      {!titles.includes(undefined) && (
        <form
          class="add"
          onSubmit={(event) => {
            event.preventDefault();
            resolve({ set: { title } });
          }}
        >
          <input
            class="field"
            aria-label="A title instead of both"
            value={title}
            maxLength={200}
            onInput={({ currentTarget }) => {
              setTitle(currentTarget.value);
            }}
          />
          <button type="submit">Take this</button>
        </form>
      )}
    </article>
  );
}

function OutcomeCard({ outcome }: { readonly outcome: OutcomeOf<Model> }) {
  const { status, id, mine, theirs, fields = [], error } = outcome;
  const [again, drop] = status === "CONFLICT" ? ["Take mine", "Keep theirs"] : ["Try again", "Drop it"];
  return (
    <article class={`outcome ${status.toLowerCase()}`}>
      <h4>
        <strong>{status}</strong> {titleOf(mine) ?? titleOf(theirs) ?? id}
      </h4>
      {error && <p>{error.message}</p>}
      {fields.length > 0 && <Fields fields={fields} />}
      <div class="buttons">
        {status !== "MERGED" && (
          <button type="button" onClick={() => void outcome.retry()}>
            {again}
          </button>
        )}
        <button type="button" onClick={() => void outcome.discard()}>
          {status === "MERGED" ? "Good" : drop}
        </button>
      </div>
    </article>
  );
}

function Fields({ fields }: { readonly fields: readonly FieldConflict[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Field</th>
          <th scope="col">Mine</th>
          <th scope="col">Theirs</th>
          <th scope="col">Now</th>
        </tr>
      </thead>
      <tbody>
        {fields.map(({ field, mine, theirs, result }) => (
          <tr key={field}>
            <th scope="row">{field}</th>
            <td>{shown(mine)}</td>
            <td>{shown(theirs)}</td>
            <td>{shown(result)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function titleOf(document: object | null | undefined): string | undefined {
  const title = valueOf(document, "title");
  return typeof title === "string" ? title : undefined;
}

function valueOf(document: object | null | undefined, field: string): Value | undefined {
  return (document as Readonly<Record<string, Value>> | null | undefined)?.[field];
}

function shown(value: Value | undefined): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
