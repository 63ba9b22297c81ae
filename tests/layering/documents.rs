//! Documents and habits: links lead somewhere, the map stays short, no file grows without end, and
//! nothing is left lying about.

use crate::source::{files, read, root};

const MAP_LINES: usize = 150;
const FILE_LINES: usize = 800;
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "RATIONALE.md",
    "CHANGELOG.md",
    "docs/containers.md",
    "fixtures/README.md",
    "tests/fuzz/README.md",
];

/// The targets of `[text](target)` that are files.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.map(|target| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

#[test]
fn links_lead_to_files() {
    for document in DOCUMENTS {
        let folder = root().join(document).parent().unwrap().to_path_buf();
        for target in links(&read(document)) {
            assert!(
                folder.join(target).exists(),
                "{document} links to {target}, which is not there"
            );
        }
    }
}

/// What is shown is what `tests/containers/run.sh` builds.
#[test]
fn dockerfiles_are_shown_as_they_are() {
    let shown = |document, count: usize| {
        let text = read(document);
        let blocks =
            text.split("```dockerfile\n").skip(1).filter_map(|rest| rest.split("```").next());
        let whole: Vec<_> = blocks.filter(|block| block.contains("FROM ")).collect();
        assert_eq!(whole.len(), count, "{document}");
        whole.concat()
    };
    assert_eq!(shown("README.md", 1), read("docs/containers/run.Dockerfile"));
    assert_eq!(shown("docs/containers.md", 1), read("docs/containers/Dockerfile"));
}

#[test]
fn the_map_is_short_and_names_every_part() {
    let map = read("ARCHITECTURE.md");
    assert!(map.lines().count() <= MAP_LINES, "ARCHITECTURE.md has more than {MAP_LINES} lines");
    for folder in ["engine/src", "cache/src"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let stem = name.trim_end_matches(".rs").trim_end_matches("_disabled");
            let part = format!("{folder}/{stem}");
            assert!(map.contains(&part), "ARCHITECTURE.md does not link to {part}");
        }
    }
}

#[test]
fn no_file_is_too_long() {
    for file in files("", &["rs", "md", "sh", "py", "toml"]) {
        let lines = file.text.lines().count();
        assert!(lines <= FILE_LINES, "{} has {lines} lines: more than {FILE_LINES}", file.path);
    }
}

#[test]
fn every_source_says_what_it_is() {
    for file in files("", &["rs"]) {
        assert!(file.text.starts_with("//! "), "{} does not begin with `//! `", file.path);
    }
}

#[test]
fn nothing_is_left_lying_about() {
    for file in files("", &["rs"]) {
        let tokens = file.tokens();
        for pair in tokens.windows(2) {
            let left = matches!(&*pair[0], "todo" | "unimplemented" | "dbg") && pair[1] == "!";
            assert!(!left, "{} has {}!", file.path, pair[0]);
        }
        let skipped = file.code().replace(' ', "").contains("#[ignore");
        assert!(!skipped, "{} skips a test: cases that fail go into a ledger", file.path);
    }
}

#[test]
fn no_path_of_a_machine() {
    // What guests see as their own home or work folder is in cases, which are not read here.
    let paths = ["work", "root", "Users", "home/user"].map(|name| format!("/{name}/"));
    for file in files("", &["rs", "md", "toml", "sh", "py"]) {
        if file.path.contains("/cases/") {
            continue;
        }
        for path in &paths {
            assert!(!file.text.contains(path), "{} mentions {path}", file.path);
        }
    }
}
