//! The OpenAPI 3.1 document, made from the table of routes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ROOT;
use super::routes::{Field, Route};
use super::table::ROUTES;
use crate::store::AccountRole;

/// The whole document.
pub(super) fn document() -> Value {
    let mut methods: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let path = methods.entry(format!("{ROOT}{}", route.path)).or_default();
        path.insert(route.method.as_str().to_lowercase(), operation(route));
    }
    let mut paths: Map<String, Value> = methods.into_iter().map(|(path, methods)| (path, methods.into())).collect();
    paths.insert(format!("{ROOT}/sessions"), sessions());
    paths.insert(format!("{ROOT}/openapi.json"), own_path());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Admin API of outpost-central",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the command line of outpost-central does, as JSON over HTTP. Version 0: it may change. The same code \
                carries out both; each change leaves a row of the audit log.",
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The secret of a token (`outpost-central token add`), or what POST /admin/v0/sessions gave.",
                },
            },
            "responses": {
                "Error": {
                    "description": "400 malformed, 401 not signed in, 403 not permitted or locked, 404 unknown, 409 a rule says no, \
                        429 too many wrong passwords, 503 busy. The code is stable.",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
                },
            },
            "schemas": {
                "Error": object(&[
                    ("code", json!({ "type": "string", "description": "A stable name in snake_case." })),
                    ("message", json!({ "type": "string", "description": "What was wrong, as a sentence." })),
                    ("what_to_do", json!({ "type": "string" })),
                ]),
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let path = route
        .path_fields()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = route.fields.iter().filter(|_| route.has_query()).map(|field| {
        json!({
            "name": field.name,
            "in": "query",
            "required": field.is_required,
            "description": field.about,
            "schema": field.kind.schema(),
        })
    });
    let parameters: Vec<Value> = path.chain(in_query).collect();
    let has_body = !route.has_query() && !route.fields.is_empty();
    let request_body = has_body.then(|| ("requestBody".to_owned(), body(route.fields)));
    let operation = json!({
        "operationId": operation_id(route),
        "summary": route.about,
        "parameters": parameters,
        "responses": responses("What the verb found or did."),
        // For tools; the sentence is for people.
        "x-role": route.role().as_str(),
        "description": match route.role() {
            AccountRole::Viewer => "For viewers and administrators.",
            AccountRole::Administrator => "For administrators.",
        },
    });
    fields_of(operation).into_iter().chain(request_body).collect()
}

/// `get-sites-site`: method and path.
fn operation_id(route: &Route) -> String {
    let words = route.path.split('/').filter(|word| !word.is_empty()).map(|word| word.trim_matches(['{', '}']));
    std::iter::once(route.method.as_str().to_lowercase().as_str()).chain(words).collect::<Vec<_>>().join("-")
}

fn body(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let about = ("description".to_owned(), Value::from(field.about));
            (field.name.to_owned(), fields_of(field.kind.schema()).into_iter().chain([about]).collect())
        })
        .collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    json!({ "required": !required.is_empty(), "content": { "application/json": { "schema": schema } } })
}

fn responses(what: &str) -> Value {
    json!({
        "200": { "description": what, "content": { "application/json": { "schema": { "type": "object" } } } },
        "default": { "$ref": "#/components/responses/Error" },
    })
}

fn fields_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn object(fields: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn sessions() -> Value {
    let text = json!({ "type": "string" });
    let asked = object(&[("name", text.clone()), ("password", text.clone())]);
    json!({
        "get": {
            "operationId": "get-sessions",
            "summary": "Who asks: actor and role, whether there is an authorisation code, and until when it was given.",
            "responses": responses("Who asks."),
        },
        "post": {
            "operationId": "post-sessions",
            "summary": "Sign in with an account: the answer has a token that counts for people.session_minutes.",
            "security": [],
            "requestBody": { "required": true, "content": { "application/json": { "schema": asked } } },
            "responses": {
                "200": {
                    "description": "Signed in.",
                    "content": { "application/json": { "schema": object(&[
                        ("token", text.clone()),
                        ("account", text.clone()),
                        ("role", text),
                        ("minutes", json!({ "type": "integer" })),
                    ]) } },
                },
                "default": { "$ref": "#/components/responses/Error" },
            },
        },
        "delete": {
            "operationId": "delete-sessions",
            "summary": "Sign out: the token that is sent counts no more.",
            "responses": responses("Signed out."),
        },
    })
}

fn own_path() -> Value {
    json!({
        "get": {
            "operationId": "get-openapi.json",
            "summary": "This document.",
            "security": [],
            "responses": responses("This document."),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_stands_in_the_document_once_with_its_fields_and_role() {
        let document = document();

        let mut ids = BTreeSet::new();
        for route in ROUTES {
            let operation = &document["paths"][format!("{ROOT}{}", route.path)][route.method.as_str().to_lowercase()];
            assert_eq!(operation["x-role"], route.role().as_str(), "{} {}", route.method, route.path);
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            let in_path =
                operation["parameters"].as_array().unwrap().iter().filter(|each| each["in"] == "path").count();
            assert_eq!(in_path, route.path.matches('{').count());
            for field in route.fields {
                assert!(operation.to_string().contains(&format!("\"{}\"", field.name)), "{operation}");
            }
        }
        let operations: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(operations, ROUTES.len() + 4, "and the sessions and the document itself");
    }
}
