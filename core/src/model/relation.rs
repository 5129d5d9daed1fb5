//! Relations of documents: those that one names, and those that name it. They show documents that are stored elsewhere.

use crate::id::TypeName;

/// `@reference(by)`: the document whose id is in another field, or the documents whose ids are there.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The field that shows the document.
    pub name: String,
    /// Its description in the SDL.
    pub description: Option<String>,
    /// The reason of `@deprecated`, if it is.
    pub deprecated: Option<String>,
    /// It shows no document any more (`@retired`).
    pub retired: bool,
    /// The type of the document it shows.
    pub target: TypeName,
    /// The stored name of the field that holds its id.
    pub by: String,
    /// The field holds a list of ids, and this one shows their documents.
    pub is_list: bool,
}

/// `@reverse(by)`: the documents that refer to this one.
#[derive(Debug, Clone)]
pub struct Reverse {
    /// The field that lists them.
    pub name: String,
    /// Its description in the SDL.
    pub description: Option<String>,
    /// The reason of `@deprecated`, if it is.
    pub deprecated: Option<String>,
    /// It shows nothing any more (`@retired`).
    pub retired: bool,
    /// The type of the documents.
    pub target: TypeName,
    /// The stored name of their field that holds this document's id.
    pub by: String,
    /// Only documents in the same scope are listed.
    pub same_scope: bool,
}
