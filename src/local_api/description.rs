//! What can be asked, for programs that make programs: the text of `docs/local-api.openapi.json`.

/// See the module.
pub(super) const DESCRIPTION: &str = include_str!("../../docs/local-api.openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::local_api::routes::{VERBS, request};
    use crate::operations::{LIST_LIMIT_MAX, SET_ASIDE_NUMBERS_MAX, WAIT_S_MAX};
    use crate::pacing::PAUSE_S_MAX;

    fn description() -> Value {
        serde_json::from_str(DESCRIPTION).unwrap()
    }

    fn keys(fields: &Value) -> BTreeSet<String> {
        fields.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }

    /// What a verb takes, by its description.
    fn schema(description: &Value, verb: &str) -> Value {
        if verb == "record" {
            return description["components"]["schemas"]["RecordOptions"].clone();
        }
        description["paths"][format!("/v0/{verb}")]["post"]["requestBody"]["content"]["application/json"]["schema"]
            .clone()
    }

    #[test]
    fn every_path_is_described_and_every_described_path_is_there() {
        let described = keys(&description()["paths"]);

        let plain = ["health", "openapi.json"];
        let mut there: BTreeSet<String> = VERBS.iter().chain(&plain).map(|verb| format!("/v0/{verb}")).collect();
        there.extend(["/", "/healthz", "/readyz", "/metrics"].map(str::to_owned));
        assert_eq!(described, there);
    }

    #[test]
    fn every_field_is_described_with_its_default_and_every_described_field_is_taken() {
        let description = description();
        for verb in VERBS {
            let schema = schema(&description, verb);
            let content = &description["paths"][format!("/v0/{verb}")]["post"]["requestBody"]["content"];
            let example = content["application/json"]["example"].as_object().cloned().unwrap_or_default();

            let made = request(verb, &Value::Object(example).to_string())
                .unwrap_or_else(|error| panic!("the example of {verb} is not taken: {error}"));

            let mut fields: Map<String, Value> = serde_json::from_value(serde_json::to_value(made).unwrap()).unwrap();
            fields.remove("verb");
            assert_eq!(keys(&schema["properties"]), keys(&Value::Object(fields)), "{verb}");
            assert_eq!(schema["additionalProperties"], false, "{verb}");
            // The fewest fields that it says are enough, and the defaults are those that it says.
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let sample = |name: &str| match &schema["properties"][name]["type"] {
                kind if kind == "integer" => json!(1),
                kind if kind == "array" => json!([1]),
                _ => json!("x"),
            };
            let fewest: Map<String, Value> = required
                .iter()
                .map(|name| (name.as_str().unwrap().to_owned(), sample(name.as_str().unwrap())))
                .collect();
            let least =
                serde_json::to_value(request(verb, &Value::Object(fewest.clone()).to_string()).unwrap()).unwrap();
            for (name, property) in schema["properties"].as_object().unwrap() {
                if !fewest.contains_key(name) {
                    assert_eq!(least[name], property["default"], "{verb} {name}");
                }
            }
            for name in fewest.keys() {
                let mut fewer = fewest.clone();
                fewer.remove(name);
                assert!(request(verb, &Value::Object(fewer).to_string()).is_err(), "{verb} goes without {name}");
            }
        }
    }

    #[test]
    fn the_limits_that_it_names_are_the_limits() {
        let description = description();
        let property = |verb: &str, name: &str| schema(&description, verb)["properties"][name].clone();

        assert_eq!(property("list", "limit")["maximum"], LIST_LIMIT_MAX);
        assert_eq!(property("changes", "limit")["maximum"], LIST_LIMIT_MAX);
        assert_eq!(property("changes", "wait_s")["maximum"], WAIT_S_MAX);
        assert_eq!(property("wait", "timeout_s")["maximum"], WAIT_S_MAX);
        assert_eq!(property("pause", "duration_s")["maximum"], PAUSE_S_MAX);
        assert_eq!(property("set-aside-dismiss", "numbers")["maxItems"], SET_ASIDE_NUMBERS_MAX);
        assert_eq!(property("next-number", "count")["maximum"], domain::number::NUMBERS_MAX);
    }

    #[test]
    fn what_it_refers_to_is_there() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let description = description();
        let mut found = Vec::new();
        references(&description, &mut found);

        assert!(!found.is_empty());
        for reference in found {
            assert!(description.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
    }
}
