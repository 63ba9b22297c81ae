import { square, count } from "./lib.js";
console.log(square(12), count(), count(), typeof import.meta);
const lazy = await import("./lib.js");
console.log(lazy.count());
