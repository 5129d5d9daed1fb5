//! The sync rules of Tidegate.
pub mod change;
pub mod checkpoint;
pub mod collect;
pub mod decide;
pub mod entry;
pub mod grant;
pub mod id;
pub mod model;
pub mod page;
pub mod push;
pub mod transaction;
pub mod value;
