//! The plan of a model change in words, with what was counted: one finding for each difference.

use std::sync::LazyLock;

use indicatif::HumanCount;
use tidegate_core::{
    id::TypeName,
    model::plan::{Class, Difference, ModelChange, Obstacle},
};

use super::{ModelSurvey, OtherClients, SurveyResult, TypeSurvey};
use crate::store::finding::{Examples, Finding, Topic};

/// What an operator accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Documents that do not fit are withheld, so devices lose them.
    pub withhold: bool,
}

/// What is found against a change.
struct Evidence {
    message: String,
    examples: Examples,
}

impl ModelSurvey<'_> {
    /// What a start on the new model does, and what prevents it.
    pub fn findings(&self, result: &SurveyResult, accepted: Accepted) -> Vec<Finding> {
        let changes = self.plan.changes.iter();
        let mut findings: Vec<Finding> = changes.map(|it| of_change(it, result)).collect();
        findings.extend(of_violations(result));
        findings.extend(of_nulled(result));
        findings.extend(of_duplicates(result));
        findings.extend(of_misfits_before(result));
        findings.push(of_misfits(result, accepted));
        findings
    }
}

fn of_change(change: &ModelChange, result: &SurveyResult) -> Finding {
    let difference = &change.difference;
    if let Some(found) = against(change, result) {
        let message = format!("{change}; {}; {}", found.message, difference.hint());
        let Examples { count, first } = found.examples;
        return Finding::obstacle(Topic::Model, message).about(count, first);
    }
    if let Some(warning) = difference.warning() {
        let clients = result.other_clients.map_or_else(String::new, |it| {
            let at_least = if it.has_more { "at least " } else { "" };
            let (count, days) = (HumanCount(it.count as u64), OtherClients::DAYS);
            format!("; clients of other apps that pushed within {days} days: {at_least}{count}")
        });
        return Finding::warning(Topic::Model, format!("{change}; {warning}{clients}"));
    }
    let of_type = of_type(change.type_name.as_ref(), result);
    let done = match difference.class() {
        Class::StampedFirst => format!(
            "{} other access, stamped before the start",
            documents(of_type.other_access, "gives", "give")
        ),
        Class::InStep if *difference == Difference::Scope => {
            documents(of_type.moves, "goes to another scope", "go to other scopes")
        }
        Class::RefusedOn(Obstacle::Misfits) if result.misfits.count > 0 => {
            "not all stored documents fit".to_owned()
        }
        Class::RefusedOn(Obstacle::Duplicates) if result.duplicates.count > 0 => {
            "not all stored documents have values of their own".to_owned()
        }
        Class::RefusedOn(obstacle) => nothing_against(obstacle).to_owned(),
        Class::InStep | Class::Served => "served at once".to_owned(),
    };
    Finding::good(Topic::Model, format!("{change}; {done}"))
}

/// What the store shows against a change alone. Documents that do not fit are counted for all changes together.
fn against(change: &ModelChange, result: &SurveyResult) -> Option<Evidence> {
    let Class::RefusedOn(obstacle) = change.difference.class() else {
        return None;
    };
    let of_type = of_type(change.type_name.as_ref(), result);
    let none = Examples::default();
    let (message, count, named) = match obstacle {
        Obstacle::Misfits | Obstacle::Duplicates => return None,
        Obstacle::HiddenValues => {
            let hidden = result.hidden.get(&change.subject).unwrap_or(&none);
            let message = format!(
                "{} a value there that nobody would see",
                documents(hidden.count, "has", "have")
            );
            (message, hidden.count, hidden)
        }
        Obstacle::MissingDocuments => {
            let missing = &of_type.missing;
            let of = HumanCount(of_type.documents);
            let message = format!(
                "{} of {of} documents are not there",
                HumanCount(missing.count)
            );
            (message, missing.count, missing)
        }
        Obstacle::Documents => {
            let message = documents(of_type.documents, "would be hidden", "would be hidden");
            (message, of_type.documents, &none)
        }
        Obstacle::Memberships => {
            let message = format!(
                "{} access that nobody could take back",
                documents(of_type.memberships, "gives", "give")
            );
            (message, of_type.memberships, &none)
        }
    };
    (count > 0).then(|| Evidence {
        message,
        examples: Examples {
            count,
            first: named.first.clone(),
        },
    })
}

fn nothing_against(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Misfits => "all stored documents fit",
        Obstacle::HiddenValues => "no stored document has a value there",
        Obstacle::MissingDocuments => "all documents are there",
        Obstacle::Documents => "it has no documents",
        Obstacle::Memberships => "none of its documents gives access",
        Obstacle::Duplicates => "all stored documents have values of their own",
    }
}

fn of_violations(result: &SurveyResult) -> Option<Finding> {
    let rest = "a `@constraint`; they stay readable, and an edit of such a value has to satisfy it";
    warning(&result.violations, "breaks", "break", rest)
}

fn of_nulled(result: &SurveyResult) -> Option<Finding> {
    let rest = "an optional field that does not fit the model, and is shown as null";
    warning(&result.nulled, "has", "have", rest)
}

fn of_duplicates(result: &SurveyResult) -> Option<Finding> {
    let Examples { count, first } = &result.duplicates;
    let message = format!(
        "{} what a `@unique` allows only once; give them other values first, through the gateway or in the database, or leave the `@unique` out",
        documents(*count, "has", "have")
    );
    let finding = Finding::obstacle(Topic::Model, message).about(*count, first.clone());
    (*count > 0).then_some(finding)
}

fn of_misfits_before(result: &SurveyResult) -> Option<Finding> {
    let rest = "not fit the model in force either, and are withheld; mend them, or change the model, and they are delivered";
    warning(&result.misfits_before, "does", "do", rest)
}

fn warning(found: &Examples, one: &str, several: &str, rest: &str) -> Option<Finding> {
    let Examples { count, first } = found;
    let message = format!("{} {rest}", documents(*count, one, several));
    let finding = Finding::warning(Topic::Model, message).about(*count, first.clone());
    (*count > 0).then_some(finding)
}

fn of_misfits(result: &SurveyResult, accepted: Accepted) -> Finding {
    let Examples { count, first } = &result.misfits;
    let documents = match count {
        0 => {
            let message = "all documents of the feed fit the model";
            return Finding::good(Topic::Model, message);
        }
        1 => "1 stored document does".to_owned(),
        count => format!("{} stored documents do", HumanCount(*count)),
    };
    let finding = match accepted.withhold {
        true => Finding::warning(
            Topic::Model,
            format!("{documents} not fit the model; devices lose what is withheld"),
        ),
        false => Finding::obstacle(
            Topic::Model,
            format!(
                "{documents} not fit the model; give a new required field a literal `@default` or leave its `!` out, undo the change of type, change the documents first, or accept with `--withhold` that devices lose them"
            ),
        ),
    };
    finding.about(*count, first.clone())
}

fn of_type<'r>(type_name: Option<&TypeName>, result: &'r SurveyResult) -> &'r TypeSurvey {
    static NOTHING: LazyLock<TypeSurvey> = LazyLock::new(TypeSurvey::default);
    let found = type_name.and_then(|name| result.types.get(name));
    found.unwrap_or(&NOTHING)
}

/// A number of documents with a verb, in the singular and the plural.
fn documents(count: u64, one: &str, several: &str) -> String {
    match count {
        1 => format!("1 document {one}"),
        count => format!("{} documents {several}", HumanCount(count)),
    }
}
