//! Schema inference: sampled documents become a commented model for a person to read and to finish.
//!
//! Nothing here reads a database. What a rule cannot say is left out of the model, with a comment: documents keep what
//! their model does not name.

mod draft;
mod kind;
mod names;
mod profile;
mod references;
mod scopes;
mod sdl;
mod shape;
#[cfg(test)]
mod tests;
mod values;

use mongodb::bson::RawDocument;
use tidegate_core::id::IdType;

use self::{
    draft::{CollectionDraft, EnumDraft, FieldDraft, Holds, ScopeDraft, TypeDraft},
    kind::Kind,
    names::{FieldNames, RootNames, TypeNames},
    profile::{CollectionProfile, ValueProfile},
    shape::{Fields, Shapes, shown},
};
pub(crate) use self::{references::IdsByCollection, values::IdValue};

/// The field in which Mongoose counts the writes to lists of a document.
const VERSION_FIELD: &str = "__v";
/// The field in which libraries keep when a document was last written.
const UPDATED_AT_FIELD: &str = "updatedAt";
/// The field in which they keep when it was created.
const CREATED_AT_FIELD: &str = "createdAt";

/// The places in documents of which something is kept, of all collections together. A place takes up to 2 KiB.
const PLACES_MAX: usize = 50_000;

/// What is known of the collections of a database.
pub(crate) struct Samples {
    collections: Vec<CollectionSample>,
    /// Collections that the model does not have, and why.
    left_out: Vec<(String, String)>,
    places_left: usize,
}

impl Samples {
    /// Nothing yet, of a database that has these collections besides.
    pub(crate) fn new(left_out: Vec<(String, String)>) -> Self {
        Self {
            collections: Vec::new(),
            left_out,
            places_left: PLACES_MAX,
        }
    }

    /// Begins the sample of a collection of about so many documents.
    pub(crate) fn begin(&self, name: &str, total: u64) -> CollectionSample {
        let places = self.places_left.min(profile::PLACES_MAX);
        CollectionSample {
            name: name.to_owned(),
            total,
            places,
            profile: CollectionProfile::new(places),
            interrupted: None,
        }
    }

    /// Takes in a whole sample.
    pub(crate) fn add(&mut self, sample: CollectionSample) {
        self.places_left -= sample.places - sample.profile.places_left;
        self.collections.push(sample);
    }

    /// Leaves a collection out.
    pub(crate) fn leave_out(&mut self, name: String, reason: String) {
        self.left_out.push((name, reason));
    }
}

/// What is known of a collection. It holds no document.
pub(crate) struct CollectionSample {
    name: String,
    /// About how many documents it has.
    total: u64,
    /// The most places of which something is kept.
    places: usize,
    profile: CollectionProfile,
    /// Why not as many documents were read as were asked for.
    pub(crate) interrupted: Option<String>,
}

impl CollectionSample {
    /// Takes in one document.
    pub(crate) fn add(&mut self, document: &RawDocument) {
        self.profile.add(document);
    }

