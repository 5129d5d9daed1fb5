//! The invariants of ARCHITECTURE.md that imports can show: which module knows which.

use std::{fs, path::Path};

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
    let mut files = Vec::new();
    for root in ["src", "core/src"] {
        collect(Path::new(root), &mut files);
    }
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

/// The sources below `folder` with their paths, without tests.
fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        files.push((path.to_str().unwrap().to_owned(), text.to_owned()));
    }
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
