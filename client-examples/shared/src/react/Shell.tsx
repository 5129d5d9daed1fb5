import type { SignOutOptions, Status } from "@tidegate/client";
import { useEffect, useState, type ReactNode } from "react";
import type { Session } from "../session.js";
import { capital, lastSync, phaseName, waiting } from "../words.js";
import { SignedOut, SignOut } from "./SignOut.js";

const USERS = ["alice", "bob", "carol"];

interface ShellProps {
  readonly session: Session;
  readonly status: Status;
  /** Ends the sync, and removes what the user has on this device. */
  readonly signOut: (options?: SignOutOptions) => Promise<void>;
  readonly children: ReactNode;
}

/** What is around the lists: who uses the page, how it stands to the gateway, and what has gone wrong. */
export function Shell({ session, status, signOut, children }: ShellProps) {
  const [left, setLeft] = useState<{ readonly unsent: SignOutOptions["unsent"] }>();
  const { user } = session;
  if (left) return <SignedOut user={user} unsent={left.unsent} />;
  return (
    <>
      <header className="bar">
        <h1>Tidelist</h1>
        <StatusLine status={status} />
        <UserSelect user={user} />
        <NetworkSwitch network={session.network} />
        <SignOut
          user={user}
          unsent={status.unsent}
          signOut={signOut}
          onEnd={(unsent) => {
            setLeft({ unsent });
          }}
        />
      </header>
      <Failures status={status} />
      <main>{children}</main>
    </>
  );
}

/** Phase, edits that wait, last sync. */
function StatusLine({ status }: { readonly status: Status }) {
  const { phase, unsent } = status;
  return (
    <p className="status" role="status" data-phase={phase} data-unsent={unsent}>
      <span className="phase">{phaseName(status)}</span>
      {unsent > 0 && <strong className="waits">{waiting(unsent)}</strong>}
      <span className="synced">{lastSync(status.lastSync)}</span>
    </p>
  );
}

function UserSelect({ user }: { readonly user: string }) {
  return (
    <label className="user">
      <span>Signed in as</span>
      <select
        value={user}
        onChange={({ currentTarget }) => {
          const address = new URL(location.href);
          address.searchParams.set("user", currentTarget.value);
          location.assign(address);
        }}
      >
        {[...new Set([...USERS, user])].map((it) => (
          <option key={it} value={it}>
            {capital(it)}
          </option>
        ))}
      </select>
    </label>
  );
}

function NetworkSwitch({ network }: { readonly network: Session["network"] }) {
  const [online, setOnline] = useState(network.online);
  return (
    <button
      type="button"
      role="switch"
      aria-checked={online}
      onClick={() => {
        network.online = !online;
        setOnline(!online);
      }}
    >
      Online
    </button>
  );
}

/** What the client reports, and edits that could not be stored. */
function Failures({ status: { phase, error } }: { readonly status: Status }) {
  const [failure, setFailure] = useState<string>();
  useEffect(() => {
    const show = ({ reason }: PromiseRejectionEvent): void => {
      setFailure(reason instanceof Error ? reason.message : String(reason));
    };
    addEventListener("unhandledrejection", show);
    return () => {
      removeEventListener("unhandledrejection", show);
    };
  }, []);
  const halted = phase === "halted" && error ? error.message : undefined;
  const text = halted ?? failure;
  if (text === undefined) return null;
  return (
    <p className="failure" role="alert">
      {text}
      {halted === undefined && (
        <button
          type="button"
          onClick={() => {
            setFailure(undefined);
          }}
        >
          Dismiss
        </button>
      )}
    </p>
  );
}
