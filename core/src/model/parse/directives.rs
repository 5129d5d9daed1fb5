//! Directives: each is checked here against `definitions.graphql`, and its arguments are read through
//! [`DirectiveArguments`].
//!
//! The code that reads the arguments knows the meaning of a directive.

use apollo_compiler::{
    Node,
    ast::{
        Definition, Directive, DirectiveDefinition, DirectiveList, DirectiveLocation, Document,
        EnumValueDefinition, Type, Value,
    },
    parser::SourceSpan,
};

use super::{
    foreign,
    report::{DiagnosticReport, did_you_mean},
    sdl::Sdl,
};
use crate::value::{Decimal, DecimalError};

/// The arguments of one directive. [`check`] reports an argument of the wrong type, which then reads as absent.
#[derive(Clone, Copy)]
pub(super) struct DirectiveArguments<'a>(&'a Node<Directive>);

impl<'a> DirectiveArguments<'a> {
    /// The arguments of the first directive called `name`.
    pub(super) fn of(directives: &'a DirectiveList, name: &str) -> Option<Self> {
        directives.get(name).map(Self)
    }

    /// The arguments of every directive called `name`.
    pub(super) fn all_of(
        directives: &'a DirectiveList,
        name: &'a str,
    ) -> impl Iterator<Item = Self> {
        directives.get_all(name).map(Self)
    }

    /// The place of the value of the argument `name`, or of the directive if it has none.
    pub(super) fn place(self, name: &str) -> Option<SourceSpan> {
        self.value(name)
            .map_or_else(|| self.0.location(), Node::location)
    }

    pub(super) fn value(self, name: &str) -> Option<&'a Node<Value>> {
        self.0.specified_argument_by_name(name)
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.value(name)?.as_str()
    }

    /// A number as it is written, if a Decimal can hold it.
    pub(super) fn number(self, name: &str) -> Option<Result<Decimal, DecimalError>> {
        let text = match &**self.value(name)? {
            Value::Int(number) => number.as_str(),
            Value::Float(number) => number.as_str(),
            _ => return None,
        };
        Some(text.parse())
    }

    pub(super) fn boolean(self, name: &str) -> Option<bool> {
        self.value(name)?.to_bool()
    }

    pub(super) fn integer(self, name: &str) -> Option<i32> {
        self.value(name)?.to_i32()
    }

    /// The enum value of the argument `name`, as `table` translates it.
    pub(super) fn choice<T: Copy>(self, name: &str, table: &[(&str, T)]) -> Option<T> {
        translate(self.value(name)?, table)
    }

    /// The enum values of the argument `name`; one alone counts as a list of one.
    pub(super) fn choices<T: Copy>(self, name: &str, table: &[(&str, T)]) -> Vec<T> {
        let Some(value) = self.value(name) else {
            return Vec::new();
        };
        match value.as_list() {
            Some(items) => items
                .iter()
                .filter_map(|item| translate(item, table))
                .collect(),
            None => translate(value, table).into_iter().collect(),
        }
    }
}

fn translate<T: Copy>(value: &Value, table: &[(&str, T)]) -> Option<T> {
    let name = value.as_enum()?;
    table
        .iter()
        .find(|(known, _)| name == known)
        .map(|(_, translation)| *translation)
}

/// Reports directives that do not exist, stand in the wrong place or twice, and arguments that do not exist, are
/// missing or have the wrong type.
pub(super) fn check(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let definitions = Definitions::read();
    for (place, directives) in sdl.directives() {
        for (i, directive) in directives.iter().enumerate() {
            let Some(definition) = definitions.directive(&directive.name) else {
                report_unknown(&definitions, place, directive, report);
                continue;
            };
            check_place(definition, place, directive, report);
            check_repeated(definition, &directives[..i], directive, report);
            check_arguments(&definitions, definition, directive, report);
            check_missing(definition, directive, report);
        }
    }
}

struct Definitions(Document);

impl Definitions {
    fn read() -> Self {
        let text = include_str!("definitions.graphql");
        let document = Document::parse(text, "definitions.graphql")
            .expect("the directives of a model are defined in valid SDL");
        Self(document)
    }

    fn directive(&self, name: &str) -> Option<&Node<DirectiveDefinition>> {
        self.directives().find(|definition| definition.name == name)
    }

    /// The directives of a model.
    fn directives(&self) -> impl Iterator<Item = &Node<DirectiveDefinition>> {
        self.0
            .definitions
            .iter()
            .filter_map(Definition::as_directive_definition)
    }

    fn enum_values(&self, name: &str) -> Option<&[Node<EnumValueDefinition>]> {
        let mut enums = self
            .0
            .definitions
            .iter()
            .filter_map(Definition::as_enum_type_definition);
        enums
            .find(|definition| definition.name == name)
            .map(|definition| &*definition.values)
    }
}

fn report_unknown(
    definitions: &Definitions,
    place: DirectiveLocation,
    directive: &Node<Directive>,
    report: &mut DiagnosticReport<'_>,
) {
    let name = format!("@{}", directive.name);
    let known: Vec<String> = definitions
        .directives()
        .filter(|definition| definition.locations.contains(&place))
        .map(|definition| format!("@{}", definition.name))
        .collect();
    let hint = foreign::directive(&directive.name, place).map_or_else(
        || did_you_mean(&name, known.iter().map(String::as_str)),
        str::to_owned,
    );
    report.add(
        directive.location(),
        format!("there is no directive {name}"),
        hint,
    );
}

