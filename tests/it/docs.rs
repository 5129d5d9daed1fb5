//! The README says what the code does.

use std::fs;

use tidegate::graphql::error::Code;
use tidegate_core::change::RejectionCode;

#[test]
fn the_readme_lists_every_code_and_no_other() {
    let readme = fs::read_to_string("README.md").unwrap();
    let failures = Code::ALL
        .iter()
        .map(|(_, name, status, meaning)| format!("| `{name}` | {status} | {meaning} |"));
    let rejections = RejectionCode::ALL
        .iter()
        .map(|(_, name, meaning)| format!("| `{name}` | {meaning} |"));
    let expected: Vec<String> = failures.chain(rejections).collect();
    let listed: Vec<&str> = readme
        .lines()
        .skip_while(|line| !line.starts_with("## Errors"))
        .filter(|line| line.starts_with("| `") && !line.starts_with("| `extensions.code`"))
        .filter(|line| !line.starts_with("| `error.code`"))
        .collect();
    assert_eq!(listed, expected);
}
