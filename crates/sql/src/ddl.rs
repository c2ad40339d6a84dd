//! Placeholders of portable DDL.

use crate::error::{SqlError, SqlErrorKind};

/// What SQLite calls the names of portable DDL.
pub(crate) const SQLITE_NAMES: &[(&str, &str)] = &[
    ("bigint", "INTEGER"),
    ("text", "TEXT"),
    ("blob", "BLOB"),
    ("table", "STRICT"),
    ("keyed_table", "STRICT, WITHOUT ROWID"),
];

/// Replaces each `{name}` of a script by what the engine calls it. Braces around anything but lower-case letters and
/// underscores stay, so that a JSON default such as `'{}'` needs no escaping.
///
/// # Errors
/// [`SqlErrorKind::Other`] for a name that `names` does not have.
pub(crate) fn expand(script: &str, names: &[(&str, &str)]) -> Result<String, SqlError> {
    let mut expanded = String::with_capacity(script.len());
    let mut rest = script;
    while let Some(open) = rest.find('{') {
        let (before, from_brace) = rest.split_at(open);
        expanded.push_str(before);
        let name = from_brace
            .get(1..)
            .and_then(|inside| inside.split_once('}'))
            .map(|(name, _)| name)
            .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        let Some(name) = name else {
            expanded.push('{');
            rest = from_brace.get(1..).unwrap_or("");
            continue;
        };
        let Some((_, replacement)) = names.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = names.iter().map(|(known, _)| *known).collect();
            return Err(SqlError::new(
                SqlErrorKind::Other,
                format!("the script names {{{name}}}, known are: {}", known.join(", ")),
            ));
        };
        expanded.push_str(replacement);
        rest = from_brace.get(name.len() + 2..).unwrap_or("");
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[(&str, &str)] = &[("blob", "BLOB"), ("bigint", "INTEGER")];

    #[test]
    fn names_are_replaced_and_json_defaults_stay() {
        let script = "CREATE TABLE t (a {bigint}, b {blob} DEFAULT '{}', c DEFAULT '{\"a\":1}') {";
        assert_eq!(
            expand(script, NAMES).unwrap(),
            "CREATE TABLE t (a INTEGER, b BLOB DEFAULT '{}', c DEFAULT '{\"a\":1}') {"
        );
        assert_eq!(expand("'{{'", NAMES).unwrap(), "'{{'");
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = expand("a {blobb}", NAMES).unwrap_err();
        assert!(error.message.contains("{blobb}") && error.message.contains("blob, bigint"), "{error}");
    }
}
