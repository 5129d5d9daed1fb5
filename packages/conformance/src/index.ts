/**
 * What tests of clients share: a proxy that fails.
 */

export { Proxy, type Fault, type Plan, type Traffic } from "./proxy.js";
