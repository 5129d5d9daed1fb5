/**
 * What holds clients against a real gateway: a proxy that fails, random histories, and the judge of what comes of them.
 */

export { Killed, type Body, type Device, type Edit, type OpenConflict, type Edits, type FieldEdit } from "./device.js";
export type { Outcome, State, Value } from "./device.js";
export { backupsBy, copiesOf, end, Gateway, type Backups, type GatewayOptions } from "./gateway.js";
export {
  COMMON,
  histories,
  INBOX,
  NETWORK,
  OUTCOMES,
  plain,
  special,
  type Act,
  type History,
  type Kinds,
  type Operation,
  type Weighted,
} from "./history.js";
export { freePort } from "./ports.js";
export { Proxy, type Fault, type Plan, type Traffic } from "./proxy.js";
export { runSuite, type SuiteOptions } from "./suite.js";
export { World, type Place, type Service, type WorldOptions } from "./world.js";
