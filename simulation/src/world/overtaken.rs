//! What overtakes a push. A page may arrive before its answer: what it removes must not come back with the answer
//! (rules.md 1.6 and 1.7). Its parts may arrive before its first copy: no edit takes effect twice (1.12 and 1.13).

use super::{World, device::Pulled};
use crate::oracle::Judged;

impl World {
    /// In some of these histories the user loses a team and gets it back, so that the next page begins its scope again.
    pub(super) async fn renew_scope(&mut self, device: usize, gateway: usize, value: u8) -> Judged {
        if !value.is_multiple_of(4) {
            return Ok(());
        }
        let user = u8::try_from(self.devices[device].user()).expect("there are few users");
        self.renew_token(user, value / 4);
        self.pull_all(device, gateway, value).await?;
        self.renew_token(user, value / 4);
        Ok(())
    }

    /// The device pushes; another user may delete or move the document; a page arrives, and only then the answer.
    pub(super) async fn overtake(
        &mut self,
        device: usize,
        gateway: usize,
        document: u8,
        value: u8,
    ) -> Judged {
        const DELETES: u8 = 8;
        const MOVES: u8 = 1;
        self.devices[device].answers.clear();
        self.send_next(device, 3, gateway, false)?;
        self.settle().await?;
        match value % 3 {
            0 => self.edit_as_stranger(document, DELETES, value),
            1 => self.edit_as_stranger(document, MOVES, value / 3),
            _ => {}
        }
        self.settle().await?;
        self.pull(device, gateway, value);
        self.settle().await?;
        let puller = &self.devices[device];
        let is_last = |pulled: &Pulled| pulled.pull == puller.pull;
        if let Some(nth) = puller.pulled.iter().position(is_last) {
            self.arrive(device, nth, false)?;
        }
        self.hear(device, 0, false)
    }

    /// The device pushes three edits, or one before a transaction, which are refused on their way. It asks, and goes on
    /// with a part of them, or with the transaction. Meanwhile all that was refused arrives.
    pub(super) async fn split(
        &mut self,
        device: usize,
        document: u8,
        what: u8,
        value: u8,
    ) -> Judged {
        const TAKES_THREE: usize = 1;
        if self.devices[device].client.flight.is_some() {
            return Ok(());
        }
        let next = |nth: u8| (document.wrapping_add(nth), what.wrapping_add(nth));
        self.edit(device, document, what, value);
        let count = if value.is_multiple_of(2) {
            for (document, what) in [next(1), next(2)] {
                self.edit(device, document, what, value);
            }
            3
        } else {
            let (document, what) = next(1);
            self.transact(device, document, what, value);
            1
        };
        self.devices[device].answers.clear();
        self.devices[device].is_blocked = true;
        self.send_next(device, count, TAKES_THREE, false)?;
        let Some(first) = self.devices[device].parcel() else {
            return Ok(());
        };
        self.hear(device, 0, false)?;
        self.ask_again(device, TAKES_THREE).await?;
        self.send_next(device, 3, TAKES_THREE, true)?;
        self.deliver(device, first, TAKES_THREE);
        self.settle().await?;
        self.devices[device].answers.clear();
        self.ask_again(device, TAKES_THREE).await?;
        self.ask_again(device, TAKES_THREE).await
    }

    /// The device asks for its last id, or sends its push once more, and gets the answer.
    async fn ask_again(&mut self, device: usize, gateway: usize) -> Judged {
        self.retry(device, gateway)?;
        self.settle().await?;
        self.hear(device, 0, false)
    }
}
