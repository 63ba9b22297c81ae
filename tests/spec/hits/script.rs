//! From a script of tests to steps for the player: no text format is left, and modules are files.

use precompile_wast::script::forms;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use wast::core::{AbstractHeapType, HeapType, WastArgCore};
use wast::parser::{ParseBuffer, parse};
use wast::token::Id;
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, Wat};

/// The steps of `source`, one a line, as `player.rs` has them, and how many directives never reach
/// an engine: those that are refused as text. The modules go into `folder`, named by their
/// digests.
pub(super) fn steps(source: &str, folder: &Path) -> (String, usize) {
    let mut writer = Writer { folder, written: BTreeSet::new() };
    let (mut steps, mut others) = (String::new(), 0);
    for form in forms(source) {
        let line = source[..form.offset].matches('\n').count() + 1;
        match step(form.text, &mut writer) {
            Some(step) => steps += &format!("{line} {step}\n"),
            None => others += 1,
        }
    }
    (steps, others)
}

/// A step, unless the directive is none that runs by itself.
fn step(text: &str, writer: &mut Writer<'_>) -> Option<String> {
    let mut lexer = wast::lexer::Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).ok()?;
    let mut script = parse::<Wast<'_>>(&buffer).ok()?;
    let [directive] = &mut script.directives[..] else { return None };
    Some(match directive {
        WastDirective::Module(quote) => {
            format!("module {} {}", name(quote.name()), writer.quote(quote)?)
        }
        WastDirective::ModuleDefinition(quote) => {
            format!("define {} {}", name(quote.name()), writer.quote(quote)?)
        }
        WastDirective::ModuleInstance { instance, module, .. } => {
            format!("instance {} {}", name(*instance), name(*module))
        }
        WastDirective::Register { name: to, module, .. } => {
            format!("register {} {}", text_word(to), name(*module))
        }
        WastDirective::Invoke(invoke) => call(invoke)?,
        WastDirective::AssertExhaustion { call: invoke, .. } => call(invoke)?,
        WastDirective::AssertReturn { exec, .. }
        | WastDirective::AssertTrap { exec, .. }
        | WastDirective::AssertException { exec, .. } => execute(exec, writer)?,
        WastDirective::AssertUnlinkable { module, .. } => {
            format!("instantiate {}", writer.wat(module)?)
        }
        WastDirective::AssertInvalid { module, .. }
        | WastDirective::AssertMalformed { module, .. }
        | WastDirective::AssertInvalidCustom { module, .. }
        | WastDirective::AssertMalformedCustom { module, .. } => {
            format!("refuse {}", writer.quote(module)?)
        }
        _ => return None,
    })
}

fn execute(exec: &mut WastExecute<'_>, writer: &mut Writer<'_>) -> Option<String> {
    match exec {
        WastExecute::Invoke(invoke) => call(invoke),
        WastExecute::Wat(module) => Some(format!("instantiate {}", writer.wat(module)?)),
        WastExecute::Get { module, global, .. } => {
            Some(format!("get {} {}", name(*module), text_word(global)))
        }
    }
}

fn call(invoke: &WastInvoke<'_>) -> Option<String> {
    let mut step = format!("invoke {} {}", name(invoke.module), text_word(invoke.name));
    for arg in &invoke.args {
        let WastArg::Core(arg) = arg else { return None };
        step += " ";
        step += &value(arg)?;
    }
    Some(step)
}

fn value(arg: &WastArgCore<'_>) -> Option<String> {
    Some(match arg {
        WastArgCore::I32(x) => format!("i32:{:x}", *x as u32),
        WastArgCore::I64(x) => format!("i64:{:x}", *x as u64),
        WastArgCore::F32(x) => format!("f32:{:x}", x.bits),
        WastArgCore::F64(x) => format!("f64:{:x}", x.bits),
        WastArgCore::V128(x) => format!("v128:{:x}", u128::from_le_bytes(x.to_le_bytes())),
        WastArgCore::RefNull(HeapType::Abstract { shared: false, ty }) => match ty {
            AbstractHeapType::Func | AbstractHeapType::NoFunc => "null:func".into(),
            AbstractHeapType::Extern | AbstractHeapType::NoExtern => "null:extern".into(),
            _ => return None,
        },
        WastArgCore::RefNull(HeapType::Concrete(_)) => "null:func".into(),
        WastArgCore::RefExtern(x) => format!("extern:{x:x}"),
        _ => return None,
    })
}

fn name(id: Option<Id<'_>>) -> String {
    id.map_or("-".into(), |id| text_word(id.name()))
}

/// Any text as a word: its bytes in hexadecimal.
fn text_word(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("x{bytes}")
}

/// Writes modules.
struct Writer<'a> {
    folder: &'a Path,
    written: BTreeSet<String>,
}

impl Writer<'_> {
    fn quote(&mut self, quote: &mut QuoteWat<'_>) -> Option<String> {
        let is_component =
            matches!(quote, QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..));
        if is_component { None } else { Some(self.write(&quote.encode().ok()?)) }
    }

    fn wat(&mut self, wat: &mut Wat<'_>) -> Option<String> {
        let is_component = matches!(wat, Wat::Component(_));
        if is_component { None } else { Some(self.write(&wat.encode().ok()?)) }
    }

    fn write(&mut self, bytes: &[u8]) -> String {
        let digest: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        if self.written.insert(digest.clone()) {
            fs::write(self.folder.join(&digest), bytes).expect("the folder is there");
        }
        digest
    }
}
