/**
 * The client in Chromium, with the browser's own database, locks and channels. One browser runs the tests of all files.
 */

import "./tabs.js";
import "./faults.js";
import "./load.js";
