// What `tidegate operations --typescript` prints for the example model.
export * from "../test/models/example.js";
