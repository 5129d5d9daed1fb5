import type { Status } from "@tidegate/client";
import { Notes, Tasks } from "./Documents.js";
import { Outcomes } from "./Outcomes.js";
import type { Device } from "./device.js";
import { useLive } from "./live.js";

interface DeviceCardProps {
  readonly device: Device;
  readonly online: boolean;
  readonly onSwitch: (online: boolean) => void;
}

export function DeviceCard({ device, online, onSwitch }: DeviceCardProps) {
  const status = useLive(() => device.client.status, [device]);
  // Who has switched it off need not hear that there is no network.
  const error = online || status?.error?.code !== "NETWORK" ? status?.error : undefined;
  return (
    <section class={`device ${device.icon}`} aria-label={device.name}>
      <header>
        <h2>{device.name}</h2>
        <button type="button" role="switch" aria-checked={online} onClick={() => onSwitch(!online)}>
          {online ? "Online" : "Offline"}
        </button>
      </header>
      {status && <StatusLine status={status} />}
      {error && (
        <p class="halted" role="alert">
          {error.code}: {error.message}
        </p>
      )}
      <Outcomes device={device} />
      <Tasks device={device} />
      <Notes device={device} />
    </section>
  );
}

function StatusLine({ status: { phase, unsent, lastSync } }: { readonly status: Status }) {
  const waiting = unsent === 1 ? "1 edit waits" : `${unsent} edits wait`;
  return (
    <p class={`status ${phase}`} role="status">
      <span class="dot" aria-hidden="true" />
      <span>
        {phase.replace("-", " ")}
        {unsent > 0 && <strong>, {waiting}</strong>}
      </span>
      {lastSync && <span class="synced">last in step at {lastSync.toLocaleTimeString()}</span>}
    </p>
  );
}
