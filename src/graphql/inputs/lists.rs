//! Conditions and orders of lists: their input types, and how they are read. Only fields that an `@index` names are there.
//!
//! An operand that is null, and a filter without an operator, are mistakes: a value that an app forgot must not find all.

use std::collections::BTreeSet;

use async_graphql::{
    Value,
    dynamic::{Enum, EnumItem, InputObject, InputValue, SchemaBuilder, TypeRef},
};
use tidegate_core::{
    model::{DocumentType, Field, FieldType, Model, Scalar, Shape},
    query::{Column, Condition, IntervalSet, KeyPart, ListQuery},
    value::json,
};

use super::read::{Object, json_of};
use crate::graphql::{
    error::{ClientError, Code},
    shape::{argument, nullable, one, renamed},
};

/// The deepest nesting of conditions.
const DEPTH_MAX: usize = 16;

/// The suffixes of orders.
const ASCENDING: &str = "ASC";
const DESCENDING: &str = "DESC";

pub(super) fn register(builder: SchemaBuilder, model: &Model) -> SchemaBuilder {
    let mut filters: BTreeSet<FilterKind> = BTreeSet::new();
    let mut builder = builder;
    for document_type in &model.types {
        filters.insert(FilterKind::of(&id_type()));
        filters.extend(indexed(document_type).map(|field| FilterKind::of(&field.ty)));
        builder = builder
            .register(where_input(document_type))
            .register(order_enum(document_type));
    }
    let filters = filters.iter();
    filters.fold(builder, |builder, filter| builder.register(filter.input()))
}

/// The arguments of a list of a type.
pub(in crate::graphql) fn arguments(document_type: &DocumentType) -> Vec<InputValue> {
    let name = &document_type.name;
    vec![
        argument(
            "where",
            nullable(&format!("{name}Where")),
            "Which documents; left out, all that you may see.",
        ),
        argument(
            "orderBy",
            TypeRef::named_nn_list(format!("{name}Order")),
            "By which fields they are ordered, all in one direction. Ties are ordered by id.",
        ),
        argument(
            "first",
            nullable("Int"),
            "The most documents of a page, from 1 to 1000.",
        )
        .default_value(FIRST_DEFAULT),
        argument(
            "after",
            nullable("String"),
            "Where to go on: the `endCursor` of the page before.",
        ),
    ]
}

/// The documents of a page if the client does not say.
pub(in crate::graphql) const FIRST_DEFAULT: i32 = 50;

/// The fields that an index of the type names, in the order of the model.
fn indexed(document_type: &DocumentType) -> impl Iterator<Item = &Field> {
    let is_indexed = |field: &&Field| {
        let mut indexes = document_type.list_indexes().flatten();
        indexes.any(|stored| *stored == field.stored_as)
    };
    document_type.fields.iter().filter(is_indexed)
}

fn where_input(document_type: &DocumentType) -> InputObject {
    let name = format!("{}Where", document_type.name);
    let input = InputObject::new(&name)
        .description(format!(
            "What has to hold of {}. All conditions of it hold.",
            one(document_type.name.as_str())
        ))
        .field(argument(
            "and",
            TypeRef::named_nn_list(&name),
            "All of these hold.",
        ))
        .field(argument(
            "or",
            TypeRef::named_nn_list(&name),
            "At least one of these holds. Without any, none does.",
        ))
        .field(argument("not", nullable(&name), "This does not hold."))
        .field(filter_of("id", &id_type()));
    let fields = indexed(document_type);
    let filters = fields.flat_map(|field| {
        let filter = |name: &str| filter_of(name, &field.ty);
        let before = field.renamed_from.as_deref().filter(|name| !is_joint(name));
        let before = before.map(|name| filter(name).deprecation(Some(&renamed(&field.name))));
        let now = (!is_joint(&field.name)).then(|| filter(&field.name));
        now.into_iter().chain(before)
    });
    filters.fold(input, InputObject::field)
}

/// Whether conditions are joined under this name. A field that has it is in no condition.
fn is_joint(name: &str) -> bool {
    ["and", "or", "not"].contains(&name)
}

fn filter_of(name: &str, ty: &FieldType) -> InputValue {
    InputValue::new(name, nullable(&FilterKind::of(ty).name()))
        .description(format!("What holds of `{name}`."))
}

