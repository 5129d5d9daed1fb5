//! A client that does not wait for answers: its pushes arrive in the wrong order, and all must take effect (rules.md 4.2).

use tidegate_core::{
    change::{Action, Change, Submission},
    id::{ClientId, DocumentId, DocumentKey, Epoch, MutationId, TypeName},
    outcome::Status,
    push::{Push, PushAnswer, PushClient},
    value::{Document, Value},
};

use super::{OFFICE, World, device::Parcel};
use crate::{
    oracle::{Judged, Known, Property, expect},
    people::USERS,
};

/// What is known of it between its pushes.
#[derive(Debug, Default)]
pub(super) struct Hasty {
    epoch: Option<Epoch>,
    next: i32,
    pub(super) answer: Option<PushAnswer>,
}

impl World {
    /// The device number in its requests.
    pub(super) fn hasty_device(&self) -> usize {
        self.devices.len() + 1
    }

    /// The second of two pushes arrives first, and is sent again after the first.
    pub(super) async fn hurry(&mut self) -> Judged {
        let epoch = self.store.now().epoch.clone();
        if self.hasty.epoch.as_ref() != Some(&epoch) {
            self.hasty.next = 1;
            self.hasty.epoch = Some(epoch.clone());
        }
        let first = self.create_hastily(&epoch);
        let second = self.create_hastily(&epoch);
        for (parcel, settles) in [(&second, false), (&first, true), (&second, true)] {
            self.push(self.hasty_device(), 0, parcel.clone(), OFFICE);
            self.settle().await?;
            let answer = self.hasty.answer.take();
            let applied = |answer: &PushAnswer| {
                answer
                    .as_ref()
                    .is_ok_and(|answer| answer.outcomes[0].status == Status::Applied)
            };
            let right = !settles || answer.as_ref().is_some_and(applied);
            expect(right, Property::ExactlyOnce, || {
                format!(
                    "{:?}, sent in haste, is answered {answer:?}",
                    parcel.push.client
                )
            })?;
        }
        Ok(())
    }

    fn create_hastily(&mut self, epoch: &Epoch) -> Parcel {
        let first = self.hasty.next;
        self.hasty.next += 1;
        let key = DocumentKey {
            type_name: TypeName::new("Note").expect("types of the model have good names"),
            id: DocumentId::new(&format!("hasty-{epoch}-{first}")).expect("a short id"),
        };
        let audience = Value::String(format!("user:{}", USERS[0]));
        let change = Change {
            key,
            action: Action::Create {
                document: Document::from([("audience".to_owned(), audience)]),
                base: None,
            },
            changed_at: None,
        };
        let client = ClientId::new(&format!("hasty-{epoch}")).expect("a short name");
        Parcel {
            numbers: vec![self.next_number(Known::NOTHING)],
            push: Push {
                client: Some(PushClient {
                    id: client,
                    first: Some(MutationId(first)),
                }),
                changes: vec![Submission {
                    type_name: change.key.type_name.clone(),
                    id: change.key.id.to_string(),
                    change: Ok(change),
                }],
                atomic: false,
                policy: None,
                epoch: Some(epoch.clone()),
            },
        }
    }
}
