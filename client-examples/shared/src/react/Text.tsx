import { useState } from "react";

interface TextProps {
  readonly label: string;
  readonly value: string;
  readonly onCommit: (value: string) => void;
  readonly placeholder?: string;
  readonly multiline?: boolean;
  /** An empty text is no text: it is put back. */
  readonly required?: boolean;
  readonly className?: string;
}

/**
 * A text to edit in place. Enter commits it, and so does leaving it; Escape undoes it. What other devices write does not
 * disturb a user who types.
 */
export function Text({ label, value, onCommit, multiline = false, required = false, ...rest }: TextProps) {
  const [draft, setDraft] = useState<string>();
  const Tag = multiline ? "textarea" : "input";
  const commit = (): void => {
    setDraft(undefined);
    const text = draft?.trim();
    if (text !== undefined && text !== value && !(required && text === "")) onCommit(text);
  };
  return (
    <Tag
      aria-label={label}
      value={draft ?? value}
      maxLength={multiline ? 4000 : 200}
      {...(multiline && { rows: 3 })}
      onChange={({ currentTarget }) => {
        setDraft(currentTarget.value);
      }}
      onBlur={commit}
      onKeyDown={({ key, currentTarget }) => {
        if (key === "Escape") setDraft(undefined);
        if (key === "Enter" && !multiline) currentTarget.blur();
      }}
      {...rest}
    />
  );
}

interface AddProps {
  readonly label: string;
  readonly onAdd: (text: string) => void;
  readonly className?: string;
}

/** A form of one line, which is emptied when its text is taken. */
export function Add({ label, onAdd, className }: AddProps) {
  return (
    <form
      className={className}
      action={(data) => {
        const text = textIn(data, "text").trim();
        if (text !== "") onAdd(text);
      }}
    >
      <input name="text" aria-label={label} placeholder={label} maxLength={200} autoComplete="off" />
      <button type="submit">Add</button>
    </form>
  );
}

/** What a field of a form has. */
export function textIn(data: FormData, name: string): string {
  const value = data.get(name);
  return typeof value === "string" ? value : "";
}
