import "../alias.js";
import "./dom.js";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, afterEach, describe, test } from "node:test";
import { act, Component, StrictMode, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { useConflicts, useLive, useOutcomes, usePending, useStatus } from "../../src/adapters/react.js";
import { LiveValue } from "../../src/client/live.js";
import { ClientError, createClient } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";

const ROOT = new URL("../../../../../", import.meta.url);

/** A live value, and how many listen to it. */
class Counted extends LiveValue<string> {
  static listening = 0;

  constructor(first?: string) {
    super(() => {
      Counted.listening += 1;
      return () => {
        Counted.listening -= 1;
      };
    });
    if (first !== undefined) this.set(first);
  }
}

/** A client that no gateway answers. */
const client = createClient<Model>({
  url: "http://tidegate.invalid/graphql",
  token: () => "none",
  model,
  storage: memoryStorage(),
  fetch: () => Promise.reject(new TypeError("no network")),
});

after(() => client.close());

let mounted: { readonly root: Root; readonly element: HTMLElement } | undefined;

/** Shows elements in the page, under StrictMode. */
async function show(node: ReactNode): Promise<HTMLElement> {
  const element = mounted?.element ?? document.createElement("main");
  mounted ??= { element, root: createRoot(element) };
  const { root } = mounted;
  await act(() => {
    root.render(<StrictMode>{node}</StrictMode>);
    return Promise.resolve();
  });
  return element;
}

async function unmount(): Promise<void> {
  await act(() => {
    mounted?.root.unmount();
    return Promise.resolve();
  });
  mounted = undefined;
}

afterEach(async () => {
  await unmount();
  assert.equal(Counted.listening, 0, "nobody listens any more");
});

/** Waits until the page shows a text. */
async function shows(element: HTMLElement, text: string): Promise<void> {
  const end = Date.now() + 5_000;
  while (element.textContent !== text) {
    assert.ok(Date.now() < end, `it shows ${element.textContent} and not ${text}`);
    await act(() => new Promise((resolve) => setTimeout(resolve, 5)));
  }
}

class Boundary extends Component<{ readonly children: ReactNode }, { readonly failure?: unknown }> {
  override state: { readonly failure?: unknown } = {};

  static getDerivedStateFromError(failure: unknown): { readonly failure: unknown } {
    return { failure };
  }

  override render(): ReactNode {
    const { failure } = this.state;
    return failure instanceof ClientError ? failure.code : this.props.children;
  }
}

describe("useLive", () => {
  function Shown({ live }: { readonly live: Counted }): ReactNode {
    return useLive(live) ?? "nothing yet";
  }

  test("shows each value, and listens once until it is unmounted", async () => {
    const live = new Counted();
    const element = await show(<Shown live={live} />);
    assert.equal(element.textContent, "nothing yet");
    await act(() => {
      live.set("one");
      live.set("two");
      return Promise.resolve();
    });
    assert.equal(element.textContent, "two");
    assert.equal(Counted.listening, 1);
    await unmount();
    assert.equal(Counted.listening, 0);
  });

  test("follows another live value, and leaves the one before", async () => {
    const [one, two] = [new Counted("one"), new Counted()];
    const element = await show(<Shown live={one} />);
    assert.equal(element.textContent, "one");
    await show(<Shown live={two} />);
    assert.equal(element.textContent, "nothing yet", "it does not show what another value has");
    assert.equal(Counted.listening, 1);
  });

  test("opens a live value again when its inputs change, and not when something else does", async () => {
    const opened: string[] = [];
    function Named({ name }: { readonly name: string; readonly other?: number }): ReactNode {
      return useLive(() => {
        opened.push(name);
        return new Counted(name);
      }, [name]);
    }
    await show(<Named name="one" />);
    const once = opened.length;
    await show(<Named name="one" other={1} />);
    assert.equal(opened.length, once);
    const element = await show(<Named name="two" />);
    assert.equal(element.textContent, "two");
    assert.equal(Counted.listening, 1);
  });

  test("a query whose conditions change shows what they find, and edits at once", async () => {
    const milk = await client.tasks.create({ title: "Buy milk" });
    await client.tasks.create({ title: "Mow", done: true });
    function Titles({ done }: { readonly done: boolean }): ReactNode {
      const found = useLive(() => client.tasks.live({ where: { done: { eq: done } }, orderBy: ["title_ASC"] }), [done]);
      return found?.map(({ title }) => title).join(", ") ?? "nothing yet";
    }
    const element = await show(<Titles done={false} />);
    await shows(element, "Buy milk");
    await show(<Titles done={true} />);
    await shows(element, "Mow");
    await act(() => client.tasks.update(milk, { done: true }));
    await shows(element, "Buy milk, Mow");
  });

  test("a mistake in a query reaches the error boundary", async (t) => {
    t.mock.method(console, "error", () => undefined);
    function Wrong(): ReactNode {
      return useLive(() => client.tasks.live({ where: { title: { eq: undefined as never } } }), [])?.length;
    }
    const element = await show(
      <Boundary>
        <Wrong />
      </Boundary>,
    );
    assert.equal(element.textContent, "INVALID_QUERY");
  });

  test("a server renders what is there", () => {
    assert.equal(renderToString(<Shown live={new Counted("one")} />), "one");
    assert.equal(renderToString(<Shown live={new Counted()} />), "nothing yet");
  });
});

describe("what every client has", () => {
  test("useStatus has the error that keeps it offline", async () => {
    function Line(): ReactNode {
      const { phase, error } = useStatus(client);
      return `${phase}: ${error?.code ?? "no error"}`;
    }
    await shows(await show(<Line />), "offline: NETWORK");
  });

  test("usePending counts the edits that wait", async () => {
    const id = await client.tasks.create({ title: "Paint" });
    function Pending(): ReactNode {
      return usePending(client.tasks, id)
        .map(({ op }) => op)
        .join(", ");
    }
    const element = await show(<Pending />);
    await shows(element, "create");
    await act(() => client.tasks.delete(id));
    await shows(element, "create, delete");
  });

  test("useConflicts and useOutcomes are empty and the same until there are some", async () => {
    const seen: unknown[] = [];
    function Inbox(): ReactNode {
      seen.push(useConflicts(client));
      return useOutcomes(client).length + useConflicts(client).length;
    }
    const element = await show(<Inbox />);
    await show(<Inbox />);
    assert.equal(element.textContent, "0");
    assert.equal(new Set(seen).size, 1);
  });
});

describe("docs/client.md", () => {
  test("shows a component as it is", async () => {
    const component = await readFile(new URL("packages/client/examples/open-tasks.tsx", ROOT), "utf8");
    const page = await readFile(new URL("docs/client.md", ROOT), "utf8");
    assert.ok(page.includes(`\`\`\`tsx\n${component}\`\`\``));
  });

  test("its component follows the team and the edits", async () => {
    const { OpenTasks } = await import("../../examples/open-tasks.js");
    await client.tasks.create({ id: "mow", title: "Mow", audience: "team:garden" });
    await client.tasks.create({ title: "Cook", audience: "team:kitchen" });
    const element = await show(<OpenTasks client={client} team="garden" />);
    await shows(element, "Mow (not sent yet)Done");
    await show(<OpenTasks client={client} team="kitchen" />);
    await shows(element, "Cook (not sent yet)Done");
    await show(<OpenTasks client={client} team="garden" />);
    await shows(element, "Mow (not sent yet)Done");
    await act(() => client.tasks.update("mow", { done: true }));
    await shows(element, "");
  });
});
