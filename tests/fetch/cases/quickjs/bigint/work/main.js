let f = 1n;
for (let i = 2n; i <= 200n; i++) f *= i;
console.log(f.toString());
console.log((f >> 900n) % 1000000007n, BigInt.asUintN(64, -1n), BigInt.asIntN(8, 255n), (-7n) / 2n, (-7n) % 2n);
const modpow = (b, e, m) => { let r = 1n; for (b %= m; e; e >>= 1n, b = b * b % m) if (e & 1n) r = r * b % m; return r; };
console.log(modpow(3n, 2n ** 521n - 2n, 2n ** 521n - 1n) === 1n);
console.log((2n ** 255n - 19n).toString(16), 0xffn ** 9n, 10n > 9, 2n == 2);
try { 1n + 1; } catch (e) { console.log(e.name); }
try { 1n / 0n; } catch (e) { console.log(e.name); }
