import { createClient, indexedDBStorage } from "@tidegate/client";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { model, type Model } from "tidegate-example-shared/model";
import { openSession } from "tidegate-example-shared/session";
import "tidegate-example-shared/style.css";
import { App } from "./App.js";
import { openCollections } from "./database.js";

const session = openSession();
const client = createClient<Model>({
  url: session.url,
  token: session.token,
  model,
  storage: indexedDBStorage(session.database),
  // Only for the switch of the page. Without these the client uses those of the browser.
  fetch: session.network.fetch,
  webSocket: session.network.webSocket,
});
const collections = await openCollections(`rxdb-${session.user}`, client);

const root = document.getElementById("root");
if (!root) throw new Error("index.html has an element with the id root");
createRoot(root).render(
  <StrictMode>
    <App client={client} collections={collections} session={session} />
  </StrictMode>,
);
