import { useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useState } from 'react';
import type { User } from './config';

/**
 * The switch "Signed in as alice | bob".
 *
 * The headers editor is the only place a token is kept: GraphiQL sends what stands there with each request and as the
 * `connectionParams` of each socket, and the reader sees it.
 */
export function SignedIn({ users }: { users: User[] }) {
  const [signedIn, setSignedIn] = useState(users[0]);
  const headerEditor = useGraphiQL((state) => state.headerEditor);
  const activeTabIndex = useGraphiQL((state) => state.activeTabIndex);
  const subscribed = useGraphiQL((state) => state.subscription !== null);
  const { run, stop, updateActiveTabValues } = useGraphiQLActions();

  // Each tab has headers of its own, so one last used as alice follows when it is opened as bob. An Authorization that
  // is none of the users' was put there by hand and stays until a user is chosen.
  useEffect(() => {
    if (!headerEditor || !signedIn) return;
    const { Authorization } = parseHeaders(headerEditor.getValue());
    if (Authorization === undefined || users.some((user) => Authorization === bearer(user))) {
      signIn(signedIn);
    }
  }, [headerEditor, activeTabIndex]);

  function signIn(user: User) {
    if (!headerEditor) return;
    const headers = headersText({ ...parseHeaders(headerEditor.getValue()), Authorization: bearer(user) });
    headerEditor.setValue(headers);
    // GraphiQL takes over what an editor holds a moment later, too late for a tab that is opened at once.
    updateActiveTabValues({ headers });
    setSignedIn(user);
  }

  function choose(user: User) {
    signIn(user);
    if (!subscribed) return;
    stop();
    // The stopped subscription clears GraphiQL's state when its iterator has ended, a few microtasks from now.
    setTimeout(run);
  }

  return (
    <fieldset className="signed-in">
      <legend>Signed in as</legend>
      {users.map((user) => (
        <button key={user.name} type="button" aria-pressed={user === signedIn} onClick={() => choose(user)}>
          {user.name}
        </button>
      ))}
    </fieldset>
  );
}

/** The headers editor's text for a tab that opens as `user`. */
export function headersOf(user: User): string {
  return headersText({ Authorization: bearer(user) });
}

function headersText(headers: Record<string, unknown>): string {
  return JSON.stringify(headers, null, 2);
}

function bearer(user: User): string {
  return `Bearer ${user.token}`;
}

/** Text that is half typed counts as no headers at all. */
function parseHeaders(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
