import type { SignOutOptions } from "@tidegate/client";
import { useRef } from "react";
import { capital, unsentEdits } from "../words.js";

interface SignOutProps {
  readonly user: string;
  /** How many edits have no answer. */
  readonly unsent: number;
  readonly signOut: (options?: SignOutOptions) => Promise<void>;
  /** The user has signed out. */
  readonly onEnd: (unsent: SignOutOptions["unsent"]) => void;
}

/** Signs out, and first asks what is to become of edits that have no answer. */
export function SignOut({ user, unsent, signOut, onEnd }: SignOutProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const end = async (choice?: SignOutOptions["unsent"]): Promise<void> => {
    dialog.current?.close();
    try {
      await signOut(choice && { unsent: choice });
    } catch (failure) {
      if (choice !== undefined || !isUnsent(failure)) throw failure;
      dialog.current?.showModal();
      return;
    }
    onEnd(choice);
  };
  return (
    <>
      <button type="button" onClick={() => void end()}>
        Sign out
      </button>
      <dialog ref={dialog} aria-labelledby="unsent">
        <h2 id="unsent">{unsentEdits(unsent)}</h2>
        <p>
          Kept edits stay on this device, and are sent when {capital(user)} signs in again. Everything else is removed
          from it.
        </p>
        <div className="choices">
          <button type="submit" onClick={() => void end("keep")}>
            Keep them
          </button>
          <button type="button" className="danger" onClick={() => void end("discard")}>
            Delete them
          </button>
          <button type="button" onClick={() => dialog.current?.close()}>
            Stay signed in
          </button>
        </div>
      </dialog>
    </>
  );
}

/** What the page is from then on. */
export function SignedOut({ user, unsent }: { readonly user: string; readonly unsent: SignOutOptions["unsent"] }) {
  return (
    <main className="out">
      <section className="card" aria-label="Signed out">
        <h1>You are signed out</h1>
        <p>
          {unsent === "keep"
            ? `Edits that were not sent wait on this device until ${capital(user)} signs in again. Nothing else is left on it.`
            : "Nothing of you is left on this device."}
        </p>
        <button
          type="submit"
          onClick={() => {
            location.reload();
          }}
        >
          Sign in as {capital(user)}
        </button>
      </section>
    </main>
  );
}

function isUnsent(failure: unknown): boolean {
  return failure instanceof Error && "code" in failure && failure.code === "UNSENT_EDITS";
}
