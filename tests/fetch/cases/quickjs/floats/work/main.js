console.log(0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -0, Object.is(-0, 0), (0.000001234).toString(), (1e21).toString());
console.log((1234.5678).toFixed(2), (0.5).toFixed(0), (255).toString(16), (0.1).toString(2), (1234.5678).toPrecision(6), (12345).toExponential(2));
console.log(Math.sqrt(2), Math.sin(1), Math.exp(1), Math.log(10), Math.atan2(1, -1), Math.hypot(3, 4), Math.fround(0.1), Math.imul(0xffffffff, 5), Math.clz32(1));
console.log(2 ** 53 + 1, 1e16 % 7, -7 % 3, 7 >>> 1, -7 >>> 28, ~~-2.7, parseInt("0x1f"), parseFloat("3.25abc"), Number("  12  "), Number("1_0"));
const a = new Float32Array([1.1, 2.2]), d = new DataView(new ArrayBuffer(8)); d.setFloat64(0, Math.PI); console.log(a[0], d.getUint32(0).toString(16), d.getUint32(4).toString(16));
console.log(new Date(0).toISOString(), new Date(1700000000123).toISOString(), Date.UTC(2024, 1, 29));
let s = 0; for (let i = 1; i < 200000; i++) s += 1 / (i * i); console.log(s);
