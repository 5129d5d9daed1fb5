//! Each user's share of the push queue: turns (start-time fair queueing, each push of length one) and bytes.
//!
//! The scheduler decides which pushes run together, and when.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tidegate_core::id::UserId;

use crate::lock::Mutex;

/// The place of a push in the queue: its turn, and its arrival among the pushes of that turn. Two pushes of one user
/// have different turns, in the order of their arrival.
pub(super) type QueuePosition = (u64, u64);

/// The shares of all users with pushes in the queue.
pub(super) struct Shares {
    queue: Arc<Mutex<PushQueue>>,
    bytes_max: usize,
}

/// The bytes reserved for one push. Dropping it frees them.
pub(super) struct QueuePermit {
    pub(super) position: QueuePosition,
    queue: Arc<Mutex<PushQueue>>,
    user: UserId,
    bytes: usize,
}

/// The pushes that wait or run.
#[derive(Default)]
struct PushQueue {
    bytes: usize,
    arrivals: u64,
    positions: BTreeSet<QueuePosition>,
    users: HashMap<UserId, UserShare>,
}

/// The pushes of one user in the queue.
#[derive(Default)]
struct UserShare {
    pushes: usize,
    bytes: usize,
    next_turn: u64,
}

impl Shares {
    pub(super) fn of(bytes_max: usize) -> Self {
        Self {
            queue: Arc::default(),
            bytes_max,
        }
    }

    /// How many pushes wait or run, and how many bytes they have.
    pub(super) fn usage(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.positions.len(), queue.bytes)
    }

    /// Reserves room for a push of so many bytes. There is none if all bytes are taken, or if the user would then have
    /// more than what is left (the dynamic threshold of Choudhury and Hahne): half of all for a user alone, a third for
    /// each of two, and so on. A user's only push may have all that is left. A push larger than the whole queue counts
    /// as the whole queue, since it would never fit otherwise.
    pub(super) fn acquire(&self, user: &UserId, bytes: usize) -> Option<QueuePermit> {
        let bytes = bytes.min(self.bytes_max);
        let place = self.queue.lock().join(user, bytes, self.bytes_max)?;
        Some(QueuePermit {
            position: place,
            queue: Arc::clone(&self.queue),
            user: user.clone(),
            bytes,
        })
    }
}

impl PushQueue {
    /// A user's first push gets the earliest turn in the queue, and each further one the turn after. So at most one
    /// push of each other user comes before a first one.
    fn join(&mut self, user: &UserId, bytes: usize, bytes_max: usize) -> Option<QueuePosition> {
        let of_user = self.users.get(user).map_or(0, |share| share.bytes);
        let left = bytes_max.checked_sub(self.bytes + bytes)?;
        if of_user > 0 && of_user + bytes > left {
            return None;
        }
        let earliest = self.positions.first().map_or(0, |(turn, _)| *turn);
        let share = self.users.entry(user.clone()).or_default();
        let turn = earliest.max(share.next_turn);
        share.next_turn = turn + 1;
        share.pushes += 1;
        share.bytes += bytes;
        self.bytes += bytes;
        self.arrivals += 1;
        let place = (turn, self.arrivals);
        self.positions.insert(place);
        Some(place)
    }

    fn leave(&mut self, permit: &QueuePermit) {
        self.positions.remove(&permit.position);
        self.bytes -= permit.bytes;
        if let Some(share) = self.users.get_mut(&permit.user) {
            share.bytes -= permit.bytes;
            share.pushes -= 1;
            if share.pushes == 0 {
                self.users.remove(&permit.user);
            }
        }
    }
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        self.queue.lock().leave(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::user;

    #[test]
    fn one_push_of_each_other_user_is_before_a_first_one() {
        let shares = Shares::of(1_000);
        let places = |name: &str, count: usize| -> Vec<QueuePermit> {
            let rooms = (0..count).map(|_| shares.acquire(&user(name), 1).unwrap());
            rooms.collect()
        };
        let mut crowd = places("crowd", 80);
        assert!(crowd.is_sorted_by_key(|room| room.position));
        let before = |permit: &QueuePermit, crowd: &[QueuePermit]| {
            let before = crowd
                .iter()
                .filter(|other| other.position < permit.position);
            before.count()
        };
        let first = places("first", 2);
        assert_eq!(before(&first[0], &crowd), 1);
        assert_eq!(before(&first[1], &crowd), 2);
        drop(first);
        crowd.drain(..40);
        let later = places("later", 1);
        assert_eq!(before(&later[0], &crowd), 1);
        drop((crowd, later));
        let queue = shares.queue.lock();
        assert!(queue.users.is_empty() && queue.positions.is_empty() && queue.bytes == 0);
    }

    #[test]
    fn users_who_queue_all_they_can_leave_room_for_the_first_push_of_another() {
        let shares = Shares::of(1_000);
        let names: Vec<String> = (0..4).map(|n| format!("crowd {n}")).collect();
        let mut crowd = Vec::new();
        for name in names.iter().cycle().take(4_000) {
            crowd.extend(shares.acquire(&user(name), 1));
        }
        assert_eq!(crowd.len(), 800, "a fifth for each, and one that is left");
        assert!(shares.acquire(&user("other"), 200).is_some());
    }

    #[test]
    fn one_user_takes_half_of_the_bytes_or_has_one_push() {
        let shares = Shares::of(1_000);
        let permit = |name: &str, bytes| shares.acquire(&user(name), bytes);
        let half = [permit("crowd", 300), permit("crowd", 200)];
        assert!(half.iter().all(Option::is_some));
        assert!(permit("crowd", 1).is_none());
        assert!(permit("other", 501).is_none(), "all are taken");
        assert!(permit("other", 500).is_some());
        drop(half);
        let only = permit("crowd", 2_000);
        assert!(only.is_some() && permit("other", 1).is_none());
    }
}
