import { createClient, indexedDBStorage } from "@tidegate/client";
import { tidegateExchanges } from "@tidegate/client/urql";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { model, type Model } from "tidegate-example-shared/model";
import { openSession } from "tidegate-example-shared/session";
import "tidegate-example-shared/style.css";
import { Client as UrqlClient, Provider } from "urql";
import { App } from "./App.js";

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
const urql = new UrqlClient({ url: session.url, exchanges: tidegateExchanges(client) });

const root = document.getElementById("root");
if (!root) throw new Error("index.html has an element with the id root");
createRoot(root).render(
  <StrictMode>
    <Provider value={urql}>
      <App client={client} session={session} />
    </Provider>
  </StrictMode>,
);
