/**
 * The page `/devices`: two devices of two users beside each other.
 */

import { render } from "preact";
import { useState } from "preact/hooks";
import { DeviceCard } from "./DeviceCard.js";
import { addExamples, isModelServed, openDevice, type Device } from "./device.js";
import { useLive } from "./live.js";

function Page({ devices }: { readonly devices: readonly [Device, Device] }) {
  const [online, setOnline] = useState(devices.map(() => true));
  const flip = (index: number, on: boolean): void => {
    const device = devices[index];
    if (device) device.network.online = on;
    setOnline(online.map((before, at) => (at === index ? on : before)));
  };
  return (
    <>
      <header class="page">
        <h1>Two devices in step</h1>
        <nav>
          <a href="/">GraphiQL</a>
        </nav>
      </header>
      <main>
        <Guide devices={devices} offline={online.every((it) => !it)} />
        <div class="devices">
          {devices.map((device, index) => (
            <DeviceCard
              key={device.user}
              device={device}
              online={online[index] ?? true}
              onSwitch={(on) => flip(index, on)}
            />
          ))}
        </div>
      </main>
      <footer>
        <p>
          Each device is a client of its own, with a database of its own in this browser. Both are in the team{" "}
          <code>demo</code>.
        </p>
        <button type="button" class="quiet" onClick={() => void startOver(devices)}>
          Forget both devices
        </button>
      </footer>
    </>
  );
}

interface GuideProps {
  readonly devices: readonly [Device, Device];
  /** Whether both are offline. */
  readonly offline: boolean;
}

/** Says what to try next. */
function Guide({ devices: [alice, bob], offline }: GuideProps) {
  const tasks = useLive(() => alice.client.tasks.live({ limit: 1 }), []);
  const [mine, theirs] = [useUnsent(alice), useUnsent(bob)];
  const outcomes = [useOutcomes(alice), useOutcomes(bob)];
  if (tasks?.length === 0) {
    return (
      <div class="guide">
        <p>There is nothing to edit yet.</p>
        <button type="button" onClick={() => void addExamples(alice)}>
          Add two tasks and a note
        </button>
      </div>
    );
  }
  const step = outcomes.some((count) => count > 0)
    ? 3
    : mine > 0 && theirs > 0
      ? 2
      : offline
        ? 1
        : mine + theirs > 0
          ? 2
          : 0;
  const steps = [
    "Take both devices offline.",
    "Edit the same task and the same note on both.",
    "Bring them back, one by one.",
    "See what became of the edits.",
  ];
  return (
    <ol class="guide" aria-label="What to try">
      {steps.map((text, index) => (
        <li key={text} aria-current={index === step ? "step" : undefined}>
          {text}
        </li>
      ))}
    </ol>
  );
}

function useUnsent({ client }: Device): number {
  return useLive(() => client.status, [client])?.unsent ?? 0;
}

function useOutcomes({ client }: Device): number {
  return useLive(() => client.outcomes, [client])?.length ?? 0;
}

/** Removes the databases of the devices, and opens them once more. What was sent stays at the gateway. */
async function startOver(devices: readonly Device[]): Promise<void> {
  await Promise.all(devices.map(({ client }) => client.signOut({ unsent: "discard" })));
  location.reload();
}

function AnotherModel() {
  return (
    <main>
      <p class="halted" role="alert">
        This page is made for the example model, and this gateway serves another one. <a href="/">GraphiQL</a> shows
        what it serves.
      </p>
    </main>
  );
}

const root = document.getElementById("root");
if (root) {
  const page = (await isModelServed()) ? (
    <Page devices={[openDevice("alice", "Alice’s laptop", "laptop"), openDevice("bob", "Bob’s phone", "phone")]} />
  ) : (
    <AnotherModel />
  );
  render(page, root);
}