fn order_enum(document_type: &DocumentType) -> Enum {
    let description = format!("The orders of {} lists.", document_type.name);
    let order = Enum::new(format!("{}Order", document_type.name)).description(description);
    let fields = indexed(document_type).filter(|field| !is_list(&field.ty));
    let names = fields.flat_map(|field| {
        let before = field
            .renamed_from
            .as_deref()
            .map(|from| (from, Some(renamed(&field.name))));
        [(field.name.as_str(), None)].into_iter().chain(before)
    });
    [("id", None)]
        .into_iter()
        .chain(names)
        .fold(order, |order, (name, deprecation)| {
            let item = |suffix: &str, direction: &str| {
                let item = EnumItem::new(format!("{name}_{suffix}"));
                let item = item.description(format!("By `{name}`, {direction}."));
                match &deprecation {
                    Some(reason) => item.deprecation(Some(reason)),
                    None => item,
                }
            };
            order
                .item(item(ASCENDING, "the lowest first; null comes before all"))
                .item(item(DESCENDING, "the highest first; null comes after all"))
        })
}

fn id_type() -> FieldType {
    FieldType {
        shape: Shape::Scalar(Scalar::Id),
        required: true,
    }
}

fn is_list(ty: &FieldType) -> bool {
    matches!(ty.shape, Shape::List(_))
}

/// A type of conditions on fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FilterKind {
    /// The name of the scalar or the enum.
    of: String,
    is_list: bool,
}

impl FilterKind {
    fn of(ty: &FieldType) -> Self {
        let of = match ty.leaf() {
            Shape::Scalar(scalar) => scalar.name().to_owned(),
            Shape::Enum(name) | Shape::Embedded(name) => name.clone(),
            Shape::List(_) => String::new(),
        };
        Self {
            of,
            is_list: is_list(ty),
        }
    }

    fn name(&self) -> String {
        let suffix = if self.is_list { "ListFilter" } else { "Filter" };
        format!("{}{suffix}", self.of)
    }

    fn input(&self) -> InputObject {
        let Self { of, is_list } = self;
        if *is_list {
            return InputObject::new(self.name())
                .description("A condition on a list.")
                .field(argument("contains", nullable(of), "It has this item."));
        }
        let input = InputObject::new(self.name())
            .description("Conditions on a value; all of them hold. No operand is null: `isNull` finds what has no value.")
            .field(argument("eq", nullable(of), "It is this."))
            .field(argument("ne", nullable(of), "It is not this, or null."))
            .field(argument("in", TypeRef::named_nn_list(of.as_str()), "It is one of these."));
        let orders = [
            ("lt", "It is lower."),
            ("lte", "It is lower or the same."),
            ("gt", "It is higher."),
            ("gte", "It is higher or the same."),
        ];
        let orders = orders.into_iter().filter(|_| of != "Boolean");
        let input = orders.fold(input, |input, (name, meaning)| {
            input.field(argument(name, nullable(of), meaning))
        });
        let input = match of.as_str() {
            "ID" | "String" => {
                input.field(argument("startsWith", nullable("String"), "It begins so."))
            }
            _ => input,
        };
        input.field(argument(
            "isNull",
            nullable("Boolean"),
            "Whether it has no value.",
        ))
    }
}

/// Reads which documents are asked for, and in which order.
///
/// # Errors
/// `BAD_USER_INPUT` with the path, `NOT_INDEXED` or `QUERY_TOO_LARGE`.
pub(in crate::graphql) fn query(
    model: &Model,
    document_type: &DocumentType,
    conditions: Option<&Value>,
    orders: Option<&Value>,
) -> Result<ListQuery, ClientError> {
    let reader = WhereReader {
        model,
        document_type,
    };
    let condition = match conditions {
        None => Condition::All(Vec::new()),
        Some(value) => reader.conditions(value, "where", 0)?,
    };
    let (order, descending) = match orders {
        None => (Vec::new(), false),
        Some(Value::List(orders)) => order(document_type, orders)?,
        Some(_) => return Err(null_at("orderBy")),
    };
    Ok(ListQuery {
        condition,
        order,
        descending,
    })
}

fn order(
    document_type: &DocumentType,
    orders: &[Value],
) -> Result<(Vec<Column>, bool), ClientError> {
    let (mut columns, mut descending) = (Vec::<Column>::new(), None);
    for order in orders {
        let name = match order {
            Value::Enum(name) => name.as_str(),
            Value::String(name) => name,
            _ => return Err(null_at("orderBy")),
        };
        let (field, direction) = name.rsplit_once('_').unwrap_or((name, ASCENDING));
        let is_descending = direction == DESCENDING;
        if *descending.get_or_insert(is_descending) != is_descending {
            return Err(ClientError::new(
                Code::NotIndexed,
                "No index can serve this list: an index is read in one direction, so that all of `orderBy` has one.",
            ));
        }
        let column = column(document_type, field);
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok((columns, descending.unwrap_or_default()))
}

/// Validation accepts no other names.
fn column(document_type: &DocumentType, name: &str) -> Column {
    let mut fields = document_type.fields.iter();
    match fields.find(|field| field.is_called(name)) {
        Some(field) => Column::new(&field.stored_as),
        None => Column::id(),
    }
}

struct WhereReader<'m> {
    model: &'m Model,
    document_type: &'m DocumentType,
}

