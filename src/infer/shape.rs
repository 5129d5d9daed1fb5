//! The rules by which profiles become fields: one type for each place, and a note on whatever does not fit it.

use tidegate_core::id::IdType;

use super::{
    draft::{EnumDraft, FieldDraft, Holds, ListDraft, TypeDraft},
    kind::Kind,
    names::{self, FieldNames, TypeNames, pascal_case, singular},
    profile::{FieldProfile, ListProfile, NAMES_MAX, ObjectProfile, ValueProfile},
    values::DistinctTexts,
};

/// An enum has at most this many values, and each stands for so many of its fields on average.
const ENUM_VALUES_MAX: usize = 8;
const ENUM_USES_MIN: u64 = 10;
/// Documents with more names than this, of which each has only a third, are maps.
const MAP_NAMES_MIN: usize = 12;
/// A type that fewer values have is not the field's type, if JSON has them all.
const MAJORITY_PERCENT: u64 = 90;

/// What a place can hold, with the kinds of values that fit. Of two that fit as many values, the first is taken.
const CHOICES: [(Choice, &[Kind]); 12] = [
    (Choice::Scalar("Boolean"), &[Kind::Boolean]),
    (Choice::Scalar("Int"), &[Kind::Int]),
    (Choice::Scalar("Long"), &[Kind::Int, Kind::Long, Kind::Huge]),
    (
        Choice::Scalar("Float"),
        &[Kind::Int, Kind::Long, Kind::Whole, Kind::Fraction],
    ),
    (Choice::Scalar("Decimal"), &[Kind::Decimal]),
    (
        Choice::Scalar("String"),
        &[Kind::Text, Kind::ObjectIdText, Kind::UuidText],
    ),
    (Choice::Scalar("DateTime"), &[Kind::Date, Kind::Midnight]),
    (
        Choice::Id(IdType::ObjectId),
        &[Kind::ObjectId, Kind::ObjectIdText],
    ),
    (Choice::Id(IdType::Uuid), &[Kind::Uuid, Kind::UuidText]),
    (Choice::Scalar("Bytes"), &[Kind::Bytes]),
    (Choice::Object, &[Kind::Object]),
    (Choice::List, &[Kind::List]),
];

#[derive(Debug, Clone, Copy)]
enum Choice {
    Scalar(&'static str),
    Id(IdType),
    Object,
    List,
}

/// What was decided about a place.
struct Decided {
    holds: Holds,
    notes: Vec<String>,
    /// Whether every value fits.
    is_whole: bool,
}

impl Decided {
    fn new(holds: Holds) -> Self {
        Self {
            holds,
            notes: Vec::new(),
            is_whole: true,
        }
    }

    fn with(holds: Holds, note: String) -> Self {
        Self {
            notes: vec![note],
            ..Self::new(holds)
        }
    }
}

/// The types that are drawn besides the synced ones.
pub(super) struct Shapes<'n> {
    pub(super) names: &'n mut TypeNames,
    pub(super) embedded: Vec<TypeDraft>,
    pub(super) enums: Vec<EnumDraft>,
}

/// Fields, and what is left out.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) fields: Vec<FieldDraft>,
    pub(super) left_out: Vec<String>,
}

