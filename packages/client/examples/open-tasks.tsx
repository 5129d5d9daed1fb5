import type { Client } from "@tidegate/client";
import { useLive, usePending, useStatus } from "@tidegate/client/react";
import type { Model, Task } from "./model.js";

export function OpenTasks({ client, team }: { client: Client<Model>; team: string }) {
  const { phase } = useStatus(client);
  const tasks = useLive(
    () => client.tasks.live({ where: { audience: { eq: `team:${team}` }, done: { eq: false } } }),
    [client, team],
  );
  if (!tasks) return <p>…</p>;
  return (
    <ul aria-label={phase}>
      {tasks.map((task) => (
        <Row key={task.id} task={task} client={client} />
      ))}
    </ul>
  );
}

function Row({ task, client }: { task: Task; client: Client<Model> }) {
  const waits = usePending(client.tasks, task.id).length > 0;
  return (
    <li>
      {task.title} {waits && "(not sent yet)"}
      <button onClick={() => void client.tasks.update(task.id, { done: true })}>Done</button>
    </li>
  );
}
