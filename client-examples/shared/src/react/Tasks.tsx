import { useState, type ReactNode } from "react";
import type { Task } from "../model.js";
import { audienceName, timeSpent, waiting, type Filter } from "../words.js";
import { Add, Text } from "./Text.js";

/** What a user does to tasks. Each edit shows at once, and rejects only if the device cannot store it. */
export interface TaskEdits {
  readonly create: (title: string, audience: string) => Promise<unknown>;
  readonly change: (id: string, fields: { title?: string; notes?: string; done?: boolean }) => Promise<unknown>;
  readonly label: (id: string, label: string) => Promise<unknown>;
  readonly unlabel: (id: string, label: string) => Promise<unknown>;
  readonly spend: (id: string, minutes: number) => Promise<unknown>;
  readonly delete: (id: string) => Promise<unknown>;
}

/** What a row shows of a task. */
export type ShownTask = Pick<Task, "id" | "audience" | "title" | "notes" | "done" | "labels" | "minutesSpent">;

interface TasksProps {
  /** Undefined before the first are read. */
  readonly tasks: readonly ShownTask[] | undefined;
  readonly audiences: readonly string[];
  readonly filter: Filter;
  readonly onFilter: (filter: Filter) => void;
  readonly edits: TaskEdits;
  /** Shows how many edits of a task wait. */
  readonly waits: (id: string) => ReactNode;
}

export function Tasks({ tasks, audiences, filter, onFilter, edits, waits }: TasksProps) {
  return (
    <section className="card" aria-label="Tasks">
      <NewTask audiences={audiences} onAdd={edits.create} />
      <FilterBar filter={filter} audiences={audiences} onFilter={onFilter} />
      <ul className="rows" aria-busy={tasks === undefined}>
        {tasks?.map((task) => (
          <TaskRow key={task.id} task={task} edits={edits} waits={waits(task.id)} />
        ))}
      </ul>
      {tasks?.length === 0 && (
        <p className="empty">{filter.done ? "Nothing is done yet." : "All done. Add a task above."}</p>
      )}
      {tasks?.length === filter.limit && (
        <button
          type="button"
          className="more"
          onClick={() => {
            onFilter({ ...filter, limit: filter.limit + 50 });
          }}
        >
          Show more
        </button>
      )}
    </section>
  );
}

interface NewTaskProps {
  readonly audiences: readonly string[];
  readonly onAdd: TaskEdits["create"];
}

function NewTask({ audiences, onAdd }: NewTaskProps) {
  const [audience, setAudience] = useState(audiences[0] ?? "");
  return (
    <div className="new">
      <Add label="New task" className="add" onAdd={(title) => void onAdd(title, audience)} />
      <AudienceSelect label="For" audiences={audiences} value={audience} onChange={setAudience} />
    </div>
  );
}

interface AudienceSelectProps {
  readonly label: string;
  readonly audiences: readonly string[];
  readonly value: string;
  /** What an empty value is called. */
  readonly all?: string;
  readonly onChange: (audience: string) => void;
}

function AudienceSelect({ label, audiences, value, all, onChange }: AudienceSelectProps) {
  return (
    <select
      aria-label={label}
      value={value}
      onChange={({ currentTarget }) => {
        onChange(currentTarget.value);
      }}
    >
      {all !== undefined && <option value="">{all}</option>}
      {audiences.map((audience) => (
        <option key={audience} value={audience}>
          {audienceName(audience)}
        </option>
      ))}
    </select>
  );
}

type FilterBarProps = Pick<TasksProps, "audiences" | "filter" | "onFilter">;

function FilterBar({ audiences, filter, onFilter }: FilterBarProps) {
  return (
    <div className="filter">
      <div className="tabs" role="group" aria-label="Which tasks">
        {[false, true].map((done) => (
          <button
            key={String(done)}
            type="button"
            aria-pressed={filter.done === done}
            onClick={() => {
              onFilter({ ...filter, done });
            }}
          >
            {done ? "Done" : "Open"}
          </button>
        ))}
      </div>
      <AudienceSelect
        label="Show"
        all="All teams"
        audiences={audiences}
        value={filter.audience ?? ""}
        onChange={(audience) => {
          onFilter({ ...filter, audience: audience === "" ? undefined : audience });
        }}
      />
    </div>
  );
}

interface TaskRowProps {
  readonly task: ShownTask;
  readonly edits: TaskEdits;
  readonly waits: ReactNode;
}

function TaskRow({ task, edits, waits }: TaskRowProps) {
  const { id, title, notes, done, labels, minutesSpent, audience } = task;
  return (
    <li className="row" aria-label={title} data-testid="task">
      <input
        type="checkbox"
        aria-label={`${title} is done`}
        checked={done}
        onChange={({ currentTarget }) => void edits.change(id, { done: currentTarget.checked })}
      />
      <div className="what">
        <Text
          label="Title"
          className="title"
          required
          value={title}
          onCommit={(text) => void edits.change(id, { title: text })}
        />
        {waits}
      </div>
      <ul className="chips" aria-label={`Labels of ${title}`}>
        <li className="team">{audienceName(audience)}</li>
        {labels.map((label) => (
          <li key={label} className="label" data-testid="label">
            <span>{label}</span>
            <button
              type="button"
              aria-label={`Remove the label ${label}`}
              onClick={() => void edits.unlabel(id, label)}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
      <div className="time">
        <span data-testid="minutes">{timeSpent(minutesSpent)}</span>
        <button type="button" aria-label={`15 minutes more for ${title}`} onClick={() => void edits.spend(id, 15)}>
          +15
        </button>
      </div>
      <details>
        <summary aria-label={`More about ${title}`}>More</summary>
        <Text
          label="Notes"
          placeholder="Notes"
          multiline
          value={notes ?? ""}
          onCommit={(text) => void edits.change(id, { notes: text })}
        />
        <div className="foot">
          <Add label="New label" className="add" onAdd={(label) => void edits.label(id, label)} />
          <button type="button" className="danger" onClick={() => void edits.delete(id)}>
            Delete
          </button>
        </div>
      </details>
    </li>
  );
}

/** Says that edits of a document have no answer yet. */
export function Waits({ edits }: { readonly edits: number }) {
  return edits > 0 ? (
    <span className="waits" data-testid="waits">
      {waiting(edits)}
    </span>
  ) : null;
}
