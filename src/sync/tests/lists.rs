//! Lists of the documents that refer to others: what is read of them together is bounded.

use tidegate_core::{
    id::DocumentId,
    query::{Column, Condition, IndexDefinition, ListQuery},
};

use super::*;
use crate::sync::{ListParent, ListWanted, Relatives, SentList};

const RELATED: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") @index(fields: ["text"])
{ id: ID! team: String! text: String }
"#;

/// The ids of the tasks whose text names each of these, as far as lists are read.
async fn read(sync: &SyncService, parents: &[&str], bytes_max: usize) -> Vec<(String, usize)> {
    let (model, by) = (sync.model(), Column::new("text"));
    let query = ListQuery {
        condition: Condition::All(Vec::new()),
        order: Vec::new(),
        descending: false,
    };
    let relatives = Relatives {
        document_type: &model.types[0],
        by: &by,
        sent: SentList {
            query,
            scope: None,
            first: 2,
            after: None,
        },
        wanted: ListWanted {
            documents: true,
            count_max: None,
        },
        bytes_max,
    };
    let parent = |id: &&str| ListParent {
        id: DocumentId::new(id).unwrap(),
        scope: None,
    };
    let parents = parents.iter().map(parent).collect();
    let lists = sync.lists_of(&alice(sync), &relatives, parents).await;
    let lists = lists.unwrap().into_iter();
    let count = |(parent, page): (ListParent, Result<_, SyncError>)| {
        let page: ListPage = page.unwrap();
        (parent.id.to_string(), page.items.len())
    };
    let mut counts: Vec<(String, usize)> = lists.map(count).collect();
    counts.sort();
    counts
}

#[tokio::test]
async fn lists_beyond_the_bytes_of_an_answer_are_not_read() {
    let directory = TempDir::new().unwrap();
    let store: Arc<dyn Store> = Arc::new(embedded(directory.path()));
    let indexes = IndexDefinition::all_of(&model(RELATED).types[0]);
    store.keep_indexes(&indexes).await.unwrap();
    let clock: Clock = Arc::new(|| Timestamp::EPOCH);
    let sync = start(RELATED, store, clock, Limits::default());
    for (id, of) in [("1", "a"), ("2", "a"), ("3", "a"), ("4", "b"), ("5", "c")] {
        let document = texts(&[("team", "red"), ("text", of)]);
        let create = Action::Create {
            document,
            base: None,
        };
        sync.push(&alice(&sync), push_of(id, create)).await.unwrap();
    }
    let of = |counts: &[(&str, usize)]| -> Vec<(String, usize)> {
        let counts = counts.iter();
        counts
            .map(|(id, count)| ((*id).to_owned(), *count))
            .collect()
    };
    let all = read(&sync, &["a", "b", "c", "d"], usize::MAX).await;
    assert_eq!(all, of(&[("a", 2), ("b", 1), ("c", 1), ("d", 0)]));
    let alone = read(&sync, &["b"], 0).await;
    assert_eq!(alone, of(&[("b", 1)]));
    let long: Vec<String> = (0..60).map(|n| format!("n{n}")).collect();
    let many: Vec<&str> = ["a"]
        .into_iter()
        .chain(long.iter().map(String::as_str))
        .collect();
    let first = read(&sync, &many, 0).await;
    assert_eq!(first.len(), 50, "the lists of the first round alone");
}
