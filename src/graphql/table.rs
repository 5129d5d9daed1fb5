//! The types of the API as tables of rows. One row holds a field's name, type, description and how it is written. The
//! schema is registered from rows, and plans of answers are compiled from them.
//!
//! `types/document.rs` makes the types of the model instead.

use std::{borrow::Cow, sync::Arc};

use async_graphql::dynamic::{
    Enum, EnumItem, Field, FieldFuture, InputValue, Object, SchemaBuilder, TypeRef,
};

use super::{
    render::{Key, RenderResult, Text, fields_of},
    request::SelectedField,
};

/// A type of objects in answers.
pub(super) trait Node: 'static {
    /// The value from which its fields are written.
    type Ref<'n>: Copy;
}

/// The table of one type.
pub(super) struct ObjectType<N: Node> {
    name: Arc<str>,
    description: Cow<'static, str>,
    rows: Vec<FieldRow<N>>,
    /// The types of its fields that are tables too.
    below: Vec<Arc<dyn Registered>>,
}

/// A table of any type.
pub(super) trait Registered: Send + Sync {
    fn register(&self, builder: SchemaBuilder) -> SchemaBuilder;
}

/// One field of a type.
struct FieldRow<N: Node> {
    name: &'static str,
    ty: TypeRef,
    description: Cow<'static, str>,
    arguments: fn() -> Vec<InputValue>,
    compile: Compile<N>,
}

/// Compiles the selection of a field.
type Compile<N> = Box<dyn Fn(&SelectedField) -> WriteFn<N> + Send + Sync>;

/// How a field with a compiled selection is written.
pub(super) type WriteFn<N> =
    Arc<dyn for<'n> Fn(<N as Node>::Ref<'n>, &mut Text) -> RenderResult + Send + Sync>;

/// The selection of an object type: the fields of each object, in order.
pub(super) struct ObjectPlan<N: Node> {
    parts: Vec<(Key, PlanPart<N>)>,
}

enum PlanPart<N: Node> {
    TypeName(Arc<str>),
    Field { required: bool, write: WriteFn<N> },
}

/// The place of objects of the type `N` in a field.
pub(super) struct Children<'c, N: Node> {
    plan: &'c ObjectPlan<N>,
    text: &'c mut Text,
}

impl<N: Node> ObjectType<N> {
    pub(super) fn new(
        name: impl Into<Arc<str>>,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            rows: Vec::new(),
            below: Vec::new(),
        }
    }

    /// A field without fields of its own.
    pub(super) fn leaf(
        self,
        name: &'static str,
        ty: TypeRef,
        description: impl Into<Cow<'static, str>>,
        write: impl for<'n> Fn(N::Ref<'n>, &mut Text) + Send + Sync + 'static,
    ) -> Self {
        let write: WriteFn<N> = Arc::new(move |node, text| {
            write(node, text);
            Ok(())
        });
        self.field(name, ty, description, move |_| Arc::clone(&write))
    }

    /// A field of objects of the type `child`: one, several, or none.
    pub(super) fn children<C: Node>(
        self,
        name: &'static str,
        ty: TypeRef,
        description: impl Into<Cow<'static, str>>,
        child: impl Into<Arc<ObjectType<C>>>,
        write: impl for<'n, 'c> Fn(N::Ref<'n>, Children<'c, C>) -> RenderResult + Send + Sync + 'static,
    ) -> Self {
        let (child, write) = (child.into(), Arc::new(write));
        let below = Arc::clone(&child);
        let table = self.field(name, ty, description, move |field| {
            let (plan, write) = (child.compile(field), Arc::clone(&write));
            Arc::new(move |node, text| write(node, Children { plan: &plan, text }))
        });
        table.of_type(&below)
    }

    /// The last field is of this type.
    pub(super) fn of_type<C: Node>(mut self, child: &Arc<ObjectType<C>>) -> Self {
        let child = Arc::clone(child);
        self.below.push(child);
        self
    }

    /// A field whose selection `compile` compiles.
    pub(super) fn field(
        mut self,
        name: &'static str,
        ty: TypeRef,
        description: impl Into<Cow<'static, str>>,
        compile: impl Fn(&SelectedField) -> WriteFn<N> + Send + Sync + 'static,
    ) -> Self {
        self.rows.push(FieldRow {
            name,
            ty,
            description: description.into(),
            arguments: Vec::new,
            compile: Box::new(compile),
        });
        self
    }

    /// The arguments of the last field.
    pub(super) fn arguments(mut self, arguments: fn() -> Vec<InputValue>) -> Self {
        let row = self.rows.last_mut().expect("arguments follow their field");
        row.arguments = arguments;
        self
    }

    /// The plan for the selection of `field`'s objects.
    pub(super) fn compile(&self, field: &SelectedField) -> ObjectPlan<N> {
        let fields = fields_of(&field.below, &self.name);
        let parts = fields.iter().map(|field| {
            let part = match self.rows.iter().find(|row| field.name == row.name) {
                Some(row) => PlanPart::Field {
                    required: matches!(row.ty, TypeRef::NonNull(_)),
                    write: (row.compile)(field),
                },
                None => PlanPart::TypeName(Arc::clone(&self.name)),
            };
            (Key::new(field.key.as_str()), part)
        });
        ObjectPlan {
            parts: parts.collect(),
        }
    }
}

