import type { Live } from "@tidegate/client";
import { useEffect, useState } from "preact/hooks";

/** The newest value of a live query. It is asked for again when one of `inputs` changes. */
export function useLive<T>(open: () => Live<T>, inputs: readonly unknown[]): T | undefined {
  const [value, setValue] = useState<T>();
  useEffect(() => open().subscribe((next) => setValue(() => next)), inputs);
  return value;
}
