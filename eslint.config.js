// The lints of the npm packages and of the client examples: what the compiler alone does not find.
import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

/** What the examples in JavaScript find in Node and in browsers. */
const PLATFORM = [
  ...["process", "Buffer", "console", "setTimeout", "clearTimeout", "fetch", "URL", "URLSearchParams", "crypto"],
  ...["AbortController", "AbortSignal", "Event", "EventTarget", "TextEncoder", "TextDecoderStream"],
  ...["document", "location", "navigator", "indexedDB", "addEventListener", "removeEventListener", "dispatchEvent"],
];

export default defineConfig(
  { ignores: ["**/build/", "**/dist/", "**/node_modules/", "**/test/models/", "client-examples/shared/src/model.ts"] },
  {
    files: ["packages/*/{src,test,examples}/**/*.{ts,tsx}", "client-examples/*/{src,test}/**/*.{ts,tsx}"],
    extends: [js.configs.recommended, tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreVoidReturningFunctions: true }],
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", name: ["describe", "test", "before", "after"], package: "node:test" },
          ],
        },
      ],
      "@typescript-eslint/no-unused-vars": ["error", { ignoreRestSiblings: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  {
    files: ["client-examples/*/{.,src,test}/**/*.{js,mjs}"],
    extends: [js.configs.recommended],
    languageOptions: { globals: Object.fromEntries(PLATFORM.map((name) => [name, "readonly"])) },
    rules: { "no-unused-vars": ["error", { ignoreRestSiblings: true, varsIgnorePattern: "^_$" }] },
  },
  {
    files: ["client-examples/*/src/**/*.{ts,tsx}"],
    plugins: { "react-hooks": reactHooks },
    rules: {
      "react-hooks/rules-of-hooks": "error",
      "react-hooks/exhaustive-deps": ["error", { additionalHooks: "^useLive$" }],
    },
  },
);