impl Shapes<'_> {
    /// The fields of documents or of embedded documents.
    pub(super) fn fields(
        &mut self,
        owner: &str,
        profile: &ObjectProfile,
        mut taken: FieldNames,
        skipped: &[&str],
    ) -> Fields {
        let mut done = Fields::default();
        let fields = profile.in_order().into_iter();
        let fields = fields.filter(|(stored, _)| !skipped.contains(stored));
        // Those whose names stay as they are come first, so that no other field gets them.
        let (kept, renamed): (Vec<_>, Vec<_>) = fields.enumerate().partition(|(_, (stored, _))| {
            names::field_name(stored).as_deref() == Some(*stored) && taken.is_free(stored)
        });
        let mut drafts = Vec::new();
        for (at, (stored, field)) in kept.into_iter().chain(renamed) {
            match self.field(owner, stored, field, profile.count, &mut taken) {
                Ok(draft) => drafts.push((at, draft)),
                Err(reason) => done.left_out.push(format!("{}: {reason}", shown(stored))),
            }
        }
        drafts.sort_by_key(|(at, _)| *at);
        done.fields = drafts.into_iter().map(|(_, draft)| draft).collect();
        if profile.fields_left_out > 0 {
            done.left_out.push(format!(
                "fields beyond the first {NAMES_MAX} names, or beyond what is looked at, {} times",
                profile.fields_left_out
            ));
        }
        done
    }

    /// One field, or why it is left out.
    fn field(
        &mut self,
        owner: &str,
        stored: &str,
        profile: &FieldProfile,
        documents: u64,
        taken: &mut FieldNames,
    ) -> Result<FieldDraft, String> {
        let value = &profile.value;
        if !names::can_be_stored(stored) {
            return Err(format!(
                "{} times; a model cannot name such a field",
                profile.present
            ));
        }
        let wanted = match stored {
            "_id" => Some("key".to_owned()),
            _ => names::field_name(stored),
        };
        let Some(wanted) = wanted else {
            return Err(format!(
                "{}; give it a name in the model, with @stored(as: …)",
                kinds(value)
            ));
        };
        let decided = self.decide(&format!("{owner}{}", pascal_case(&wanted)), value)?;
        let items = value.lists.as_ref().map(|lists| &lists.items);
        let ids = match decided.holds {
            Holds::List(_) => items.map(|items| items.ids.all()),
            _ => Some(value.ids.all()),
        };
        let nulls = value.count(Kind::Null);
        Ok(FieldDraft {
            name: taken.take(&wanted),
            stored_as: stored.to_owned(),
            required: profile.present == documents && nulls == 0,
            notes: presence(documents - profile.present, nulls, documents)
                .chain(decided.notes)
                .collect(),
            ids: ids.into_iter().flatten().cloned().collect(),
            holds: decided.holds,
            is_whole: decided.is_whole,
            reference: None,
            read_only: false,
            server: None,
        })
    }

    /// The type that most values fit, or JSON, or why there is none.
    fn decide(&mut self, name: &str, value: &ValueProfile) -> Result<Decided, String> {
        let all = value.values();
        if all == 0 {
            return Err("always null, so that its type is unknown".to_owned());
        }
        let fitting = |kinds: &[Kind]| kinds.iter().map(|kind| value.count(*kind)).sum::<u64>();
        let choices = CHOICES.iter().rev();
        let (choice, kinds_fitting) = choices
            .max_by_key(|(_, kinds)| fitting(kinds))
            .expect("there are choices");
        let fits = fitting(kinds_fitting);
        let has_a_majority = all - fits <= 1 || fits * 100 >= all * MAJORITY_PERCENT;
        if !has_a_majority && is_json(value) {
            return Ok(Decided::with(Holds::Scalar("JSON"), mixed(value)));
        }
        if fits * 2 < all {
            return Err(mixed(value));
        }
        let mut decided = self.chosen(name, *choice, value)?;
        if fits < all {
            decided.is_whole = false;
            let odd = value
                .kinds
                .iter()
                .filter(|(kind, _)| **kind != Kind::Null && !kinds_fitting.contains(kind));
            let odd: Vec<String> = odd
                .map(|(kind, count)| format!("{count} times {}", kind.word()))
                .collect();
            decided
                .notes
                .push(format!("does not fit: {}", odd.join(", ")));
        }
        Ok(decided)
    }

    fn chosen(
        &mut self,
        name: &str,
        choice: Choice,
        value: &ValueProfile,
    ) -> Result<Decided, String> {
        match choice {
            Choice::Scalar("String") => Ok(self.text(name, value)),
            Choice::Scalar("DateTime") if value.count(Kind::Date) == 0 => {
                let note = "every value is at midnight UTC; use Date if they are days".to_owned();
                Ok(Decided::with(Holds::Scalar("DateTime"), note))
            }
            Choice::Scalar(scalar) => Ok(Decided::new(Holds::Scalar(scalar))),
            Choice::Id(id_type) => Ok(Decided::new(Holds::Id(id_type))),
            Choice::Object => self.object(name, value),
            Choice::List => match &value.lists {
                Some(lists) => self.list(name, lists, value),
                None => Err(too_deep()),
            },
        }
    }

    /// An enum if its values are few, and each is a name that a program may use.
    fn text(&mut self, name: &str, value: &ValueProfile) -> Decided {
        let texts = value.count(Kind::Text);
        if texts == value.values() && is_enum(&value.texts, texts) {
            let name = self.names.take(name);
            self.enums.push(EnumDraft {
                name: name.clone(),
                values: value.texts.all().clone(),
            });
            return Decided::new(Holds::Named(name));
        }
        Decided::new(Holds::Scalar("String"))
    }

    /// An embedded type, or JSON for a map.
    fn object(&mut self, name: &str, value: &ValueProfile) -> Result<Decided, String> {
        let Some(profile) = &value.objects else {
            return Err(too_deep());
        };
        let whole = |reason: String| match is_json(value) {
            true => Ok(Decided::with(Holds::Scalar("JSON"), reason)),
            false => Err(format!("{reason}, with values that JSON does not have")),
        };
        if profile.fields.is_empty() {
            return whole("always an empty document".to_owned());
        }
        if is_map(profile) {
            let names = profile.fields.len();
            return whole(format!("looks like a map: {names} or more different keys"));
        }
        let type_name = self.names.take(name);
        let fields = self.fields(&type_name, profile, FieldNames::of_embedded(), &[]);
        if fields.fields.is_empty() {
            return whole("has no field that a model can name".to_owned());
        }
        self.embedded.push(TypeDraft {
            name: type_name.clone(),
            collection: None,
            fields: fields.fields,
            left_out: fields.left_out,
        });
        Ok(Decided::new(Holds::Named(type_name)))
    }

    fn list(
        &mut self,
        name: &str,
        profile: &ListProfile,
        value: &ValueProfile,
    ) -> Result<Decided, String> {
        let items = &profile.items;
        if items.kinds.is_empty() {
            return Err(
                "always an empty list, so that the type of its items is unknown".to_owned(),
            );
        }
        let decided = match self.decide(&singular(name), items) {
            Ok(decided) => decided,
            Err(reason) if is_json(value) => {
                let note = format!("its items: {reason}");
                return Ok(Decided::with(Holds::Scalar("JSON"), note));
            }
            Err(reason) => return Err(format!("a list, its items: {reason}")),
        };
        let nulls = items.count(Kind::Null);
        let is_flat = matches!(decided.holds, Holds::Scalar(_) | Holds::Id(_));
        let embedded = match &decided.holds {
            Holds::Named(name) => self.embedded.iter().find(|it| it.name == *name),
            _ => None,
        };
        let is_enum = matches!(decided.holds, Holds::Named(_)) && embedded.is_none();
        let may_have_nulls = is_flat || is_enum;
        let key = embedded.and_then(|it| key_of(it, profile));
        let mut notes: Vec<String> = decided.notes;
        if nulls > 0 && !may_have_nulls {
            notes.push(format!("does not fit: {nulls} items that are null"));
        }
        Ok(Decided {
            is_whole: decided.is_whole && (nulls == 0 || may_have_nulls),
            notes,
            holds: Holds::List(Box::new(ListDraft {
                item: decided.holds,
                has_nulls: nulls > 0 && may_have_nulls,
                key,
            })),
        })
    }
}