impl<N: Node> Registered for ObjectType<N> {
    /// Adds the type in async-graphql's form, without resolvers, and those below it. One that several have is the same
    /// each time.
    fn register(&self, builder: SchemaBuilder) -> SchemaBuilder {
        let object = Object::new(&*self.name).description(&*self.description);
        let object = self.rows.iter().fold(object, |object, row| {
            let field = Field::new(row.name, row.ty.clone(), |_| FieldFuture::Value(None));
            let field = field.description(&*row.description);
            object.field((row.arguments)().into_iter().fold(field, Field::argument))
        });
        let below = self.below.iter();
        below.fold(builder.register(object), |builder, table| {
            table.register(builder)
        })
    }
}

impl<N: Node> ObjectPlan<N> {
    pub(super) fn write(&self, node: N::Ref<'_>, text: &mut Text) -> RenderResult {
        text.object(&self.parts, |text, key, part| match part {
            PlanPart::TypeName(name) => {
                text.string(name);
                Ok(())
            }
            PlanPart::Field { required, write } => {
                text.position(key, *required, |text| write(node, text))
            }
        })
    }
}

impl<N: Node> Children<'_, N> {
    /// One object.
    pub(super) fn one(self, node: N::Ref<'_>) -> RenderResult {
        self.plan.write(node, self.text)
    }

    /// One object, or null.
    pub(super) fn optional(self, node: Option<N::Ref<'_>>) -> RenderResult {
        match node {
            Some(node) => self.one(node),
            None => self.text.nothing(),
        }
    }

    /// A list of objects.
    pub(super) fn list<'n>(self, nodes: impl IntoIterator<Item = N::Ref<'n>>) -> RenderResult {
        self.text
            .list(nodes, |text, node| self.plan.write(node, text))
    }
}

/// An enum of the API: the names of its values, and their descriptions.
pub(super) struct ApiEnum<T: 'static> {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) values: &'static [(T, &'static str, &'static str)],
}

impl<T: PartialEq> ApiEnum<T> {
    /// The name of `value`.
    pub(super) fn word(&self, value: &T) -> &'static str {
        let row = self.values.iter().find(|(known, ..)| known == value);
        row.expect("the table has a row for each value").1
    }

    /// The value of the name `word`.
    pub(super) fn value(&self, word: &str) -> Option<&T> {
        let row = self.values.iter().find(|(_, known, _)| *known == word);
        row.map(|(value, ..)| value)
    }

    pub(super) fn register(&self) -> Enum {
        let empty = Enum::new(self.name).description(self.description);
        let values = self.values.iter();
        values.fold(empty, |built, (_, name, meaning)| {
            built.item(EnumItem::new(*name).description(*meaning))
        })
    }
}
