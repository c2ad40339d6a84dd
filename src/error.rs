//! What a person or a script is shown when a command fails: a code, a sentence, advice, and the exit code.

use std::fmt;

use crate::exit::Exit;

/// An error that a person can see. Each module's own error type says these things about itself.
pub trait Explained: fmt::Display {
    /// A stable name in `snake_case`; only ever added to.
    fn code(&self) -> &str;
    /// What to do now, as a sentence; empty where the message says it all.
    fn advice(&self) -> &str;
    /// How the program ends because of it.
    fn exit(&self) -> Exit;
}

/// Any module's error, ready to be shown. Made from it with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentError {
    /// A stable name in `snake_case`.
    pub code: String,
    /// What was wrong, as a sentence.
    pub message: String,
    /// What to do now; may be empty.
    pub advice: String,
    /// How the program ends because of it.
    pub exit: Exit,
}

impl AgentError {
    /// An error of a command itself, which has no module behind it.
    pub fn new(code: &str, message: impl Into<String>, advice: impl Into<String>, exit: Exit) -> Self {
        Self { code: code.to_owned(), message: message.into(), advice: advice.into(), exit }
    }

    /// One line of JSON: `{"error":{"code","message","advice","exit"}}`.
    pub fn to_json(&self) -> String {
        let error = serde_json::json!({
            "code": self.code, "message": self.message, "advice": self.advice, "exit": self.exit.code(),
        });
        serde_json::json!({ "error": error }).to_string()
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [{}]", self.message, self.code)?;
        if self.advice.is_empty() { Ok(()) } else { write!(formatter, "\n{}", self.advice) }
    }
}

impl std::error::Error for AgentError {}

impl<E: Explained> From<E> for AgentError {
    fn from(error: E) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
            advice: error.advice().to_owned(),
            exit: error.exit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_code_and_advice_as_text_and_as_json() {
        let error = AgentError::new("disk_full", "the disk is \"full\"", "Delete something.", Exit::Disk);

        assert_eq!(error.to_string(), "the disk is \"full\" [disk_full]\nDelete something.");
        let json: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
        assert_eq!(json["error"]["code"], "disk_full");
        assert_eq!(json["error"]["message"], "the disk is \"full\"");
        assert_eq!(json["error"]["advice"], "Delete something.");
        assert_eq!(json["error"]["exit"], 7);
    }
}