/// The field that identifies items in all lists: `_id` first. Another one counts only if lists of several items show it.
fn key_of(items: &TypeDraft, profile: &ListProfile) -> Option<String> {
    let can_be_key = |field: &&FieldDraft| {
        let is_text = matches!(
            field.holds,
            Holds::Id(_) | Holds::Scalar("String" | "Int" | "Long")
        );
        field.required && field.is_whole && is_text
    };
    let mut keys: Vec<&str> = profile.keys().collect();
    keys.sort_by_key(|name| (*name != "_id", *name != "id", *name));
    let mut keys = keys
        .into_iter()
        .filter(|name| *name == "_id" || profile.of_several >= 3);
    keys.find_map(|stored| {
        let mut fields = items.fields.iter().filter(can_be_key);
        let field = fields.find(|field| field.stored_as == stored)?;
        Some(field.name.clone())
    })
}

fn is_enum(texts: &DistinctTexts, count: u64) -> bool {
    let values = texts.all();
    let is_lower = |value: &String| value.starts_with(|first: char| first.is_ascii_lowercase());
    let is_upper = |value: &String| {
        value.starts_with(|first: char| first.is_ascii_uppercase())
            && !value.contains(|c: char| c.is_ascii_lowercase())
    };
    let are_names = values
        .keys()
        .all(|value| names::is_name(value) && !["true", "false", "null"].contains(&value.as_str()));
    let of_one_case = values.keys().all(is_lower) || values.keys().all(is_upper);
    let is_repeated = values.values().all(|uses| *uses > 1);
    (2..=ENUM_VALUES_MAX).contains(&values.len())
        && count >= ENUM_USES_MIN * values.len() as u64
        && are_names
        && of_one_case
        && is_repeated
}

