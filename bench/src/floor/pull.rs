//! The floor of a pull: pages from the same index in snapshot sessions, as a consistent page needs, left as raw BSON.

use mongodb::{
    ClientSession, Collection,
    bson::{RawDocumentBuf, doc},
    options::{FindOptions, Hint, SessionOptions},
};

use super::Floor;
use crate::load;

/// Reads a scope again and again.
pub(crate) struct Reader {
    pub(crate) floor: Floor,
    pub(crate) scope: String,
    /// The number of entries that each read must return.
    pub(crate) documents: usize,
}

impl load::Client for Reader {
    async fn step(&mut self) -> usize {
        let documents = self.floor.read_all(&self.scope).await;
        assert_eq!(documents, self.documents);
        documents
    }
}

impl Floor {
    /// Reads a whole scope in pages of 1,000. Returns the number of entries.
    async fn read_all(&self, scope: &str) -> usize {
        let feed = self.database.collection::<RawDocumentBuf>("feed");
        let (mut after, mut count) = (0, 0);
        loop {
            let options = SessionOptions::builder().snapshot(true).build();
            let session = self.client.start_session().with_options(options);
            let mut session = session.await.unwrap();
            let (read, last) = page(&feed, &mut session, scope, after).await;
            if read == 0 {
                return count;
            }
            count += read;
            after = last;
        }
    }
}

async fn page(
    feed: &Collection<RawDocumentBuf>,
    session: &mut ClientSession,
    scope: &str,
    after: i64,
) -> (usize, i64) {
    let options = FindOptions::builder()
        .sort(doc! {"q": 1})
        .hint(Hint::Keys(doc! {"s": 1, "t": 1, "q": 1}))
        .limit(1_000)
        .batch_size(1_001)
        .build();
    let filter = doc! {"s": scope, "t": "Task", "q": {"$gt": after}};
    let find = feed.find(filter).with_options(options);
    let mut cursor = find.session(&mut *session).await.unwrap();
    let (mut read, mut last) = (0, after);
    while cursor.advance(session).await.unwrap() {
        last = cursor.current().get_i64("q").unwrap();
        read += 1;
    }
    (read, last)
}
