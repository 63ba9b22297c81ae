//! Spans: what a collector hears of a load.

use crate::cache::folder;
use precompile::cache::{Layers, Mode, to_hex};
use precompile::*;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const TEXT: &str = "(module (memory 1) (func (export \"f\")))";

/// A span: its name, its fields, and which of the others it is in.
#[derive(Clone, Debug, Default)]
struct Span {
    name: String,
    parent: Option<usize>,
    fields: BTreeMap<&'static str, String>,
}

/// Collects spans, which get their numbers in the order in which they are made.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<(Vec<Span>, Vec<usize>)>>);

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_string());
    }
}

fn number(id: &Id) -> usize {
    id.into_u64() as usize - 1
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("precompile")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut all = self.0.lock().unwrap();
        let name = attributes.metadata().name().to_string();
        let parent = all.1.last().copied();
        all.0.push(Span { name, parent, ..Span::default() });
        Id::from_u64(all.0.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut self.0.lock().unwrap().0[number(span)]);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().1.push(number(span));
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.0.lock().unwrap().1.pop(), Some(number(span)));
    }
}

/// What is collected while a module is loaded.
fn spans<T>(act: impl FnOnce() -> T) -> (T, Vec<Span>) {
    let collector = Collector::default();
    let done = tracing::subscriber::with_default(collector.clone(), act);
    let (spans, open) = collector.0.lock().unwrap().clone();
    assert!(open.is_empty());
    (done, spans)
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| &*span.name).collect()
}

#[test]
fn a_load_is_a_span_with_its_steps_inside() {
    let dir = folder();
    let engine = |mode| {
        let mut config = Config::new();
        config.cache(Layers::builder().read_write(dir.path()).mode(mode));
        Engine::new(&config).unwrap()
    };
    let (loaded, made) = spans(|| Module::new_reported(&engine(Mode::Auto), TEXT).unwrap());
    let (_, report) = loaded;
    assert_eq!(names(&made), ["module.load", "cache.lookup", "compile", "cache.add"]);
    let parents: Vec<_> = made.iter().map(|span| span.parent).collect();
    assert_eq!(parents, [None, Some(0), Some(0), Some(0)]);
    let fields = |span: &Span, names: [&str; 4]| {
        names.map(|name| span.fields.get(name).cloned().unwrap_or_default())
    };
    let all = ["key", "layer", "outcome", "bytes"];
    let (key, artifact) = (to_hex(&report.id.unwrap()), report.artifact_len.to_string());
    let module = report.module_len.to_string();
    assert_eq!(fields(&made[0], all), [&*key, "", "compiled", &module]);
    assert_eq!(fields(&made[1], all), [&*key, "", "absent", ""]);
    assert_eq!(fields(&made[2], all), [&*key, "", "compiled", &artifact]);
    assert_eq!(fields(&made[3], all), [&*key, "", "added", &artifact]);

    let hit = engine(Mode::ReadOnly);
    let (_module, found) = spans(|| Module::new(&hit, TEXT).unwrap());
    assert_eq!(names(&found), ["module.load", "cache.lookup"]);
    assert_eq!(fields(&found[0], all), [&*key, "dir", "hit", &module]);
    assert_eq!(fields(&found[1], all), [&*key, "dir", "hit", &artifact]);
    let (_module, again) = spans(|| Module::new(&hit, TEXT).unwrap());
    assert_eq!((names(&again), &*again[0].fields["outcome"]), (vec!["module.load"], "loaded"));

    let strict = engine(Mode::RequireHit);
    let (error, missed) = spans(|| Module::new(&strict, "(module)").unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Miss);
    assert_eq!(names(&missed), ["module.load", "cache.lookup"]);
    let outcomes: Vec<_> = missed.iter().map(|span| &*span.fields["outcome"]).collect();
    assert_eq!(outcomes, ["failed", "absent"]);
    let (_, failed) = spans(|| Module::from_file(&strict, "/nowhere.wasm").unwrap_err());
    assert_eq!((names(&failed), &*failed[0].fields["outcome"]), (vec!["module.load"], "failed"));
}