/// Whether keys are data: there are many, and each document has few of them, or GraphQL can say few of them.
fn is_map(profile: &ObjectProfile) -> bool {
    let names = profile.fields.len();
    let is_sparse = profile.fields_seen * 3 < profile.count * names as u64;
    let unsayable = profile
        .fields
        .keys()
        .filter(|name| !is_sayable(name))
        .count();
    profile.fields_left_out > 0 || (names >= MAP_NAMES_MIN && is_sparse) || unsayable * 2 > names
}

fn is_sayable(name: &str) -> bool {
    name == "_id" || names::is_name(name.trim_start_matches('_'))
}

/// Whether JSON has all of it.
fn is_json(value: &ValueProfile) -> bool {
    let objects = value.objects.as_ref();
    let inside = objects.into_iter().flat_map(|it| it.fields.values());
    let items = value.lists.as_ref().map(|lists| &lists.items);
    value.kinds.keys().all(|kind| kind.is_json())
        && inside.map(|field| &field.value).chain(items).all(is_json)
}

fn mixed(value: &ValueProfile) -> String {
    format!("mixed: {}", kinds(value))
}

/// The kinds of its values, with counts.
fn kinds(value: &ValueProfile) -> String {
    let mut words: Vec<(u64, &str)> = Vec::new();
    for (kind, count) in &value.kinds {
        match words.iter_mut().find(|(_, word)| *word == kind.word()) {
            Some((counted, _)) => *counted += count,
            None => words.push((*count, kind.word())),
        }
    }
    let words = words
        .iter()
        .map(|(count, word)| format!("{count} times {word}"));
    words.collect::<Vec<_>>().join(", ")
}

fn too_deep() -> String {
    "nested too deeply to be looked at".to_owned()
}

fn presence(absent: u64, nulls: u64, documents: u64) -> impl Iterator<Item = String> {
    let absent = (absent > 0).then(|| format!("absent in {absent} of {documents}"));
    let nulls = (nulls > 0).then(|| format!("null in {nulls} of {documents}"));
    absent.into_iter().chain(nulls)
}

/// A stored name in a comment. Control characters would end the comment.
pub(super) fn shown(name: &str) -> String {
    let is_plain = name
        .chars()
        .all(|c| c.is_alphanumeric() || "_-.$".contains(c));
    match is_plain && !name.is_empty() {
        true => name.to_owned(),
        false => format!("{name:?}"),
    }
}
