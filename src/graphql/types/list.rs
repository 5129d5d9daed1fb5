//! The connections of documents: `TaskConnection` and `TaskEdge` for each type, and `SyncCount`.

use std::sync::Arc;

use tidegate_core::model::DocumentType;

use super::{
    connection::{PageEnd, PageInfo},
    document::DocumentTypes,
};
use crate::{
    graphql::{
        error::ClientError,
        render::{Text, fields_of},
        request::{ArgumentSlot, OperationArguments, SelectedField},
        roots::arguments,
        shape::{list, one, required},
        table::{Node, ObjectType},
    },
    sync::{ListItem, ListPage},
};

/// A page of a list, and the arguments of the fields below it.
pub(in crate::graphql) struct ListAnswer {
    pub(in crate::graphql) page: ListPage,
    pub(in crate::graphql) arguments: Arc<OperationArguments>,
}

/// What is selected of a page.
#[derive(Debug, Clone)]
pub(in crate::graphql) struct ListSelection {
    /// Whether it needs documents.
    pub(in crate::graphql) documents: bool,
    /// The arguments of its counts.
    counts: Vec<ArgumentSlot>,
}

impl ListSelection {
    /// What `field`, which is the connection of a type, selects.
    pub(in crate::graphql) fn of(field: &SelectedField, document_type: &DocumentType) -> Self {
        let of = format!("{}Connection", document_type.name);
        let fields = fields_of(&field.below, &of);
        let needs =
            |field: &&SelectedField| ["edges", "nodes", "pageInfo"].contains(&field.name.as_str());
        let counts = fields.iter().filter(|field| field.name == "totalCount");
        Self {
            documents: fields.iter().any(|field| needs(&field)),
            counts: counts.filter_map(|field| field.slot).collect(),
        }
    }

    /// How far documents are to be counted, if they are.
    pub(in crate::graphql) fn count_max(
        &self,
        below: &OperationArguments,
    ) -> Result<Option<usize>, ClientError> {
        let counts = self.counts.iter();
        let bounds = counts.map(|slot| arguments::count_max(below.of(*slot)));
        let bounds: Vec<usize> = bounds.collect::<Result<_, _>>()?;
        Ok(bounds.into_iter().max())
    }
}

pub(in crate::graphql) struct ListConnection;

impl Node for ListConnection {
    type Ref<'n> = &'n ListAnswer;
}

struct ListEdge;

impl Node for ListEdge {
    type Ref<'n> = &'n ListItem;
}

/// A count, and whether it is of all.
pub(super) struct SyncCount;

impl Node for SyncCount {
    type Ref<'n> = (usize, bool);
}

/// The connection of a type.
pub(super) fn connection(
    document_type: &Arc<DocumentType>,
    documents: &Arc<DocumentTypes>,
    page_info: &Arc<ObjectType<PageInfo>>,
    count: &Arc<ObjectType<SyncCount>>,
) -> ObjectType<ListConnection> {
    let name = document_type.name.as_str();
    let edge = Arc::new(edge(document_type, documents));
    let (of_edges, of_nodes) = (Arc::clone(&edge), Arc::clone(documents));
    let (of_type, of_count) = (Arc::clone(document_type), Arc::clone(count));
    let connection = ObjectType::<ListConnection>::new(
        format!("{name}Connection"),
        format!("Some of the documents of {name} that you may see."),
    );
    connection
        .field(
            "edges",
            list(&format!("{name}Edge")),
            "The documents, each with its cursor.",
            move |field| {
                let plan = of_edges.compile(field);
                Arc::new(move |answer, text| {
                    text.listed(&answer.page.items, |text, item| plan.write(item, text))
                })
            },
        )
        .of_type(&edge)
        .field("nodes", list(name), "The documents.", move |field| {
            let plan = of_nodes.compile_one(&of_type, field);
            Arc::new(move |answer, text| {
                text.listed(&answer.page.items, |text, item| {
                    text.listed_document(item, &plan)
                })
            })
        })
        .children(
            "pageInfo",
            required("PageInfo"),
            "Where the page ends.",
            Arc::clone(page_info),
            |answer, info| {
                info.one(PageEnd {
                    has_next: answer.page.has_more,
                    cursor: answer.page.end.as_deref(),
                })
            },
        )
        .field(
            "totalCount",
            required("SyncCount"),
            "How many documents the list has on all its pages, counted up to `max`.",
            move |field| {
                let (plan, slot) = (of_count.compile(field), field.slot);
                let slot = slot.expect("the field takes arguments");
                Arc::new(move |answer, text| {
                    let max = arguments::count_max(answer.arguments.of(slot));
                    match (max, answer.page.count) {
                        (Ok(max), Some((count, is_exact))) => {
                            let shown = (count.min(max), is_exact && count <= max);
                            plan.write(shown, text)
                        }
                        (Ok(_), None) => plan.write((0, false), text),
                        (Err(failure), _) => Err(text.fail(failure)),
                    }
                })
            },
        )
        .of_type(count)
        .arguments(arguments::counted)
}

fn edge(document_type: &Arc<DocumentType>, documents: &Arc<DocumentTypes>) -> ObjectType<ListEdge> {
    let name = document_type.name.as_str();
    let (documents, of_type) = (Arc::clone(documents), Arc::clone(document_type));
    let mut article = one(name);
    article[..1].make_ascii_uppercase();
    let edge = ObjectType::<ListEdge>::new(
        format!("{name}Edge"),
        format!("{article} in a list, and its place."),
    );
    edge.leaf(
        "cursor",
        required("String"),
        "Its place: what `after` takes.",
        |item, text| text.string(&item.cursor()),
    )
    .field("node", required(name), "The document.", move |field| {
        let plan = documents.compile_one(&of_type, field);
        Arc::new(move |item: &ListItem, text: &mut Text| text.listed_document(item, &plan))
    })
}

pub(super) fn count() -> ObjectType<SyncCount> {
    ObjectType::<SyncCount>::new(
        "SyncCount",
        "How many there are, as far as they were counted.",
    )
    .leaf(
        "count",
        required("Int"),
        "How many were counted.",
        |(count, _), text| text.json(&count),
    )
    .leaf(
        "isExact",
        required("Boolean"),
        "Whether these are all. If not, there are more.",
        |(_, is_exact), text| text.json(&is_exact),
    )
}
