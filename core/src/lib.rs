//! The sync rules of Tidegate.
