import { useState } from "preact/hooks";

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly placeholder?: string;
  readonly multiline?: boolean;
  readonly required?: boolean;
  readonly onCommit: (value: string) => void;
}

/** A text to edit in place. It is committed by Enter and when the focus leaves, and Escape undoes it. */
export function Field({ label, value, multiline = false, required = false, onCommit, ...rest }: FieldProps) {
  // What comes from other devices does not disturb a user who types.
  const [draft, setDraft] = useState<string>();
  const commit = (): void => {
    setDraft(undefined);
    const text = draft?.trim();
    if (text !== undefined && text !== value && !(required && text === "")) onCommit(text);
  };
  const Tag = multiline ? "textarea" : "input";
  return (
    <Tag
      class="field"
      aria-label={label}
      value={draft ?? value}
      maxLength={200}
      {...(multiline && { rows: 2 })}
      onInput={({ currentTarget }) => {
        setDraft(currentTarget.value);
      }}
      onBlur={commit}
      onKeyDown={(event) => {
        if (event.key === "Escape") setDraft(undefined);
        if (event.key === "Enter" && !multiline) event.currentTarget.blur();
      }}
      {...rest}
    />
  );
}

interface AddProps {
  readonly label: string;
  readonly onAdd: (title: string) => void;
}

/** A form of one line that adds something. */
export function Add({ label, onAdd }: AddProps) {
  const [title, setTitle] = useState("");
  return (
    <form
      class="add"
      onSubmit={(event) => {
        event.preventDefault();
        if (title.trim() === "") return;
        onAdd(title.trim());
        setTitle("");
      }}
    >
      <input
        class="field"
        aria-label={label}
        placeholder={label}
        value={title}
        maxLength={200}
        onInput={({ currentTarget }) => setTitle(currentTarget.value)}
      />
      <button type="submit">Add</button>
    </form>
  );
}
