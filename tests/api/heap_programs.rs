//! Generated programs that pass references around in all ways, and throw them, run twice: with a
//! collection at each call of the host, and with none. What the host sees must be the same.

use crate::references::{Drops, Reference, number};
use crate::support::engines;
use precompile::*;
use std::fmt::Write;

/// Calls of the host after which a program is stopped.
const MOST_CALLS: usize = 1500;
const FUNCTIONS: usize = 6;
const TABLE: u32 = 8;
/// Counts what was caught.
const CAUGHT: &str = "(global.set $caught (i32.add (global.get $caught) (i32.const 1)))";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reference,
    Number,
    /// A number that ends a loop: nothing else sets it.
    Counter,
    /// What was caught.
    Exception,
}
use Kind::{Counter, Exception, Number, Reference as Ref_};

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Ref_ => "externref",
            Exception => "exnref",
            Number | Counter => "i32",
        }
    }
}

struct Generator {
    state: u64,
    /// Of each function: parameters and results.
    types: Vec<(Vec<Kind>, Vec<Kind>)>,
    /// The function at hand.
    function: usize,
    /// Kinds of its locals, parameters first.
    locals: Vec<Kind>,
    labels: u32,
    /// Calls that it may still make.
    calls: u32,
}

impl Generator {
    fn below(&mut self, n: usize) -> usize {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn kinds(&mut self, most: usize) -> Vec<Kind> {
        let len = self.below(most + 1);
        (0..len).map(|_| if self.below(3) == 0 { Number } else { Ref_ }).collect()
    }

    fn local(&mut self, kind: Kind) -> usize {
        loop {
            let local = self.below(self.locals.len());
            if self.locals[local] == kind {
                return local;
            }
        }
    }

    fn label(&mut self) -> u32 {
        self.labels += 1;
        self.labels
    }

    /// A function that this one may call, with such results.
    fn callee(&mut self, results: impl Fn(&[Kind]) -> bool) -> Option<usize> {
        let above: Vec<_> =
            (self.function + 1..FUNCTIONS).filter(|f| results(&self.types[*f].1)).collect();
        if self.calls == 0 || above.is_empty() {
            return None;
        }
        self.calls -= 1;
        Some(above[self.below(above.len())])
    }

    fn call(&mut self, callee: usize, tail: bool, depth: u32) -> String {
        let params = self.types[callee].0.clone();
        let args: Vec<_> = params.iter().map(|kind| self.value(*kind, depth)).collect();
        let (args, tail) = (args.join(" "), if tail { "return_" } else { "" });
        match self.below(3) {
            0 => format!("({tail}call_indirect $f (type $t{callee}) {args} (i32.const {callee}))"),
            1 => format!("({tail}call_ref $t{callee} {args} (ref.func $f{callee}))"),
            _ => format!("({tail}call $f{callee} {args})"),
        }
    }

    fn value(&mut self, kind: Kind, depth: u32) -> String {
        if kind == Number {
            return match self.below(4) {
                0 if depth > 0 => format!("(ref.is_null {})", self.value(Ref_, depth - 1)),
                1 => format!("(i32.const {})", self.below(7)),
                _ => {
                    let local = self.local(Number);
                    format!("(i32.and (local.get {local}) (i32.const 7))")
                }
            };
        }
        if depth == 0 {
            return match self.below(3) {
                0 => "(call $new)".into(),
                _ => format!("(local.get {})", self.local(Ref_)),
            };
        }
        let inner = depth - 1;
        match self.below(14) {
            0 => format!("(table.get $t {})", self.value(Number, inner)),
            1 => "(global.get $g)".into(),
            2 => "(ref.null extern)".into(),
            3 => {
                let (a, b) = (self.value(Ref_, inner), self.value(Ref_, inner));
                let condition = self.value(Number, inner);
                format!("(select (result externref) {a} {b} {condition})")
            }
            4 => {
                let condition = self.value(Number, inner);
                let (s, a) = (self.statements(2, inner), self.value(Ref_, inner));
                let (t, b) = (self.statements(2, inner), self.value(Ref_, inner));
                format!("(if (result externref) {condition} (then {s} {a}) (else {t} {b}))")
            }
            5 => {
                let (out, other) = (self.label(), self.label());
                let (a, i) = (self.value(Ref_, inner), self.value(Number, inner));
                let (s, b) = (self.statements(2, inner), self.value(Ref_, inner));
                format!(
                    "(block $l{out} (result externref) (block $l{other} (result externref) {a} \
                     (br_table $l{out} $l{other} $l{out} {i})) {s} (drop) {b})"
                )
            }
            6 => {
                // A loop that carries a reference, twice around.
                let (top, count) = (self.label(), self.locals.len());
                self.locals.push(Counter);
                let (start, s) = (self.value(Ref_, inner), self.statements(2, inner));
                let keep = self.local(Ref_);
                let next = self.value(Ref_, inner);
                format!(
                    "(local.set {count} (i32.const 2)) {start} \
                     (loop $l{top} (param externref) (result externref) (local.set {keep}) {s} \
                     {next} (br_if $l{top} (local.tee {count} \
                     (i32.sub (local.get {count}) (i32.const 1)))))"
                )
            }
            7 => format!("(local.tee {} {})", self.local(Ref_), self.value(Ref_, inner)),
            8 => format!("(call $same {})", self.value(Ref_, inner)),
            9 | 10 => match self.callee(|results| results == [Ref_]) {
                Some(callee) => self.call(callee, false, inner),
                None => "(call $new)".into(),
            },
            11 => {
                let (caught, all) = (self.label(), self.label());
                let (s, value) = (self.body(inner), self.value(Ref_, inner));
                let block =
                    |clauses| format!("(try_table (result externref) {clauses} {s} {value})");
                let clause = format!("(catch $one $l{caught})");
                if self.below(2) == 0 {
                    return format!("(block $l{caught} (result externref) {})", block(clause));
                }
                let (t, other) = (self.statements(2, inner), self.value(Ref_, inner));
                let block = block(format!("{clause} (catch_all $l{all})"));
                format!(
                    "(block $l{caught} (result externref) \
                     (block $l{all} (br $l{caught} {block})) {CAUGHT} {t} {other})"
                )
            }
            12 => self.caught_by_reference(inner),
            _ => format!("(local.get {})", self.local(Ref_)),
        }
    }

    /// Statements of a block with handlers, which mostly throw.
    fn body(&mut self, depth: u32) -> String {
        let throw = if self.below(4) > 0 { self.throw(2, depth) } else { String::new() };
        format!("{} {throw} {}", self.statements(2, depth), self.statements(1, depth))
    }

    /// Throws where a number from 0 to 7 is `least` at least.
    fn throw(&mut self, least: u32, depth: u32) -> String {
        let condition = self.value(Number, depth);
        let (a, b) = (self.value(Ref_, depth), self.value(Ref_, depth));
        let throw = match self.below(2) {
            0 => format!("(throw $one {a})"),
            _ => format!("(throw $two {a} {} {b})", self.value(Number, depth)),
        };
        format!("(if (i32.ge_u {condition} (i32.const {least})) (then {throw}))")
    }

    /// Catches an exception together with what it is, and at times throws that again.
    fn caught_by_reference(&mut self, depth: u32) -> String {
        let (done, caught) = (self.label(), self.label());
        let (s, value) = (self.body(depth), self.value(Ref_, depth));
        let (exception, a, b) = (self.local(Exception), self.local(Ref_), self.local(Ref_));
        let number = self.local(Number);
        let (t, again) = (self.statements(3, depth), self.value(Number, depth));
        let (result, tag, sets) = match self.below(3) {
            0 => ("exnref", "catch_all_ref", String::new()),
            1 => (
                "externref i32 externref exnref",
                "catch_ref $two",
                format!("(local.set {a}) (local.set {number}) (local.set {b})"),
            ),
            _ => ("externref exnref", "catch_ref $one", format!("(local.set {a})")),
        };
        format!(
            "(block $l{done} (result externref) (block $l{caught} (result {result}) \
             (br $l{done} (try_table (result externref) ({tag} $l{caught}) {s} {value}))) \
             (local.set {exception}) {sets} {CAUGHT} {t} \
             (if (i32.eq {again} (i32.const 1)) (then (throw_ref (local.get {exception})))) \
             (local.get {a}))"
        )
    }

    fn statements(&mut self, most: usize, depth: u32) -> String {
        let count = self.below(most + 1);
        let mut all = String::new();
        for _ in 0..count {
            let statement = self.statement(depth);
            let _ = write!(all, "{statement} ");
        }
        all
    }

    fn statement(&mut self, depth: u32) -> String {
        let inner = depth.saturating_sub(1);
        match self.below(16) {
            13 => self.throw(6, inner),
            14 | 15 if depth > 0 => {
                let local = self.local(Ref_);
                format!("(local.set {local} {})", self.caught_by_reference(inner))
            }
            0 => format!("(local.set {} {})", self.local(Ref_), self.value(Ref_, inner)),
            1 => format!("(local.set {} {})", self.local(Number), self.value(Number, inner)),
            2 => format!("(global.set $g {})", self.value(Ref_, inner)),
            3 => {
                let (i, value) = (self.value(Number, inner), self.value(Ref_, inner));
                format!("(table.set $t {i} {value})")
            }
            4 => {
                let (i, value) = (self.below(TABLE as usize - 2), self.value(Ref_, inner));
                format!("(table.fill $t (i32.const {i}) {value} (i32.const 2))")
            }
            5 => {
                let (i, j) = (self.below(TABLE as usize - 3), self.below(TABLE as usize - 3));
                format!("(table.copy $t $t (i32.const {i}) (i32.const {j}) (i32.const 3))")
            }
            6 => format!("(drop (table.grow $t {} (i32.const 1)))", self.value(Ref_, inner)),
            7 if depth > 0 => {
                let condition = self.value(Number, inner);
                format!("(if {condition} (then {}))", self.statements(3, inner))
            }
            8 => match self.callee(|_| true) {
                Some(callee) => {
                    let mut text = self.call(callee, false, inner);
                    let results = self.types[callee].1.clone();
                    for kind in results.iter().rev() {
                        let local = self.local(*kind);
                        let _ = write!(text, " (local.set {local})");
                    }
                    text
                }
                None => "(call $gc)".into(),
            },
            _ => format!("(call $note {})", self.value(Ref_, inner)),
        }
    }

    fn function(&mut self, index: usize) -> String {
        self.function = index;
        self.calls = 4;
        let (params, results) = self.types[index].clone();
        self.locals = params.clone();
        self.locals.extend([Ref_, Ref_, Ref_, Number, Number, Exception]);
        let references = (0..self.locals.len()).filter(|i| self.locals[*i] == Ref_);
        let mut body: String =
            references.map(|i| format!("(call $note (local.get {i})) ")).collect();
        body += &self.statements(10, 3);
        let tail = self.callee(|other| other == results);
        match tail {
            Some(callee) if self.below(2) == 0 => body += &self.call(callee, true, 2),
            _ => {
                for kind in &results {
                    let value = self.value(*kind, 2);
                    let _ = write!(body, " {value}");
                }
            }
        }
        let locals = self.locals[params.len()..].iter().map(|kind| kind.name());
        let locals = locals.collect::<Vec<_>>().join(" ");
        format!("(func $f{index} (type $t{index}) (local {locals}) {body})\n")
    }
}

fn program(seed: u64) -> String {
    let mut g = Generator {
        state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        types: Vec::new(),
        function: 0,
        locals: Vec::new(),
        labels: 0,
        calls: 0,
    };
    g.types = (0..FUNCTIONS).map(|_| (g.kinds(9), g.kinds(3))).collect();
    g.types[0] = (Vec::new(), Vec::new());
    g.types[FUNCTIONS - 1].1 = vec![Ref_];
    g.types[FUNCTIONS - 2].1 = vec![Ref_];
    let mut text = String::from(
        r#"(module
        (import "" "gc" (func $gc))
        (import "" "new" (func $new (result externref)))
        (import "" "same" (func $same (param externref) (result externref)))
        (import "" "note" (func $note (param externref)))
        (table $t (export "table") 8 externref)
        (global $g (export "global") (mut externref) (ref.null extern))
        (global $caught (export "caught") (mut i32) (i32.const 0))
        (tag $one (param externref))
        (tag $two (param externref i32 externref))
        (func (export "run") (block (try_table (catch_all 0) (call $f0))))
"#,
    );
    for (i, (params, results)) in g.types.iter().enumerate() {
        let list = |kinds: &[Kind]| kinds.iter().map(|k| k.name()).collect::<Vec<_>>().join(" ");
        let (params, results) = (list(params), list(results));
        let _ = writeln!(text, "(type $t{i} (func (param {params}) (result {results})))");
    }
    let all: String = (0..FUNCTIONS).map(|i| format!(" $f{i}")).collect();
    let _ = writeln!(text, "(table $f funcref (elem{all}))");
    for index in 0..FUNCTIONS {
        text += &g.function(index);
    }
    text + ")"
}

/// What a program did: the numbers that the host saw, how many exceptions it caught and kept, how
/// it ended, and what its table and global hold then.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    trace: Vec<i32>,
    caught: i32,
    ended: Option<String>,
    held: Vec<i32>,
}

