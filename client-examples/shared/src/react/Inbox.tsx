import type { Conflict, FieldConflict, OutcomeOf } from "@tidegate/client";
import type { Model } from "../model.js";
import { editOf, fieldName, OUTCOME_NAMES, readable, shown, titleOf } from "../words.js";
import { textIn } from "./Text.js";

interface InboxProps {
  readonly user: string;
  readonly conflicts: readonly Conflict<Model>[];
  readonly outcomes: readonly OutcomeOf<Model>[];
}

/** What waits for the user: conflicts first, then what became of other edits. */
export function Inbox({ user, conflicts, outcomes }: InboxProps) {
  // The conflict shows such an edit already.
  const others = outcomes.filter(({ conflictId }) => conflictId === undefined).toReversed();
  const count = conflicts.length + others.length;
  return (
    <section className="card inbox" aria-label="Inbox">
      <h2>Inbox {count > 0 && <span className="count">{count}</span>}</h2>
      {count === 0 && <p className="empty">Nothing waits for you.</p>}
      {conflicts.map((conflict) => (
        <ConflictCard key={conflict.id} conflict={conflict} user={user} />
      ))}
      {others.map((outcome) => (
        <OutcomeCard key={outcome.n} outcome={outcome} />
      ))}
    </section>
  );
}

function ConflictCard({ conflict, user }: { readonly conflict: Conflict<Model>; readonly user: string }) {
  const { openedBy, fields, mine, current, type } = conflict;
  const title = titleOf(type, current, mine);
  const resolve = (resolution: Parameters<typeof conflict.resolve>[0]): void => {
    void conflict.resolve(resolution);
  };
  return (
    <article className="conflict" data-testid="conflict" aria-label={`Two versions of ${title}`}>
      <h3>Two versions of “{title}”</h3>
      <div className="sides">
        <Side name={editOf(openedBy, user)} document={mine} fields={fields} action="Take this edit">
          {() => {
            resolve({ take: "mine" });
          }}
        </Side>
        <Side name="As it is now" document={current} fields={fields} action="Keep it as it is">
          {() => {
            resolve({ take: "theirs" });
          }}
        </Side>
      </div>
      {conflict.type === "Article" && mine && current && (
        <Third mine={mine} current={current} fields={fields} onSave={(set) => void conflict.resolve({ set })} />
      )}
    </article>
  );
}

interface SideProps {
  readonly name: string;
  readonly document: object | null;
  readonly fields: readonly string[];
  readonly action: string;
  readonly children: () => void;
}

/** One of the two versions. */
function Side({ name, document, fields, action, children: onTake }: SideProps) {
  return (
    <div className="side" role="group" aria-label={name}>
      <h4>{name}</h4>
      {document === null ? <p className="deleted">Deleted</p> : <FieldList document={document} fields={fields} />}
      <button type="button" onClick={onTake}>
        {action}
      </button>
    </div>
  );
}

function FieldList({ document, fields }: { readonly document: object; readonly fields: readonly string[] }) {
  return (
    <dl>
      {readable(document, fields).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

interface ThirdProps {
  readonly mine: object;
  readonly current: object;
  readonly fields: readonly string[];
  readonly onSave: (set: Readonly<Record<string, string>>) => void;
}

/** A new version, made of both. */
function Third({ mine, current, fields, onSave }: ThirdProps) {
  const texts = fields.filter((field) => field === "title" || field === "text");
  const both = (field: string): string =>
    [...new Set([mine, current].map((it) => shown(field, (it as Record<string, unknown>)[field])))].join(
      field === "title" ? " or " : "\n\n",
    );
  return (
    <form
      className="third"
      onSubmit={(event) => {
        event.preventDefault();
        const written = new FormData(event.currentTarget);
        onSave(Object.fromEntries(texts.map((field) => [field, textIn(written, field)])));
      }}
    >
      <h4>One of both</h4>
      {texts.map((field) =>
        field === "text" ? (
          <textarea key={field} name={field} rows={4} aria-label={`New ${field}`} defaultValue={both(field)} />
        ) : (
          <input key={field} name={field} maxLength={200} aria-label={`New ${field}`} defaultValue={both(field)} />
        ),
      )}
      <button type="submit">Save a new version</button>
    </form>
  );
}

function OutcomeCard({ outcome }: { readonly outcome: OutcomeOf<Model> }) {
  const { status, type, op, mine, base, theirs, error, fields = [] } = outcome;
  const isMerged = status === "MERGED";
  const isGone = status === "CONFLICT" && theirs === undefined;
  return (
    <article className="outcome" data-testid="outcome" data-status={status}>
      <h3>
        <span className="badge">{OUTCOME_NAMES[status] ?? status}</span> {titleOf(type, theirs, mine, base)}
      </h3>
      {error && <p>{error.message}</p>}
      {isGone && <p>It was deleted meanwhile. This is what you wrote:</p>}
      {op === "delete" && <p>You deleted it.</p>}
      {fields.length > 0 ? <Settled fields={fields} /> : <FieldList document={mine} fields={Object.keys(mine)} />}
      <div className="foot">
        {!isMerged && !isGone && (
          <button type="button" onClick={() => void outcome.retry()}>
            Try again
          </button>
        )}
        <button type="button" onClick={() => void outcome.discard()}>
          {isMerged ? "Good" : "Discard"}
        </button>
      </div>
    </article>
  );
}

/** How each field of a merged edit was settled. */
function Settled({ fields }: { readonly fields: readonly FieldConflict[] }) {
  return (
    <table>
      <thead>
        <tr>
          {["Field", "Yours", "Theirs", "Now"].map((name) => (
            <th key={name} scope="col">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {fields.map(({ field, mine, theirs, result }) => (
          <tr key={field}>
            <th scope="row">{fieldName(field)}</th>
            {[mine, theirs, result].map((value, column) => (
              <td key={column}>{shown(field, value)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
