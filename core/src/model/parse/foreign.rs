//! Spellings of other tools (AppSync and Amplify, Prisma, Realm, Hasura, Dgraph, Neo4j, Apollo Federation), each with
//! what to write in a model instead. The readers of directives, types and names find that they are mistakes.

use apollo_compiler::ast::DirectiveLocation;

/// What to write instead of the directive `name` at `place`, if another tool has it.
pub(super) fn directive(name: &str, place: DirectiveLocation) -> Option<&'static str> {
    let hint = match name.to_ascii_lowercase().as_str() {
        "db" | "map" if place == DirectiveLocation::Object => {
            "write @collection(name: …), which names the collection of the type's documents"
        }
        "model" | "node" | "entity" | "table" | "embedded" => {
            "write @collection(name: …) and @scope(by: …) on a type whose documents are synced; a type without them is embedded"
        }
        "auth"
        | "authorization"
        | "authenticated"
        | "policy"
        | "requiresscopes"
        | "secret"
        | "aws_auth"
        | "aws_api_key"
        | "aws_iam"
        | "aws_oidc"
        | "aws_cognito_user_pools" => {
            "say who sees what by scopes: `extend schema @grant(scope: \"user:{sub}\", access: WRITE)` and @scope(by: \"user:{ownerId}\") on the type"
        }
        "hasmany" | "manytomany" | "hasinverse" => {
            "remove it, with its field: documents refer one by one, by an id in the other type with @reference(by: …)"
        }
        "belongsto" | "hasone" | "relation" | "relationship" | "connection" | "link" => {
            "store the other document's id in a field such as `projectId: ID`, and write `project: Project @reference(by: \"projectId\")`"
        }
        "search" | "searchable" | "fulltext" => {
            "remove it: such indexes are made in the database; a change that a unique index refuses is REJECTED with INVALID_VALUE"
        }
        "id" | "primarykey" | "key" => {
            "remove it: a document's key is its field `id: ID!`; @collection(idType: …) says how it is stored"
        }
        "map" | "mapsto" | "alias" | "column" => {
            "write @stored(as: …), which names the field in the stored document"
        }
        "createdat" => "write @server(value: CREATED_AT) on a field of type DateTime",
        "updatedat" => "write @server(value: UPDATED_AT) on a field of type DateTime",
        "createdby" => "write @server(value: CREATED_BY) on a field of type ID",
        "updatedby" => "write @server(value: UPDATED_BY) on a field of type ID",
        "timestamp" | "date" | "versioned" | "version" => {
            "remove it: the generated API has syncVersion and syncChangedAt; other times are fields of type DateTime, kept by the gateway with @server"
        }
        "readonly" => "write @readOnly",
        "db" | "length" | "range" | "validate" | "pattern" | "email" | "min" | "max" => {
            "bounds of a value are written as @constraint(…), such as @constraint(maxLength: 200)"
        }
        "ignore" | "transient" | "cypher" | "custom" | "lambda" | "function" | "http"
        | "resolver" | "external" | "requires" | "provides" | "shareable" | "tag"
        | "inaccessible" => "remove it: a model says what is stored, and no field is computed",
        _ => return None,
    };
    Some(hint)
}

/// What to write instead of the type `name`, if another tool has it.
pub(super) fn type_name(name: &str) -> Option<&'static str> {
    let hint = match name.to_ascii_lowercase().as_str() {
        "date" | "awsdate" | "localdate" | "fulldate" | "calendardate" => {
            "write Date for a day of the calendar, or DateTime for an instant"
        }
        "awsdatetime" | "timestamp" | "awstimestamp" | "timestamptz" | "isodate" | "instant"
        | "iso8601datetime" | "zoneddatetime" | "offsetdatetime" | "localdatetime" => {
            "write DateTime, an instant in RFC 3339"
        }
        "time" | "awstime" | "localtime" | "duration" | "interval" => {
            "write String for a time of day, or Int for seconds"
        }
        "awsjson" | "jsonobject" | "jsonb" | "object" | "any" | "map" | "mixed" | "record" => {
            "write JSON, or an embedded type if the fields are known"
        }
        "awsemail" | "email" | "emailaddress" => "write String @constraint(format: EMAIL)",
        "awsurl" | "url" | "uri" => "write String @constraint(format: URI)",
        "awsphone" | "phonenumber" | "awsipaddress" | "ipaddress" | "text" | "varchar" | "char" => {
            "write String, with a @constraint if its form matters"
        }
        "uuid" | "guid" => {
            "write ID, with @bson(type: UUID) if it is stored as one; a document's own `id` is of type ID, with @collection(idType: UUID)"
        }
        "objectid" | "cuid" | "key" => {
            "write ID @bson(type: OBJECT_ID); a document's own `id` is of type ID, with @collection(idType: OBJECT_ID) for ObjectIds"
        }
        "bigint" | "int64" | "int8" | "smallint" | "integer" | "int32" | "number" => {
            "write Int for 32 bits, Long for 64, or Float"
        }
        "double" | "real" | "float8" | "float4" => "write Float, which has 64 bits",
        "decimal128" | "bigdecimal" | "numeric" | "money" => "write Decimal, of up to 34 digits",
        "bool" => "write Boolean",
        "binary" | "blob" | "data" | "buffer" | "base64" | "bytea" | "upload" => "write Bytes",
        _ => return None,
    };
    Some(hint)
}

/// The hint for a field that documents have in their database or in another library.
pub(super) fn field_name(name: &str) -> Option<&'static str> {
    match name {
        "_id" => Some(
            "write `id: ID!`: it is the document's `_id`, and @collection(idType: OBJECT_ID) says that it is an ObjectId; in an embedded type, give it a name of its own with @stored(as: \"_id\") @bson(type: OBJECT_ID)",
        ),
        "__v" | "_partition" | "_version" | "_deleted" | "_lastChangedAt" => Some(
            "leave it out: fields that a model does not name stay in the stored document, and the generated API has versions of its own",
        ),
        _ => None,
    }
}
