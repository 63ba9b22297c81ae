//! Reading sources: which files there are, and what is code in them.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours to read.
const FOREIGN: &[&str] = &[".git", ".fetched", "target"];

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("tests/ is in the workspace").to_path_buf()
}

/// The text of a file, by its path in the workspace.
pub(crate) fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of source.
pub(crate) struct Source {
    /// In the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// The text with a space for each character of a comment, string or character.
    pub(crate) fn code(&self) -> String {
        blank(&self.text)
    }

    /// The tokens of the code: words, `::`, and single characters.
    pub(crate) fn tokens(&self) -> Vec<String> {
        tokens(&self.code())
    }

    /// The tokens without modules that are there for tests only.
    pub(crate) fn product(&self) -> Vec<String> {
        let tokens = self.tokens();
        let mut kept = Vec::with_capacity(tokens.len());
        let mut i = 0;
        while i < tokens.len() {
            let Some(open) = test_module(&tokens[i..]) else {
                kept.push(tokens[i].clone());
                i += 1;
                continue;
            };
            i += open;
            let mut depth = 0;
            while i < tokens.len() {
                depth += i32::from(tokens[i] == "{") - i32::from(tokens[i] == "}");
                i += 1;
                if depth == 0 {
                    break;
                }
            }
        }
        kept
    }

    /// Whether it is there for tests only.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts: Vec<&str> = self.path.split('/').collect();
        let name = parts.pop();
        name == Some("tests.rs") || parts.contains(&"tests")
    }
}

/// All files below `folder` with one of these extensions, sorted by path.
pub(crate) fn files(folder: &str, extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root().join(folder), extensions, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "{folder} has no files");
    found
}

fn walk(folder: &Path, extensions: &[&str], found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let entry = entry.unwrap();
        let path = entry.path();
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            if !FOREIGN.contains(&&*name) && !name.starts_with("target-") {
                walk(&path, extensions, found);
            }
        } else if kind.is_file() && extensions.iter().any(|e| name.ends_with(&format!(".{e}"))) {
            let inside = path.strip_prefix(root()).expect("inside of the workspace");
            let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
            found.push(Source {
                path: parts.join("/"),
                text: fs::read_to_string(&path).unwrap_or_default(),
            });
        }
    }
}

/// `text` with a space for each character of a comment, string or character; lines stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let starts = |i: usize, what: &str| what.chars().enumerate().all(|(n, c)| at(i + n) == c);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = if starts(i, "//") {
            (i..chars.len()).find(|&n| chars[n] == '\n').unwrap_or(chars.len())
        } else if starts(i, "/*") {
            let (mut depth, mut n) = (0, i);
            loop {
                if starts(n, "/*") {
                    (depth, n) = (depth + 1, n + 2);
                } else if starts(n, "*/") {
                    (depth, n) = (depth - 1, n + 2);
                } else {
                    n += 1;
                }
                if depth == 0 || n >= chars.len() {
                    break n.min(chars.len());
                }
            }
        } else if at(i) == '"' {
            let mut n = i + 1;
            while n < chars.len() && chars[n] != '"' {
                n += if chars[n] == '\\' { 2 } else { 1 };
            }
            (n + 1).min(chars.len())
        } else if at(i) == 'r' && (i == 0 || !is_word(at(i - 1)) || at(i - 1) == 'b') {
            let hashes = (i + 1..).take_while(|&n| at(n) == '#').count();
            if at(i + 1 + hashes) == '"' {
                let close = format!("\"{}", "#".repeat(hashes));
                let from = i + 2 + hashes;
                let found = (from..chars.len()).find(|&n| starts(n, &close));
                found.map_or(chars.len(), |n| n + close.len())
            } else {
                i
            }
        } else if at(i) == '\'' && at(i + 1) == '\\' {
            (i + 3..chars.len()).find(|&n| chars[n] == '\'').map_or(chars.len(), |n| n + 1)
        } else if at(i) == '\'' && at(i + 2) == '\'' {
            i + 3
        } else {
            i
        };
        if end == i {
            out.push(chars[i]);
            i += 1;
        } else {
            out.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    out
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(c);
            }
            tokens.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            tokens.push("::".into());
        } else if !c.is_whitespace() {
            tokens.push(c.into());
        }
    }
    tokens
}

/// Where the brace of a module is that `tokens` start with the attribute of, if that has it built
/// for tests only: `#[cfg(test)] mod NAME {`, or with more beside the `test`.
fn test_module(tokens: &[String]) -> Option<usize> {
    let is = |i: usize, what: &[&str]| {
        what.iter().enumerate().all(|(n, w)| tokens.get(i + n).is_some_and(|token| token == w))
    };
    let only = is(0, &["#", "[", "cfg", "(", "test"])
        || is(0, &["#", "[", "cfg", "(", "all", "(", "test"]);
    let end = tokens.iter().position(|token| token == "]").filter(|_| only)?;
    // `mod NAME;` is a file of its own.
    (is(end + 1, &["mod"]) && is(end + 3, &["{"])).then_some(end + 3)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Every path with a `::`, and every one in a `use`, groups spread out.
pub(crate) fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        // `use<'_>` in a type is no import.
        if tokens[i] == "use" && tokens.get(i + 1).is_some_and(|next| next != "<") {
            i = tree(tokens, i + 1, &mut Vec::new(), &mut found);
        } else if is_name(&tokens[i]) && tokens.get(i + 1).is_some_and(|next| next == "::") {
            let mut path = vec![tokens[i].clone()];
            while tokens.get(i + 1).is_some_and(|t| t == "::")
                && tokens.get(i + 2).is_some_and(|t| is_name(t))
            {
                path.push(tokens[i + 2].clone());
                i += 2;
            }
            found.push(path);
            i += 1;
        } else {
            i += 1;
        }
    }
    found
}

/// Reads a `use` tree from `i` on; returns where it ends.
fn tree(
    tokens: &[String],
    mut i: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let depth = prefix.len();
    while let Some(token) = tokens.get(i) {
        match &**token {
            "::" => {}
            "{" => {
                i += 1;
                while tokens.get(i).is_some_and(|token| token != "}") {
                    i = tree(tokens, i, prefix, found);
                    if tokens.get(i).is_some_and(|token| token == ",") {
                        i += 1;
                    }
                }
                prefix.truncate(depth);
                return i + 1;
            }
            "as" => i += 1,
            name if is_name(name) || name == "*" => prefix.push(name.into()),
            _ => break,
        }
        i += 1;
    }
    found.push(prefix.clone());
    prefix.truncate(depth);
    i
}

#[test]
fn code_is_told_from_comments_strings_and_paths() {
    let text = "/* a /* b */ c */ d \"e\\\" f\" 'g' b'\\'' &'h r#\"i \" j\"# // k\n\
                use l::{m::{self, n as o}, p}; crate::q::r(s); fn t() -> impl X + use<'a> {}";
    let source = Source { path: String::new(), text: text.into() };
    let code: String = source.code().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code.starts_with("d b &'h use l::"), "{code}");
    let paths: Vec<String> = paths(&source.tokens()).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["l::m::self", "l::m::n", "l::p", "crate::q::r"]);
}

#[test]
fn tests_inside_of_a_file_are_told_from_the_product() {
    let text = "a; #[cfg(test)] mod h { use b::c; fn d() { e } } f;\
        #[cfg(all(test, unix))] mod i { j } #[cfg(test)] mod g; #[cfg(unix)] mod k {}";
    let source = Source { path: String::new(), text: text.into() };
    assert_eq!(source.product().concat(), "a;f;#[cfg(test)]modg;#[cfg(unix)]modk{}");
}
