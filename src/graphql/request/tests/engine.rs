//! An engine for any schema, with one function for all resolvers. It knows no defaults and validates nothing, so that
//! what arrives in a resolver is the door's work alone.

use std::sync::Arc;

use apollo_compiler::Schema;
use apollo_compiler::schema::{
    EnumType, ExtendedType, FieldDefinition, InputObjectType, InputValueDefinition, InterfaceType,
    ObjectType, Type, UnionType,
};
use async_graphql::ValidationMode;
use async_graphql::dynamic::{
    Enum, Field, FieldFuture, FieldValue, InputObject, InputValue, Interface, InterfaceField,
    Object, ResolverContext, Scalar, Schema as Engine, SchemaBuilder, Subscription,
    SubscriptionField, SubscriptionFieldFuture, TypeRef, Union,
};

/// The field that is resolved.
pub(super) struct Resolved {
    /// As in `Query.task`.
    pub(super) coordinate: String,
    pub(super) ty: Type,
}

/// Resolves every field; a subscription's root answers with one event.
pub(super) type Answer =
    Arc<dyn Fn(&Resolved, &ResolverContext<'_>) -> FieldValue<'static> + Send + Sync>;

pub(super) fn build(schema: &Schema, answer: Answer) -> SchemaBuilder {
    let root = |root: &Option<_>| root.as_ref().map(ToString::to_string);
    let mutation = root(&schema.schema_definition.mutation);
    let subscription = root(&schema.schema_definition.subscription);
    let builder = Engine::build("Query", mutation.as_deref(), subscription.as_deref())
        .validation_mode(ValidationMode::Fast);
    let own = schema.types.values().filter(|it| !it.is_built_in());
    own.fold(builder, |builder, definition| match definition {
        ExtendedType::Scalar(scalar) => builder.register(Scalar::new(scalar.name.as_str())),
        ExtendedType::Enum(values) => builder.register(enumeration(values)),
        ExtendedType::InputObject(input) => builder.register(input_object(input)),
        ExtendedType::Union(members) => builder.register(union(members)),
        ExtendedType::Interface(shared) => builder.register(interface(shared)),
        ExtendedType::Object(object) if Some(object.name.as_str()) == subscription.as_deref() => {
            builder.register(streams(object, &answer))
        }
        ExtendedType::Object(object) => builder.register(fields(object, &answer)),
    })
}

fn enumeration(definition: &EnumType) -> Enum {
    let values = definition.values.keys();
    values.fold(Enum::new(definition.name.as_str()), |it, value| {
        it.item(value.as_str())
    })
}

fn input_object(definition: &InputObjectType) -> InputObject {
    let fields = definition.fields.values().map(|field| input_value(field));
    let built = fields.fold(
        InputObject::new(definition.name.as_str()),
        InputObject::field,
    );
    match definition.directives.has("oneOf") {
        true => built.oneof(),
        false => built,
    }
}

fn union(definition: &UnionType) -> Union {
    let members = definition.members.iter();
    members.fold(Union::new(definition.name.as_str()), |it, member| {
        it.possible_type(member.as_str())
    })
}

fn interface(definition: &InterfaceType) -> Interface {
    let fields = definition.fields.values().map(|field| {
        let built = InterfaceField::new(field.name.as_str(), type_ref(&field.ty));
        let arguments = field.arguments.iter().map(|argument| input_value(argument));
        arguments.fold(built, InterfaceField::argument)
    });
    fields.fold(Interface::new(definition.name.as_str()), Interface::field)
}

fn fields(definition: &ObjectType, answer: &Answer) -> Object {
    let fields = definition.fields.values().map(|field| {
        let (resolved, answer) = (resolved(definition, field), Arc::clone(answer));
        let built = Field::new(field.name.as_str(), type_ref(&field.ty), move |context| {
            FieldFuture::Value(Some(answer(&resolved, &context)))
        });
        let arguments = field.arguments.iter().map(|argument| input_value(argument));
        arguments.fold(built, Field::argument)
    });
    let built = fields.fold(Object::new(definition.name.as_str()), Object::field);
    let interfaces = definition.implements_interfaces.iter();
    interfaces.fold(built, |it, name| it.implement(name.as_str()))
}

fn streams(definition: &ObjectType, answer: &Answer) -> Subscription {
    let fields = definition.fields.values().map(|field| {
        let (resolved, answer) = (resolved(definition, field), Arc::clone(answer));
        let built =
            SubscriptionField::new(field.name.as_str(), type_ref(&field.ty), move |context| {
                let event = answer(&resolved, &context);
                SubscriptionFieldFuture::new(async { Ok(futures_util::stream::iter([Ok(event)])) })
            });
        let arguments = field.arguments.iter().map(|argument| input_value(argument));
        arguments.fold(built, SubscriptionField::argument)
    });
    fields.fold(
        Subscription::new(definition.name.as_str()),
        Subscription::field,
    )
}

fn resolved(parent: &ObjectType, field: &FieldDefinition) -> Resolved {
    Resolved {
        coordinate: format!("{}.{}", parent.name, field.name),
        ty: field.ty.clone(),
    }
}

fn input_value(definition: &InputValueDefinition) -> InputValue {
    InputValue::new(definition.name.as_str(), type_ref(&definition.ty))
}

fn type_ref(ty: &Type) -> TypeRef {
    match ty {
        Type::Named(name) => TypeRef::named(name.as_str()),
        Type::NonNullNamed(name) => TypeRef::named_nn(name.as_str()),
        Type::List(item) => TypeRef::List(Box::new(type_ref(item))),
        Type::NonNullList(item) => {
            TypeRef::NonNull(Box::new(TypeRef::List(Box::new(type_ref(item)))))
        }
    }
}
