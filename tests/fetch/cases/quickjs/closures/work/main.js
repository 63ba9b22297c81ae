const counters = Array.from({ length: 5 }, (_, i) => { let n = i; return { up: (k = 1) => (n += k), get now() { return n; } }; });
for (let k = 0; k < 1000; k++) counters[k % 5].up(k);
console.log(counters.map((c) => c.now).join());
function* primes() { const seen = []; for (let n = 2; ; n++) if (seen.every((p) => n % p)) { seen.push(n); yield n; } }
const it = primes();
console.log(Array.from({ length: 20 }, () => it.next().value).join(" "));
class Tree { constructor(v) { this.v = v; } add(v) { const s = v < this.v ? "l" : "r"; this[s] ? this[s].add(v) : (this[s] = new Tree(v)); return this; }
  *[Symbol.iterator]() { if (this.l) yield* this.l; yield this.v; if (this.r) yield* this.r; } }
const t = new Tree(500); for (let i = 0, x = 1; i < 40; i++) t.add((x = (x * 75 + 74) % 65537) % 1000);
let sum = 0, last = -1, ok = true; for (const v of t) { sum += v; ok &&= v >= last; last = v; } console.log(sum, ok);
const memo = new Map(); const fib = (n) => n < 2 ? n : memo.get(n) ?? (memo.set(n, fib(n - 1) + fib(n - 2)), memo.get(n)); console.log(fib(15));
const deep = (n) => (n ? 1 + deep(n - 1) : 0); console.log(deep(12));
(async () => { const parts = await Promise.all([1, 2, 3].map(async (x) => x * await x)); console.log("later", parts.join()); })();
console.log("first", new Proxy({}, { get: (_, k) => k.toUpperCase() }).hello);
