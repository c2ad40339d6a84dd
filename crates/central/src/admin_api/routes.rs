//! What can be asked: method, path and fields of each verb. The router and the OpenAPI document are both made from the table of these
//! (`table.rs`), and a request is built from it as the admin socket's line is, so that the command line and the API ask for the same.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::error::{CentralError, Exit};
use crate::operations::Request;
use crate::store::AccountRole;

/// A field of a query or of a body.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) about: &'static str,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Texts,
    Number,
    Switch,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// One method of a path.
pub(super) struct Route {
    pub(super) method: Method,
    /// Below [`super::ROOT`]; `{name}` is a field of the request.
    pub(super) path: &'static str,
    pub(super) verb: &'static str,
    pub(super) about: &'static str,
    /// Fields with one value for this path.
    pub(super) fixed: &'static [(&'static str, &'static str)],
    /// Of the query for GET and DELETE, else of the body.
    pub(super) fields: &'static [Field],
}

/// Verbs that the API does not have: files, records and central's key stay with the command line, and the code with central's machine.
#[cfg(test)]
const VERBS_ELSEWHERE: [&str; 6] =
    ["import", "records", "site-export", "carry-in", "authorisation-code-set", "authorisation-code-clear"];

impl Route {
    /// Whether its fields stand in the query.
    pub(super) fn has_query(&self) -> bool {
        self.method == Method::GET || self.method == Method::DELETE
    }

    /// Names in the path, as they stand there.
    pub(super) fn path_fields(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Who may ask.
    pub(super) fn role(&self) -> AccountRole {
        self.sample().role()
    }

    /// A request for it with some value in each field.
    ///
    /// # Panics
    /// If the table does not fit the verb, which a test looks at.
    pub(super) fn sample(&self) -> Request {
        let path = self.path_fields().map(|name| (name.to_owned(), "1".to_owned())).collect();
        let fields = self.fields.iter().map(|field| (field.name.to_owned(), field.kind.sample())).collect();
        self.request(&path, fields).expect("each route of the table fits its verb")
    }

    /// The request that a path and the fields of a query or body make.
    ///
    /// # Errors
    /// `request_malformed`.
    pub(super) fn request(
        &self,
        path: &BTreeMap<String, String>,
        fields: Map<String, Value>,
    ) -> Result<Request, CentralError> {
        let mut asked = fields;
        if let Some(unknown) = asked.keys().find(|name| self.fields.iter().all(|field| field.name != **name)) {
            return Err(malformed(&format!("there is no field {unknown:?} here")));
        }
        if let Some(missing) = self.fields.iter().find(|field| field.is_required && !asked.contains_key(field.name)) {
            return Err(malformed(&format!("the field {:?} is missing: {}", missing.name, missing.about)));
        }
        for (name, value) in self.fixed {
            let value = match *value {
                "true" => json!(true),
                "false" => json!(false),
                text => json!(text),
            };
            asked.insert((*name).to_owned(), value);
        }
        asked.extend(path.iter().map(|(name, value)| (name.clone(), json!(value))));
        asked.insert("verb".to_owned(), json!(self.verb));
        serde_json::from_value(Value::Object(asked))
            .map_err(|error| malformed(&format!("the request cannot be used: {error}")))
    }

    /// The fields of a query, of the kinds that the table says.
    ///
    /// # Errors
    /// `request_malformed`.
    pub(super) fn query_fields(&self, query: BTreeMap<String, String>) -> Result<Map<String, Value>, CentralError> {
        let typed = |(name, text): (String, String)| {
            let kind = self.fields.iter().find(|field| field.name == name).map(|field| field.kind);
            let value = match kind {
                Some(Kind::Number) => text.parse::<u64>().ok().map(Value::from),
                Some(Kind::Switch) => text.parse::<bool>().ok().map(Value::from),
                Some(Kind::Text | Kind::Texts | Kind::OneOf(_)) | None => Some(Value::from(text.clone())),
            };
            let value =
                value.ok_or_else(|| malformed(&format!("{name}={text} is neither a number nor true or false")))?;
            Ok((name, value))
        };
        query.into_iter().map(typed).collect()
    }
}

impl Kind {
    fn sample(self) -> Value {
        match self {
            Self::Text => json!("x:1"),
            Self::Texts => json!(["x"]),
            Self::Number => json!(1),
            Self::Switch => json!(true),
            Self::OneOf(words) => json!(words.first()),
        }
    }

    /// As JSON Schema.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Number => json!({ "type": "integer", "minimum": 0 }),
            Self::Switch => json!({ "type": "boolean" }),
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
        }
    }
}

fn malformed(what: &str) -> CentralError {
    CentralError::new("request_malformed", what, "/admin/v0/openapi.json says what can be asked.", Exit::Usage)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::table::ROUTES;
    use super::*;

    #[test]
    fn every_route_fits_its_verb_and_every_verb_has_a_route_or_a_reason() {
        let routed: BTreeSet<String> = ROUTES
            .iter()
            .map(|route| {
                let line = serde_json::to_value(route.sample()).unwrap();
                assert_eq!(line["verb"], route.verb, "{}", route.path);
                route.verb.to_owned()
            })
            .collect();

        // The error of an unknown verb names those that there are.
        let error = serde_json::from_value::<Request>(json!({ "verb": "none" })).err().unwrap().to_string();
        let known: BTreeSet<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        let elsewhere: BTreeSet<String> = VERBS_ELSEWHERE.map(str::to_owned).into();

        assert!(known.len() > 30, "{error}");
        assert_eq!(known, routed.union(&elsewhere).cloned().collect());
    }

    #[test]
    fn only_what_looks_is_asked_for_by_get() {
        for route in ROUTES {
            assert_eq!(route.sample().only_looks(), route.method == Method::GET, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn a_field_that_is_missing_unknown_or_of_another_kind_is_malformed() {
        let route = ROUTES.iter().find(|route| route.verb == "token-add").unwrap();
        for body in [
            json!({ "name": "a" }),
            json!({ "name": "a", "role": "viewer", "more": 1 }),
            json!({ "name": "a", "role": "viewer", "verb": "status" }),
            json!({ "name": "a", "role": "viewer", "days": "7" }),
            json!({ "name": ["a"], "role": "viewer" }),
        ] {
            let Value::Object(fields) = body.clone() else { panic!("a body is an object") };
            let error = route.request(&BTreeMap::new(), fields).err().unwrap();
            assert_eq!(error.code, "request_malformed", "{body}");
        }
        let audit = ROUTES.iter().find(|route| route.verb == "audit").unwrap();
        let query = |value: &str| BTreeMap::from([("limit".to_owned(), value.to_owned())]);
        assert_eq!(audit.query_fields(query("-1")).err().unwrap().code, "request_malformed");
        assert_eq!(audit.query_fields(query("7")).unwrap()["limit"], 7);
    }
}
