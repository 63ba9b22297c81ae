//! Where the directives of a script are.
//!
//! Knows of the text format what it takes to count parentheses: strings and comments. So one
//! directive that the real parser refuses does not take the others of its file with it.

use crate::Failure;

/// A directive's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form<'a> {
    /// Where it starts in the script.
    pub offset: usize,
    /// From its opening parenthesis to its closing one.
    pub text: &'a str,
}

impl Form<'_> {
    /// The word after the opening parenthesis; all of what has none.
    pub fn keyword(&self) -> &str {
        if !self.text.starts_with('(') {
            return self.text.split_whitespace().next().unwrap_or_default();
        }
        let bytes = self.text.as_bytes();
        let mut at = 1.min(bytes.len());
        while at < bytes.len() && (bytes[at].is_ascii_whitespace() || is_comment(&bytes[at..])) {
            at += token_len(&bytes[at..]);
        }
        // A comment ends where a character does.
        let inside = &self.text[at..];
        let end = inside.find(|c: char| c.is_whitespace() || "();\"".contains(c));
        &inside[..end.unwrap_or(inside.len())]
    }

    /// The line of `source` in which it starts; the first one is 1.
    pub fn line(&self, source: &str) -> usize {
        let before = &source.as_bytes()[..self.offset];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// This directive of `source` failed, and why.
    pub fn failure(&self, source: &str, message: &str) -> Failure {
        Failure {
            line: self.line(source),
            directive: self.keyword().to_string(),
            message: message.to_string(),
        }
    }
}

/// The directives of `source`. A file of module fields, without the word `module` around them, is
/// one directive. What comes after the last closed parenthesis, if anything, is one that is
/// incomplete, and a word between directives is one that nobody knows.
pub fn forms(source: &str) -> Vec<Form<'_>> {
    let mut forms = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    let mut at = 0;
    while at < source.len() {
        let len = token_len(&source.as_bytes()[at..]);
        match source.as_bytes()[at] {
            b'(' if !is_comment(&source.as_bytes()[at..]) => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            b')' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    forms.push(Form { offset: start, text: &source[start..at + 1] });
                }
            }
            first if depth == 0 && !first.is_ascii_whitespace() => {
                let rest = &source[at..];
                if !is_comment(rest.as_bytes()) {
                    let end = rest.find(|c: char| c.is_ascii_whitespace() || "(;".contains(c));
                    let word = &rest[..end.unwrap_or(rest.len()).max(len)];
                    forms.push(Form { offset: at, text: word });
                    at += word.len();
                    continue;
                }
            }
            _ => {}
        }
        at += len;
    }
    if depth > 0 {
        forms.push(Form { offset: start, text: &source[start..] });
    }
    // An annotation stands for nothing that is done.
    forms.retain(|form| !form.text.starts_with("(@"));
    match forms.first() {
        Some(first) if !is_directive(first.keyword()) => vec![Form { offset: 0, text: source }],
        _ => forms,
    }
}

/// The directives of a thread, where `thread` is the text of one that is well-formed.
pub(crate) fn inside(thread: &str) -> Vec<Form<'_>> {
    // Its keyword and its name are words between directives, as it were.
    let inner = thread.get(1..thread.len() - 1).unwrap_or_default();
    let forms = forms(inner).into_iter();
    let directives = forms.filter(|form| form.text.starts_with('(') && form.keyword() != "shared");
    directives.map(|form| Form { offset: form.offset + 1, ..form }).collect()
}

fn is_directive(keyword: &str) -> bool {
    keyword.starts_with("assert_")
        || matches!(keyword, "module" | "component" | "register" | "invoke" | "get" | "thread")
        || keyword == "wait"
}

fn is_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"(;") || rest.starts_with(b";;")
}

/// Bytes of the string, the comment or the single character that `rest` starts with. At least 1.
fn token_len(rest: &[u8]) -> usize {
    let find = |wanted: &[u8]| rest.iter().position(|byte| wanted.contains(byte));
    if rest.starts_with(b";;") {
        return find(b"\n\r").unwrap_or(rest.len());
    }
    if rest.starts_with(b"(;") {
        return block_comment_len(rest);
    }
    if rest[0] != b'"' {
        return 1;
    }
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'(', b';', ..] => depth += 1,
            [b';', b')', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        forms(source).iter().map(|form| form.text).collect()
    }

    #[test]
    fn parentheses_in_strings_and_comments_do_not_count() {
        let source = "(module \"(\\\")\") ;; (module)\n(; (; ;) (module) ;)\n(register \"a\")";
        assert_eq!(texts(source), ["(module \"(\\\")\")", "(register \"a\")"]);
        assert_eq!(texts("(module (; ) ;) (func))"), ["(module (; ) ;) (func))"]);
        assert_eq!(texts("(@x (module)) (module)"), ["(module)"]);
    }

    #[test]
    fn nothing_gets_lost() {
        assert_eq!(texts("(func) (memory 0)"), ["(func) (memory 0)"]);
        assert_eq!(texts("(module) (module (func)"), ["(module)", "(module (func)"]);
        assert_eq!(texts("(module) (frobnicate)"), ["(module)", "(frobnicate)"]);
        assert_eq!(texts("(module \"unterminated)"), ["(module \"unterminated)"]);
        assert_eq!(texts(";; nothing"), [""; 0]);
        assert_eq!(
            texts("(module) x) (; ;) ) \"(\";é;"),
            ["(module)", "x)", ")", "\"(\"", ";", "é", ";"]
        );
        assert_eq!(texts("nothing known"), ["nothing known"]);
    }

    #[test]
    fn threads_have_directives_inside() {
        let source =
            "(thread $t (; ( ;) (shared (module $m))\n(module (func))\n(thread $u (wait $t)))";
        let forms = inside(source);
        let texts: Vec<_> = forms.iter().map(|form| form.text).collect();
        assert_eq!(texts, ["(module (func))", "(thread $u (wait $t))"]);
        assert_eq!(forms[1].line(source), 3);
        assert!(inside("(thread $t)").is_empty());
    }

    #[test]
    fn keywords() {
        let source = "(module) ( module$x)(invoke\"f\")(assert_trap(get))((;é;) ;;x\nget)";
        let forms = forms(source);
        let keywords: Vec<_> = forms.iter().map(Form::keyword).collect();
        assert_eq!(keywords, ["module", "module$x", "invoke", "assert_trap", "get"]);
    }
}