fn check_place(
    definition: &DirectiveDefinition,
    place: DirectiveLocation,
    directive: &Node<Directive>,
    report: &mut DiagnosticReport<'_>,
) {
    let name = &directive.name;
    if !definition.locations.contains(&place) {
        let right: Vec<_> = definition
            .locations
            .iter()
            .map(|place| in_words(*place))
            .collect();
        report.add(
            directive.location(),
            format!("@{name} cannot stand on {}", in_words(place)),
            format!("it belongs on {}", right.join(" or ")),
        );
    }
}

fn check_repeated(
    definition: &DirectiveDefinition,
    earlier: &[Node<Directive>],
    directive: &Node<Directive>,
    report: &mut DiagnosticReport<'_>,
) {
    let name = &directive.name;
    if !definition.repeatable && earlier.iter().any(|earlier| earlier.name == *name) {
        report.add(
            directive.location(),
            format!("@{name} stands here twice"),
            "keep one of them",
        );
    }
}

fn in_words(place: DirectiveLocation) -> &'static str {
    match place {
        DirectiveLocation::Schema => "`extend schema`",
        DirectiveLocation::Object => "a type",
        DirectiveLocation::FieldDefinition => "a field",
        DirectiveLocation::Enum => "an enum",
        DirectiveLocation::EnumValue => "a value of an enum",
        other => other.name(),
    }
}

fn check_arguments(
    definitions: &Definitions,
    definition: &DirectiveDefinition,
    directive: &Node<Directive>,
    report: &mut DiagnosticReport<'_>,
) {
    let name = &directive.name;
    for (i, argument) in directive.arguments.iter().enumerate() {
        let at = argument.location();
        let what = format!("argument `{}` of @{name}", argument.name);
        let Some(known) = definition.argument_by_name(&argument.name) else {
            let names = definition.arguments.iter().map(|known| known.name.as_str());
            report.add(
                at,
                format!("@{name} has no argument `{}`", argument.name),
                did_you_mean(&argument.name, names),
            );
            continue;
        };
        if directive.arguments[..i]
            .iter()
            .any(|earlier| earlier.name == argument.name)
        {
            report.add(at, format!("the {what} is given twice"), "keep one of them");
        }
        if let Err(ArgumentMismatch { at, problem, hint }) =
            fit(definitions, &known.ty, &argument.value)
        {
            report.add(at, format!("the {what} {problem}"), hint);
        }
    }
}

fn check_missing(
    definition: &DirectiveDefinition,
    directive: &Node<Directive>,
    report: &mut DiagnosticReport<'_>,
) {
    let name = &directive.name;
    let required = definition.arguments.iter().filter(|it| it.is_required());
    for argument in required.map(|required| &required.name) {
        if directive.specified_argument_by_name(argument).is_none() {
            report.add(
                directive.location(),
                format!("@{name} lacks its argument `{argument}`"),
                format!("write @{name}({argument}: …)"),
            );
        }
    }
}

/// Why a value is not of an argument's type.
struct ArgumentMismatch {
    at: Option<SourceSpan>,
    problem: String,
    hint: String,
}

fn fit(definitions: &Definitions, ty: &Type, value: &Node<Value>) -> Result<(), ArgumentMismatch> {
    if ty.is_list() {
        return match value.as_list() {
            Some(items) => items
                .iter()
                .try_for_each(|item| fit(definitions, ty.item_type(), item)),
            None => fit(definitions, ty.item_type(), value),
        };
    }
    let type_name = ty.inner_named_type().as_str();
    if let Some(values) = definitions.enum_values(type_name) {
        return fit_enum(values, value);
    }
    let (fits, problem, hint) = match type_name {
        "String" => (
            value.as_str().is_some(),
            "must be a string",
            "write text in double quotes, such as \"tasks\"",
        ),
        "Int" => (
            value.to_i32().is_some(),
            "must be a whole number",
            "write an Int, such as 200",
        ),
        "Boolean" => (
            value.to_bool().is_some(),
            "must be true or false",
            "write true or false, without quotes",
        ),
        "Role" => (
            value.as_enum().is_some() || value.as_str().is_some(),
            "must be the name of a role",
            "write a name, such as WRITE, or a text, such as \"{role}\"",
        ),
        "Float" => (
            value.to_f64().is_some(),
            "must be a number",
            "write a number, such as 0.5",
        ),
        // `Literal`: anything that the grammar accepts.
        _ => return Ok(()),
    };
    if fits {
        return Ok(());
    }
    Err(ArgumentMismatch {
        at: value.location(),
        problem: problem.into(),
        hint: hint.into(),
    })
}

fn fit_enum(
    known: &[Node<EnumValueDefinition>],
    value: &Node<Value>,
) -> Result<(), ArgumentMismatch> {
    let names: Vec<&str> = known.iter().map(|known| known.value.as_str()).collect();
    let (problem, hint) = match value.as_enum() {
        Some(name) if names.contains(&name.as_str()) => return Ok(()),
        Some(name) => (format!("cannot be {name}"), did_you_mean(name, names)),
        None => (
            "must be one of a few names".into(),
            format!("write one of {}, without quotes", names.join(", ")),
        ),
    };
    Err(ArgumentMismatch {
        at: value.location(),
        problem,
        hint,
    })
}
