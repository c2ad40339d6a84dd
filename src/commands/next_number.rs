//! `next-number`: document numbers, one a line.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Screen, perform};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, NextNumber, Performer, Request};

/// Gives the next numbers and prints them, and nothing else, so that a script may read them.
pub(super) fn run(asked: &NextNumber, performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let result = perform(performer, Request::NextNumber(asked.clone()), &mut Input::empty(), screen)?;
    screen.result(&result, text);
    Ok(Exit::Ok)
}

fn text(result: &Value) -> String {
    let mut text = String::new();
    let number = |name: &str| result[name].as_u64().unwrap_or_default();
    for given in number("first")..=number("last") {
        let _infallible = writeln!(text, "{given}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_number_is_a_line() {
        assert_eq!(text(&json!({ "first": 9, "last": 11 })), "9\n10\n11\n");
        assert_eq!(text(&json!({ "first": 1042, "last": 1042 })), "1042\n");
    }
}
