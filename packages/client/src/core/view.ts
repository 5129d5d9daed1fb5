/**
 * The optimistic view (1.8): a document as its user sees it, with the edits that have no answer yet.
 */

import type { Body } from "../protocol.js";
import { mergeOf, own, type CoreModel, type Edit } from "./records.js";
import { shown } from "./values.js";

/** The view of one document: what the gateway has shown, and its edits in their order. */
export function view(model: CoreModel, held: Body | undefined, edits: readonly Edit[]): Body | undefined {
  return edits.reduce((body, edit) => over(model, body, edit), held);
}

function over(model: CoreModel, body: Body | undefined, edit: Edit): Body | undefined {
  switch (edit.op) {
    case "create":
      return { ...own(model.types, edit.type)?.defaults, ...edit.set, id: edit.id };
    case "delete":
      return undefined;
    case "update": {
      if (body === undefined) return undefined;
      const fields = Object.entries(edit.set).map(([field, value]) => {
        const merge = mergeOf(model, edit.type, field);
        if (edit.sent && merge === "COUNTER") {
          return [field, own(edit.sent, field) ?? own(body, field) ?? null] as const;
        }
        return [field, shown(merge, own(body, field), own(edit.base, field), value)] as const;
      });
      return { ...body, ...Object.fromEntries(fields) };
    }
  }
}
