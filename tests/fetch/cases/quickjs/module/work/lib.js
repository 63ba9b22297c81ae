let n = 0;
export const square = (x) => x * x;
export function count() { return ++n; }