struct Host {
    drops: Drops,
    made: i32,
    calls: usize,
    trace: Vec<i32>,
    collects: bool,
}

impl Host {
    /// At the start of each call.
    fn called(caller: &mut Caller<'_, Host>) -> Result<()> {
        caller.data_mut().calls += 1;
        if caller.data().calls > MOST_CALLS {
            return Err(Error::msg("enough"));
        }
        if caller.data().collects { caller.gc(None) } else { Ok(()) }
    }
}

fn run(engine: &Engine, module: &Module, collects: bool) -> Seen {
    let drops = Drops::default();
    let host = Host { drops: drops.clone(), made: 0, calls: 0, trace: Vec::new(), collects };
    let mut store = Store::new(engine, host);
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("", "gc", |mut caller: Caller<'_, Host>| Host::called(&mut caller))
        .unwrap()
        .func_wrap("", "new", |mut caller: Caller<'_, Host>| -> Result<Reference> {
            Host::called(&mut caller)?;
            caller.data_mut().made += 1;
            let value = caller.data().drops.value(caller.data().made);
            Ok(Some(ExternRef::new(&mut caller, value)?))
        })
        .unwrap()
        .func_wrap("", "same", |mut caller: Caller<'_, Host>, it: Reference| -> Result<Reference> {
            Host::called(&mut caller)?;
            Ok(it)
        })
        .unwrap()
        .func_wrap("", "note", |mut caller: Caller<'_, Host>, it: Reference| -> Result<()> {
            Host::called(&mut caller)?;
            let number = number(&caller, it);
            caller.data_mut().trace.push(number);
            Ok(())
        })
        .unwrap();
    let instance = linker.instantiate(&mut store, module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let ended = run.call(&mut store, ()).err().map(|error| error.root_cause());
    let mut held = Vec::new();
    {
        let mut scope = RootScope::new(&mut store);
        let table = instance.get_table(&mut scope, "table").unwrap();
        let global = instance.get_global(&mut scope, "global").unwrap();
        held.extend(global.get(&mut scope).extern_ref().map(|it| number(&scope, it)));
        for i in 0..table.size(&scope) {
            let Some(Ref::Extern(it)) = table.get(&mut scope, i) else { panic!("an externref") };
            held.push(number(&scope, it));
        }
    }
    store.gc(None).unwrap();
    // Now all is gone but that.
    let made = store.data().made;
    assert_eq!(drops.take(), (1..=made).filter(|i| !held.contains(i)).collect::<Vec<_>>());
    let trace = std::mem::take(&mut store.data_mut().trace);
    let caught = instance.get_global(&mut store, "caught").unwrap();
    let caught = caught.get(&mut store).unwrap_i32();
    drop(store);
    held.sort_unstable();
    let mut left = held.clone();
    left.retain(|i| *i > 0);
    left.dedup();
    assert_eq!(drops.take(), left);
    Seen { trace, caught, ended, held }
}

#[test]
fn class_13_programs_see_the_same_whenever_it_collects() {
    let (mut looked, mut caught, mut ended) = (0, 0, 0);
    for seed in 0..80 {
        let text = program(seed);
        let mut first = None;
        for (name, engine) in engines() {
            let module = Module::new(&engine, &text);
            let module = module.unwrap_or_else(|error| panic!("{seed}: {error:?}\n{text}"));
            let never = run(&engine, &module, false);
            let always = run(&engine, &module, true);
            assert_eq!(never, always, "{seed}, {name}\n{text}");
            looked += never.trace.len();
            caught += never.caught;
            let first = first.get_or_insert_with(|| {
                ended += usize::from(never.ended.is_none());
                never.clone()
            });
            assert_eq!(*first, never, "{seed}, {name}\n{text}");
        }
    }
    // They do something, and most come to their end.
    assert!(looked > 10_000 && ended > 40, "{looked} references seen, {ended} programs ended");
    assert!(caught > 100, "{caught} exceptions caught");
}
