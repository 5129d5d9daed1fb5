//! Connections: pages of a list, with cursors to continue from. Each list of the API is one.

use std::{borrow::Cow, marker::PhantomData, sync::Arc};

use crate::graphql::{
    shape::{list, nullable, required},
    table::{Node, ObjectType},
};

/// A page of a list.
pub(in crate::graphql) trait Connection: Node {
    /// The listed type.
    type Item: Node;

    fn items<'n>(page: Self::Ref<'n>) -> Vec<<Self::Item as Node>::Ref<'n>>;

    fn end<'n>(page: Self::Ref<'n>) -> PageEnd<'n>;
}

/// An item that has a cursor of its own.
pub(in crate::graphql) trait Listed: Node {
    fn cursor(item: Self::Ref<'_>) -> String;
}

/// The end of a page.
#[derive(Clone, Copy)]
pub(in crate::graphql) struct PageEnd<'n> {
    pub(super) has_next: bool,
    pub(super) cursor: Option<&'n str>,
}

pub(super) struct PageInfo;

impl Node for PageInfo {
    type Ref<'n> = PageEnd<'n>;
}

/// An item and its cursor.
pub(super) struct Edge<N>(PhantomData<fn() -> N>);

impl<N: Node> Node for Edge<N> {
    type Ref<'n> = N::Ref<'n>;
}

pub(super) fn page_info() -> ObjectType<PageInfo> {
    ObjectType::<PageInfo>::new("PageInfo", "Where a page ends.")
        .leaf(
            "hasNextPage",
            required("Boolean"),
            "Whether there may be more behind `endCursor`.",
            |end, text| text.json(&end.has_next),
        )
        .leaf(
            "endCursor",
            nullable("String"),
            "What `after` takes to go on.",
            |end, text| text.json(&end.cursor),
        )
}

impl<C: Connection> ObjectType<C> {
    /// The field `edges`.
    pub(super) fn edges(
        self,
        edge_type: &str,
        description: impl Into<Cow<'static, str>>,
        edge: ObjectType<Edge<C::Item>>,
    ) -> Self {
        self.children(
            "edges",
            list(edge_type),
            description,
            edge,
            |page, edges| edges.list(C::items(page)),
        )
    }

    /// The fields `nodes` and `pageInfo`.
    pub(super) fn nodes(
        self,
        item_type: &str,
        description: impl Into<Cow<'static, str>>,
        item: &Arc<ObjectType<C::Item>>,
        page_info: &Arc<ObjectType<PageInfo>>,
    ) -> Self {
        self.children(
            "nodes",
            list(item_type),
            description,
            Arc::clone(item),
            |page, nodes| nodes.list(C::items(page)),
        )
        .children(
            "pageInfo",
            required("PageInfo"),
            "Where the page ends.",
            Arc::clone(page_info),
            |page, info| info.one(C::end(page)),
        )
    }
}

impl<N: Listed> ObjectType<Edge<N>> {
    /// The fields `cursor` and `node`.
    pub(super) fn cursor_and_node(
        self,
        item_type: &str,
        description: impl Into<Cow<'static, str>>,
        item: &Arc<ObjectType<N>>,
    ) -> Self {
        self.leaf(
            "cursor",
            required("String"),
            "Its place: what `after` takes.",
            |item, text| text.string(&N::cursor(item)),
        )
        .children(
            "node",
            required(item_type),
            description,
            Arc::clone(item),
            |of, node| node.one(of),
        )
    }
}
