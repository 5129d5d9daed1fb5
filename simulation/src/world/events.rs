//! What each operation does.

use std::time::Duration;

use super::{GATEWAYS, GIVEN_UP, World, edits, elsewhere::Disturbance};
use crate::{op::Op, oracle::Judged, people};

impl World {
    pub(super) async fn act(&mut self, op: Op) -> Judged {
        match op {
            Op::Edit {
                device,
                document,
                what,
                value,
            } => {
                self.edit(self.device(device), document, what, value);
            }
            Op::EditOrder {
                device,
                what,
                value,
            } => {
                let device = self.device(device);
                self.edit_within(device, people::order(0), what, value, None);
            }
            Op::Claim {
                device,
                order,
                what,
                value,
            } => {
                let device = self.device(device);
                self.edit_within(device, people::order(order), what, value, None);
            }
            Op::ClaimTogether {
                device,
                order,
                what,
                value,
            } => self.claim_together(self.device(device), order, what, value),
            Op::Send {
                device,
                gateway,
                count,
                lost,
            } => {
                let device = self.device(device);
                self.send_next(device, count.into(), gateway.into(), lost)?;
            }
            Op::Transact {
                device,
                document,
                what,
                value,
            } => {
                self.transact(self.device(device), document, what, value);
            }
            Op::Block { device } => self.device_mut(device).is_blocked = true,
            Op::Split {
                device,
                document,
                what,
                value,
            } => {
                self.split(self.device(device), document, what, value)
                    .await?;
            }
            Op::Retry { device, gateway } => self.retry(self.device(device), gateway.into())?,
            Op::Replay {
                device,
                gateway,
                nth,
            } => {
                self.replay(self.device(device), nth.into(), gateway.into());
            }
            Op::Hear { device, nth, again } => {
                self.hear(self.device(device), nth.into(), again)?;
            }
            Op::LoseAnswers { device } => self.device_mut(device).answers.clear(),
            Op::Pull {
                device,
                gateway,
                limit,
            } => {
                self.pull(self.device(device), gateway.into(), limit);
            }
            Op::Arrive { device, nth, again } => {
                self.arrive(self.device(device), nth.into(), again)?;
            }
            Op::LosePages { device } => self.device_mut(device).pulled.clear(),
            Op::PullAll {
                device,
                gateway,
                limit,
            } => {
                self.pull_all(self.device(device), gateway.into(), limit)
                    .await?;
            }
            Op::Subscribe {
                device,
                gateway,
                limit,
            } => {
                self.subscribe(self.device(device), gateway.into(), limit);
            }
            Op::Listen { device } => self.listen(self.device(device))?,
            Op::Harm {
                device,
                nth,
                goes_back,
                starts,
            } => {
                self.harm(self.device(device), nth.into(), goes_back, starts);
            }
            Op::HangUp { device } => self.device_mut(device).hang_up(),
            Op::Types { device, what } => self.device_mut(device).ask_for(edits::types(what)),
            Op::Token { user, team } => self.renew_token(user, team),
            Op::Member { user, team, what } => self.change_membership(user, team, what),
            Op::Stranger {
                document,
                what,
                value,
            } => self.edit_as_stranger(document, what, value),
            Op::Hurry => self.hurry().await?,
            Op::Flood { user } => {
                self.trespass(user);
                self.flood(user).await?;
            }
            Op::Crowd => self.crowd(),
            Op::Decline { user, decline } => self.decline(user, decline),
            Op::Foreign {
                document,
                what,
                value,
            } => {
                let key = self.document(document);
                self.write_elsewhere(&key, what, value);
            }
            Op::ForeignOrder { what, value } => {
                self.write_elsewhere(&people::order(0), what, value);
            }
            Op::ForeignClaim { order, what, value } => {
                self.write_elsewhere(&people::order(order), what, value);
            }
            Op::Interrupt {
                calls,
                loses,
                document,
                what,
                value,
            } => {
                let disturbance = Disturbance {
                    calls,
                    document,
                    what,
                    value,
                };
                self.interrupt(disturbance, loses).await?;
            }
            Op::Drop { document } => self.drop_collection(document),
            Op::BringBack => self.store.bring_back(),
            Op::AcceptDeletes => self.store.accept_deletes(),
            Op::Pause { seconds } => {
                self.pass_time(Duration::from_secs(seconds.into())).await?;
            }
            Op::Overtake {
                device,
                gateway,
                document,
                what,
                value,
            } => {
                let device = self.device(device);
                self.renew_scope(device, gateway.into(), value).await?;
                self.edit(device, document, what, value);
                self.overtake(device, gateway.into(), document, value)
                    .await?;
            }
            Op::Collect { ticks } => self.collect(ticks),
            Op::Rotate => self.rotate(),
            Op::Backup => self.back_up().await?,
            Op::Restore => self.restore().await?,
            Op::Crash { gateway } => self.crash(usize::from(gateway) % GATEWAYS),
            Op::Hold { calls } => self.store.hold_after(calls),
            Op::Stall {
                device,
                gateway,
                calls,
                live,
                meanwhile,
                value,
            } => {
                let device = self.device(device);
                self.store.hold_after(calls);
                if live {
                    self.subscribe(device, gateway.into(), value);
                } else {
                    self.pull(device, gateway.into(), value);
                }
                self.disturb(meanwhile, value).await?;
            }
            Op::Release { nth, fails } => self.store.release(nth.into(), fails),
            Op::Lag { gateway } => self.store.lag(usize::from(gateway) % GATEWAYS),
            Op::CatchUp { gateway, events } => {
                let events = Some(usize::from(events)).filter(|events| *events > 0);
                self.store.catch_up(usize::from(gateway) % GATEWAYS, events);
            }
            Op::Restart { gateway, value } => {
                self.break_off(usize::from(gateway) % GATEWAYS, value)
                    .await?;
            }
            Op::RunTwice => self.store.run_twice(),
            Op::Wait => tokio::time::sleep(GIVEN_UP).await,
            Op::Deploy { gateway, edition } => self.deploy(gateway, edition).await?,
            Op::Update { device } => self.update(self.device(device)),
            Op::Visit {
                device,
                gateway,
                edition,
                limit,
            } => {
                let gateway = usize::from(gateway) % GATEWAYS;
                self.visit(self.device(device), gateway, edition, limit)
                    .await?;
            }
            Op::Supersede {
                calls,
                gateway,
                edition,
                document,
                what,
                value,
            } => {
                let disturbance = Disturbance {
                    calls,
                    document,
                    what,
                    value,
                };
                self.supersede(gateway, edition, disturbance).await?;
            }
        }
        Ok(())
    }

    /// A tail breaks off, begins again, and misses one of three edits of the same document. Subscribers take their
    /// pages.
    async fn break_off(&mut self, gateway: usize, value: u8) -> Judged {
        let title = 3;
        for nth in 0..3 {
            if nth == 1 {
                self.store.lag(gateway);
            }
            self.edit_as_stranger(value, title, value);
            self.settle().await?;
            if nth == 1 {
                self.store.restart_tail(gateway);
                self.store.catch_up(gateway, None);
                self.settle().await?;
            }
            for device in 0..self.devices.len() {
                self.listen(device)?;
            }
            self.settle().await?;
        }
        Ok(())
    }

    /// Something happens while a call of the store is held, and then the call continues; or nothing does, and it stays
    /// held.
    async fn disturb(&mut self, what: u8, value: u8) -> Judged {
        self.settle().await?;
        match what {
            0 => self.collect(0),
            1 => self.edit_as_stranger(value, value, value),
            _ => return Ok(()),
        }
        self.settle().await?;
        self.store.release_all();
        Ok(())
    }
}
