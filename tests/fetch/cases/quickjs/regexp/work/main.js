console.log("2024-02-29".replace(/(?<y>\d+)-(?<m>\d+)-(?<d>\d+)/, "$<d>.$<m>.$<y>"));
console.log([..."a1b22c333".matchAll(/([a-z])(\d+)/g)].map((m) => m[1] + m[2].length + "@" + m.index).join(" "));
console.log("x=1; y = 2;z=3".split(/\s*;\s*/).map((s) => s.split(/\s*=\s*/)).join("|"));
console.log(/^(?:a+)+$/.test("a".repeat(24)), /(\w+) \1/i.exec("the The cat")[0], /(?<=\$)\d+/.exec("cost $42")[0]);
console.log("ÄÖÜ straße 🦀".match(/\p{L}+/gu).join(), "🦀".match(/^.$/u) !== null);
const text = Array.from({ length: 5000 }, (_, i) => `item-${i * 7919 % 5000};`).join("");
console.log((text.match(/item-(\d*[05]);/g) || []).length, text.replace(/\d/g, (d) => 9 - d).length);
