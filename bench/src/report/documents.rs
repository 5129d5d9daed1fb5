//! Tables in documents: the text between two marks is replaced, and the rest stays as it is.

use std::{fs, path::Path};

/// Replaces the text between `<!-- name -->` and `<!-- /name -->`.
pub(super) fn replace(path: &Path, name: &str, text: &str) {
    let document = fs::read_to_string(path).unwrap();
    let [begin, end] = [format!("<!-- {name} -->"), format!("<!-- /{name} -->")];
    let marks = document.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = marks.unwrap_or_else(|| panic!("{} has no marks {name}", path.display()));
    let document = format!("{before}{begin}\n{}\n{end}{after}", text.trim_end());
    fs::write(path, document).unwrap();
}