impl WhereReader<'_> {
    fn conditions(
        &self,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Result<Condition, ClientError> {
        let Value::Object(conditions) = value else {
            return Err(null_at(path));
        };
        if depth > DEPTH_MAX {
            return Err(ClientError::new(
                Code::QueryTooLarge,
                format!("Conditions nest at most {DEPTH_MAX} levels deep."),
            ));
        }
        let mut all = Vec::with_capacity(conditions.len());
        for (name, value) in conditions {
            let path = format!("{path}.{name}");
            all.push(match name.as_str() {
                "and" => Condition::All(self.several(value, &path, depth)?),
                "or" => Condition::Any(self.several(value, &path, depth)?),
                "not" => Condition::Not(Box::new(self.conditions(value, &path, depth + 1)?)),
                name => self.on_field(name, value, &path)?,
            });
        }
        Ok(Condition::All(all))
    }

    fn several(
        &self,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Result<Vec<Condition>, ClientError> {
        let Value::List(items) = value else {
            return Err(null_at(path));
        };
        let items = items.iter().enumerate();
        items
            .map(|(place, item)| self.conditions(item, &format!("{path}[{place}]"), depth + 1))
            .collect()
    }

    fn on_field(&self, name: &str, value: &Value, path: &str) -> Result<Condition, ClientError> {
        let Value::Object(filter) = value else {
            return Err(null_at(path));
        };
        if filter.is_empty() {
            let message = format!("`{path}` names no operator. Left out, it holds of all.");
            return Err(ClientError::new(Code::BadUserInput, message));
        }
        let field = self
            .document_type
            .fields
            .iter()
            .find(|it| it.is_called(name));
        let ty = field.map_or_else(id_type, |field| field.ty.clone());
        let column = column(self.document_type, name);
        self.filter(&column, &ty, filter, path)
    }

    fn filter(
        &self,
        column: &Column,
        ty: &FieldType,
        filter: &Object,
        path: &str,
    ) -> Result<Condition, ClientError> {
        let mut set = IntervalSet::all();
        for (operator, operand) in filter {
            let path = format!("{path}.{operator}");
            let one = match (operator.as_str(), operand) {
                ("contains", operand) => {
                    let item = self.operand(ty, operand, &path)?;
                    return Ok(Condition::Contains(column.clone(), item));
                }
                ("isNull", Value::Boolean(true)) => IntervalSet::null(),
                ("isNull", Value::Boolean(false)) => IntervalSet::null().complement(),
                ("startsWith", Value::String(prefix)) => IntervalSet::beginning_with(prefix),
                ("in", Value::List(operands)) => {
                    let operands = operands.iter();
                    let values = operands.map(|operand| self.operand(ty, operand, &path));
                    let values: Vec<KeyPart> = values.collect::<Result<_, _>>()?;
                    IntervalSet::points_of(&values)
                }
                ("isNull" | "startsWith" | "in", _) => return Err(null_at(&path)),
                (operator, operand) => compared(operator, &self.operand(ty, operand, &path)?),
            };
            set = set.intersection(&one);
        }
        Ok(Condition::In(column.clone(), set))
    }

    fn operand(&self, ty: &FieldType, operand: &Value, path: &str) -> Result<KeyPart, ClientError> {
        if *operand == Value::Null {
            return Err(null_at(path));
        }
        let ty = match &ty.shape {
            Shape::List(item) => item,
            _ => ty,
        };
        let read = json::decode(self.model, ty, json_of(operand.clone()), path);
        let value = read.map_err(|error| {
            let message = format!("`{}` {}.", error.path, error.problem);
            ClientError::new(Code::BadUserInput, message)
        });
        Ok(KeyPart::from(value?))
    }
}

fn compared(operator: &str, operand: &KeyPart) -> IntervalSet {
    match operator {
        "eq" => IntervalSet::point(operand),
        "ne" => IntervalSet::point(operand).complement(),
        "lt" => IntervalSet::below(operand, false),
        "lte" => IntervalSet::below(operand, true),
        "gt" => IntervalSet::above(operand, false),
        "gte" => IntervalSet::above(operand, true),
        _ => IntervalSet::none(),
    }
}

fn null_at(path: &str) -> ClientError {
    let message = format!(
        "`{path}` is null, and an operand may not be: leave it out, or ask with `isNull` for what has no value."
    );
    ClientError::new(Code::BadUserInput, message)
}