    /// What was read of it, and what is odd about that.
    fn notes(&self) -> Vec<String> {
        let read = self.profile.documents.count;
        let name = shown(&self.name);
        let first = match self.interrupted.is_none() && read >= self.total {
            true => format!("{name}: {read} documents, all of them read."),
            false => format!(
                "{name}: about {} documents, {read} of them read.",
                self.total.max(read)
            ),
        };
        let in_part = self.profile.read_in_part;
        let in_part = (in_part > 0).then(|| {
            format!("{in_part} documents are so large, or so damaged, that they were read in part.")
        });
        let interrupted = self.interrupted.clone();
        [Some(first), interrupted, in_part]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// A model that is being drawn.
pub(crate) struct Drawn {
    database: String,
    types: Vec<TypeDraft>,
    enums: Vec<EnumDraft>,
    /// Collections that the model does not have, and why.
    pub(crate) left_out: Vec<(String, String)>,
}

impl Drawn {
    /// The types of these collections, before their relations are known.
    pub(crate) fn new(database: &str, samples: Samples) -> Self {
        let Samples {
            collections: mut samples,
            left_out,
            ..
        } = samples;
        samples.sort_by(|a, b| a.name.cmp(&b.name));
        let mut drawn = Self {
            database: database.to_owned(),
            types: Vec::new(),
            enums: Vec::new(),
            left_out,
        };
        let (mut names, mut roots) = (TypeNames::default(), RootNames::default());
        // Types of collections get their names first, and those inside of them what is left.
        let usable: Vec<_> = samples
            .iter()
            .filter_map(|sample| match id_type(sample) {
                Ok(id_type) => {
                    let type_name = names.take(&names::type_name(&sample.name));
                    Some((sample, id_type, type_name))
                }
                Err(reason) => {
                    drawn.left_out.push((sample.name.clone(), reason));
                    None
                }
            })
            .collect();
        for (sample, ids, type_name) in usable {
            drawn.draw(sample, ids, &type_name, &mut names, &mut roots);
        }
        drawn.left_out.sort();
        drawn
    }

    fn draw(
        &mut self,
        sample: &CollectionSample,
        ids: Ids,
        type_name: &str,
        names: &mut TypeNames,
        roots: &mut RootNames,
    ) {
        let mut shapes = Shapes {
            names,
            embedded: Vec::new(),
            enums: Vec::new(),
        };
        let documents = &sample.profile.documents;
        let skipped = ["_id", VERSION_FIELD];
        let Fields {
            mut fields,
            left_out,
        } = shapes.fields(type_name, documents, FieldNames::of_synced(), &skipped);
        if fields.is_empty() {
            let reason = "its documents have no field that a model can name".to_owned();
            self.left_out.push((sample.name.clone(), reason));
            return;
        }
        let (singular, plural) = roots.take(type_name, &sample.name);
        let has_lists = fields
            .iter()
            .any(|field| matches!(field.holds, Holds::List(_)));
        let counts_writes = documents
            .fields
            .get(VERSION_FIELD)
            .is_some_and(|it| is_whole_number(&it.value));
        keep_times(&mut fields);
        let updated_at = fields.iter().find(|field| field.read_only);
        let collection = CollectionDraft {
            name: sample.name.clone(),
            id_type: ids.id_type,
            singular,
            plural,
            notes: sample.notes().into_iter().chain(ids.note).collect(),
            scope: ScopeDraft::Undecided,
            version_field: (counts_writes && has_lists).then(|| VERSION_FIELD.to_owned()),
            updated_at_field: updated_at.map(|field| field.stored_as.clone()),
        };
        let Shapes {
            embedded, enums, ..
        } = shapes;
        self.types.push(TypeDraft {
            name: type_name.to_owned(),
            collection: Some(collection),
            fields,
            left_out,
        });
        self.types.extend(embedded);
        self.enums.extend(enums);
    }

    /// Whether no collection gave a type.
    pub(crate) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// The ids that have to be looked for, in each collection.
    pub(crate) fn wanted(&self) -> IdsByCollection {
        references::wanted(&self.types)
    }

    /// The model as a file. `found` are those of the wanted ids that are there.
    pub(crate) fn finish(mut self, found: &IdsByCollection) -> String {
        references::relate(&mut self.types, found);
        scopes::propose(&mut self.types);
        sdl::print(&self)
    }
}

/// Lets the gateway keep the times that libraries keep, so that they need not be required. A type needs another field.
fn keep_times(fields: &mut [FieldDraft]) {
    let place = |fields: &[FieldDraft], name| {
        let is_time = |field: &FieldDraft| {
            field.stored_as == name && field.holds == Holds::Scalar("DateTime")
        };
        fields.iter().position(is_time)
    };
    let Some(updated_at) = place(fields, UPDATED_AT_FIELD).filter(|_| fields.len() > 1) else {
        return;
    };
    fields[updated_at].read_only = true;
    fields[updated_at].required = false;
    if let Some(created_at) = place(fields, CREATED_AT_FIELD).filter(|_| fields.len() > 2) {
        fields[created_at].server = Some("CREATED_AT");
        fields[created_at].required = false;
    }
}

/// The ids of a collection.
struct Ids {
    id_type: IdType,
    /// How many have another type.
    note: Option<String>,
}

/// The type that most ids have, or why the collection cannot be synced.
fn id_type(sample: &CollectionSample) -> Result<Ids, String> {
    const CHOICES: [(IdType, &[Kind]); 4] = [
        (IdType::ObjectId, &[Kind::ObjectId]),
        (
            IdType::String,
            &[Kind::Text, Kind::ObjectIdText, Kind::UuidText],
        ),
        (IdType::Uuid, &[Kind::Uuid]),
        (
            IdType::Int,
            &[Kind::Int, Kind::Long, Kind::Huge, Kind::Whole],
        ),
    ];
    let ids = &sample.profile.ids;
    let all = ids.values();
    if all == 0 {
        let reason = match &sample.interrupted {
            Some(reason) => reason.clone(),
            None => "it has no documents".to_owned(),
        };
        return Err(reason);
    }
    let fitting = |kinds: &[Kind]| kinds.iter().map(|kind| ids.count(*kind)).sum::<u64>();
    let choices = CHOICES.iter().rev();
    let choice = choices.max_by_key(|(_, kinds)| fitting(kinds));
    let (id_type, kinds) = choice.expect("there are choices");
    let fits = fitting(kinds);
    if fits * 2 <= all {
        let words: Vec<&str> = ids.kinds.keys().map(|kind| kind.word()).collect();
        return Err(format!(
            "its _ids are of no type that a model can name: {}",
            words.join(", ")
        ));
    }
    let note = (fits < all).then(|| {
        format!(
            "{} _ids are of another type; their documents do not fit.",
            all - fits
        )
    });
    Ok(Ids {
        id_type: *id_type,
        note,
    })
}

fn is_whole_number(value: &ValueProfile) -> bool {
    let whole = [Kind::Int, Kind::Long, Kind::Whole];
    value.values() > 0 && value.kinds.keys().all(|kind| whole.contains(kind))
}
