import collections, decimal, hashlib, json, re, textwrap

print(json.dumps({"a": [1, 2.5, None, True], "é": {"n": 10**30}}, sort_keys=True, ensure_ascii=False))
print(hashlib.sha256(b"precompile").hexdigest())
print(re.sub(r"(\w+) (\w+)", r"\2 \1", "hello world, good day"))
print(collections.Counter("mississippi").most_common(3), decimal.Decimal(1) / 7, 2**200 % 10007)
print(textwrap.fill("one module compiled once starts in microseconds everywhere", 20))
total = 0
for i in range(200000):
    total = (total * 31 + i) % 1000003
print(total, 0.1 + 0.2, f"{1e100:.3e}", round(2.5))
try:
    {}["missing"]
except KeyError as error:
    print("caught", error)
with open("/work/out.txt", "w") as f:
    f.write("written\n" * 3)
print(open("/work/out.txt").read().count("\n"))
raise SystemExit(5)
