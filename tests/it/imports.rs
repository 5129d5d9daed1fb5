//! The invariants of ARCHITECTURE.md that imports can show: which module knows which. And the one style of imports.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// A module, and what nothing in it may name: modules of the gateway, or crates.
const INVARIANTS: [(&str, &[&str]); 6] = [
    (
        "core/src/",
        &[
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "std::time",
            "tokio",
            "rand",
            "getrandom",
            "async_graphql",
            "axum",
            "bson",
            "mongodb",
            "redb",
        ],
    ),
    (
        "src/store",
        &[
            "crate::auth",
            "crate::graphql",
            "crate::http",
            "crate::sync",
            "async_graphql",
            "axum",
        ],
    ),
    (
        "src/sync",
        &[
            "crate::auth",
            "crate::graphql",
            "crate::http",
            "crate::store::codec",
            "crate::store::embedded",
            "crate::store::mongo",
            "async_graphql",
            "axum",
            "bson",
            "mongodb",
            "redb",
        ],
    ),
    (
        "src/graphql",
        &[
            "crate::http",
            "crate::store",
            "axum",
            "bson",
            "mongodb",
            "redb",
        ],
    ),
    (
        "src/auth",
        &[
            "crate::graphql",
            "crate::http",
            "crate::store",
            "crate::sync",
        ],
    ),
    ("src/http", &["crate::store", "bson", "mongodb", "redb"]),
];

#[test]
fn no_room_imports_what_the_invariants_keep_out_of_it() {
    let files = sources(&["src", "core/src"]);
    let files: Vec<_> = files
        .iter()
        .filter(|(file, _)| !file.contains("/tests/") && !file.ends_with("/tests.rs"))
        .map(|(file, text)| {
            (
                file,
                text.split("#[cfg(test)]\nmod tests {").next().unwrap(),
            )
        })
        .collect();
    for (room, forbidden) in INVARIANTS {
        let of_room = files.iter().filter(|(file, _)| file.starts_with(room));
        let (mut seen, mut broken) = (0, Vec::new());
        for (file, text) in of_room {
            seen += 1;
            broken.extend(named(file, text, forbidden));
        }
        assert!(seen > 3, "{room} has moved");
        assert!(broken.is_empty(), "{broken:#?}");
    }
}

#[test]
fn an_import_is_found_however_it_is_written() {
    for text in [
        "use crate::store::StoreError;",
        "use crate::{auth::AuthError, store::{Store, StoreError}, sync::SyncError};",
        "fn f() -> crate::store::Scan {",
        "use super::super::{store, sync};",
    ] {
        let found = named("src/graphql/plan.rs", text, &["crate::store"]);
        assert_eq!(
            found.len(),
            if text.contains("Store,") { 2 } else { 1 },
            "{text}"
        );
    }
    for text in ["// crate::store", "use crate::{sync::store, restore};"] {
        let found = named("src/graphql/plan.rs", text, &["crate::store"]);
        assert_eq!(found, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn each_crate_is_imported_by_one_use() {
    let files = sources(&[
        "bench",
        "core",
        "fuzz",
        "simulation",
        "src",
        "testkit",
        "tests",
    ]);
    assert!(files.len() > 400, "the sources have moved");
    let twice = files.iter().flat_map(|(file, text)| {
        let twice = imported_twice(text);
        twice
            .into_iter()
            .map(move |import| format!("{file}: {import}"))
    });
    assert_eq!(twice.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_crate_that_is_imported_twice_is_found() {
    let twice = "use std::fs;\n\nuse serde::Serialize;\nuse std::{io, path::Path};\n";
    assert_eq!(imported_twice(twice), ["use std"]);
    let twice = "mod tests {\n    use super::*;\n    use super::a::{\n        B,\n    };\n}\n";
    assert_eq!(imported_twice(twice), ["use super"]);
    for once in [
        "use std::fs;\n#[cfg(unix)]\nuse std::os;\n",
        "use self::a::B;\npub(crate) use self::c::D;\n",
        "use std::fs;\n\nmod tests {\n    use std::io;\n}\n",
    ] {
        assert_eq!(imported_twice(once), Vec::<String>::new(), "{once}");
    }
}

/// The Rust sources below these folders, with their paths.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut left: Vec<_> = folders.iter().map(PathBuf::from).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let inside = fs::read_dir(&path).unwrap();
            left.extend(inside.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push((path.to_str().unwrap().to_owned(), text));
        }
    }
    files
}

/// The crates that a block of a source imports by two `use` of one visibility. A `use` with an attribute stands by
/// itself.
fn imported_twice(text: &str) -> Vec<String> {
    let (mut seen, mut twice) = (BTreeSet::new(), Vec::new());
    let mut attribute = false;
    for line in text.lines() {
        let words = line.trim_start();
        if let Some((visibility, path)) = words
            .split_once("use ")
            .filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        {
            let root = path.split([':', ';', ' ']).next().unwrap();
            let indent = line.len() - words.len();
            if !attribute && !seen.insert((indent, visibility, root)) {
                twice.push(format!("{visibility}use {root}"));
            }
        }
        if words.ends_with('{') && !words.contains("use ") {
            seen.retain(|(indent, ..)| *indent == 0);
        }
        attribute = words.starts_with("#[");
    }
    twice
}

/// Where a source names a forbidden path, or something in it.
fn named(file: &str, text: &str, forbidden: &[&str]) -> Vec<String> {
    let module = file.trim_start_matches("core/").trim_start_matches("src/");
    let module = module.trim_end_matches(".rs").replace('/', "::");
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect();
    let mut paths = Vec::new();
    expand(&code.join("\n"), "", &mut paths);
    let paths = paths.into_iter().map(|path| whole(&module, &path));
    let is_forbidden = |path: &String| {
        forbidden.iter().any(|name| {
            let rest = path.strip_prefix(name);
            // The name of a crate alone may be any word.
            let is_word = !name.contains("::");
            rest.is_some_and(|rest| rest.starts_with("::") || rest.is_empty() && !is_word)
        })
    };
    let broken = paths.filter(is_forbidden);
    broken.map(|path| format!("{file} names {path}")).collect()
}

/// All paths in `text`, each with `prefix` before it, with groups in braces expanded. Returns what follows the end of
/// the group in which `text` begins.
fn expand<'t>(mut text: &'t str, prefix: &str, paths: &mut Vec<String>) -> &'t str {
    let is_of_path = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
    loop {
        let Some(begin) = text.find(|sign| is_of_path(sign) || sign == '{' || sign == '}') else {
            return "";
        };
        text = &text[begin..];
        let end = text.find(|sign| !is_of_path(sign)).unwrap_or(text.len());
        let (path, rest) = text.split_at(end);
        let path = format!("{prefix}{path}");
        text = match rest.strip_prefix('{') {
            Some(group) if path.ends_with("::") => expand(group, &path, paths),
            _ if end > 0 => {
                paths.push(path);
                rest
            }
            _ if text.starts_with('}') && !prefix.is_empty() => return &text[1..],
            _ => &text[1..],
        };
    }
}

/// A path as from the crate's root.
fn whole(module: &str, path: &str) -> String {
    let mut at: Vec<&str> = module.split("::").collect();
    let mut rest = path;
    while let Some(outer) = rest.strip_prefix("super::") {
        at.pop();
        rest = outer;
    }
    match rest.len() == path.len() {
        true => path.to_owned(),
        false => [&["crate"], at.as_slice(), &[rest]].concat().join("::"),
    }
}
