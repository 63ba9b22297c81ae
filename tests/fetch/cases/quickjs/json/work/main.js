const value = { name: "précompile", list: [1, 2.5, -0, 1e21, null, true], nested: { deep: { er: [[], {}] } }, skip: undefined };
const text = JSON.stringify(value, null, 2);
console.log(text);
const back = JSON.parse(text, (key, v) => (typeof v === "number" ? v * 2 : v));
console.log(JSON.stringify(back), back.list.length);
try { JSON.parse('{"a": 1,}'); } catch (e) { console.log(e.name); }
const big = [];
for (let i = 0; i < 20000; i++) big.push({ id: i, text: "x".repeat(i % 10), half: i / 2 });
console.log(JSON.stringify(JSON.parse(JSON.stringify(big))).length);
