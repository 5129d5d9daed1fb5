//! How many connections each user holds open. `operation_limit` counts operations in the same way.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use tidegate_core::id::UserId;

use crate::{
    graphql::error::{ClientError, Code},
    lock::Mutex,
};

/// The connections that are open.
pub(super) struct UserConnections {
    per_user_max: usize,
    open: Mutex<HashMap<UserId, usize>>,
}

impl UserConnections {
    pub(super) fn new(per_user_max: usize) -> Arc<Self> {
        Arc::new(Self {
            per_user_max,
            open: Mutex::default(),
        })
    }

    /// Acquires a permit for one more connection of `user`.
    ///
    /// # Errors
    /// `TOO_MANY_CONNECTIONS`, when the user has as many as one may have.
    pub(super) fn enter(
        self: &Arc<Self>,
        user: &UserId,
    ) -> Result<UserConnectionPermit, ClientError> {
        self.try_enter(user).ok_or_else(|| {
            let max = self.per_user_max;
            let message =
                format!("A user may hold {max} connections; close one, then connect again.");
            ClientError::new(Code::TooManyConnections, message)
        })
    }

    /// The same, for callers that word the refusal themselves.
    pub(super) fn try_enter(self: &Arc<Self>, user: &UserId) -> Option<UserConnectionPermit> {
        let mut open = self.open.lock();
        let count = open.entry(user.clone()).or_default();
        if *count >= self.per_user_max {
            return None;
        }
        *count += 1;
        Some(UserConnectionPermit {
            connections: self.clone(),
            user: user.clone(),
        })
    }
}

/// The permit of one connection; released when dropped.
pub(super) struct UserConnectionPermit {
    connections: Arc<UserConnections>,
    user: UserId,
}

impl Drop for UserConnectionPermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.connections.open.lock().entry(self.user.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_places_of_their_own_and_gives_them_back() {
        let connections = UserConnections::new(2);
        let [alice, bob] = ["alice", "bob"].map(|name| UserId::new(name).unwrap());
        let first = connections.enter(&alice).ok();
        let second = connections.enter(&alice).ok();
        assert!(first.is_some() && second.is_some());
        let refused = connections.enter(&alice).err().unwrap();
        assert_eq!(refused.code, Code::TooManyConnections);
        let other = connections.enter(&bob).ok();
        assert!(other.is_some());
        drop(first);
        let again = connections.enter(&alice).ok();
        assert!(again.is_some());
        drop((second, again, other));
        assert!(
            connections.open.lock().is_empty(),
            "nobody is remembered for ever"
        );
    }
}
