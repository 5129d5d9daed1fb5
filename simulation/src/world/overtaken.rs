//! A page that arrives before the answer to a push: what it removes must not come back with the answer (rules.md 1.6
//! and 1.7).

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
}
