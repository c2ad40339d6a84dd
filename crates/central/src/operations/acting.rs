//! A verb that changes something, with who asked for it: what it writes leaves a row of the audit log in the same commit.

use std::cell::Cell;
use std::ops::Deref;

use serde_json::{Value, json};

use super::actor::Actor;
use super::concern::{Concern, Found, Subject};
use super::request::{Done, Request};
use crate::center::Center;
use crate::error::{CentralError, Exit};
use crate::store::{AuditEntry, AuditOutcome, Batch, StoreError};
use crate::writer::WriteError;

/// Keys of a request of which the audit log says only that they were given.
const SECRET_KEYS: [&str; 4] = ["password", "passphrase", "secret", "authorisation_code"];
/// Stands in their place.
const SECRET: &str = "given, not kept";

/// A [`Center`] for a verb: reads as it does, and writes with a row of the audit log.
pub(super) struct Acting<'a> {
    center: &'a Center,
    actor: &'a Actor,
    entry: AuditEntry,
    subject: Subject,
    is_logged: Cell<bool>,
}

impl Deref for Acting<'_> {
    type Target = Center;

    fn deref(&self) -> &Center {
        self.center
    }
}

impl<'a> Acting<'a> {
    pub(super) fn new(center: &'a Center, actor: &'a Actor, request: &Request) -> Self {
        let mut asked = serde_json::to_value(request).expect("requests have text keys alone");
        let verb = asked.as_object_mut().and_then(|fields| fields.remove("verb"));
        hide_secrets(&mut asked);
        let Concern { store, table, record, subject } = Concern::of(actor.name(), request);
        let entry = AuditEntry {
            store,
            table,
            record,
            asked,
            ..AuditEntry::new(actor.name(), verb.as_ref().and_then(Value::as_str).unwrap_or_default())
        };
        Self { center, actor, entry, subject, is_logged: Cell::new(false) }
    }

    /// Who asks.
    pub(super) fn actor(&self) -> &Actor {
        self.actor
    }

    /// As [`Center::write`], with the row of the audit log: what was there before of what the verb can change, and what is there then.
    ///
    /// # Errors
    /// As [`Center::write`]; then neither is kept.
    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (entry, subject) = (self.entry.clone(), self.subject.clone());
        let value = self.center.write(move |batch| {
            batch.job(|batch| {
                let before = subject.find(&mut batch.reading(), None)?;
                let value = work(batch)?;
                // A site that was there is the same one under another name.
                let after = subject.find(&mut batch.reading(), before.site)?;
                batch.add_audit(&with_found(entry, before, after))?;
                Ok(value)
            })
        })?;
        self.is_logged.set(true);
        Ok(value)
    }

    /// Says that something long begins.
    ///
    /// # Errors
    /// As [`Center::write`], and those of opening the store.
    pub(super) fn begin(&self) -> Result<(), CentralError> {
        // A store that cannot be opened is told by its own error.
        self.center.writer()?;
        let entry = AuditEntry { outcome: AuditOutcome::Begun, ..self.entry.clone() };
        Ok(self.center.write(move |batch| batch.add_audit(&entry))?)
    }

    /// Leaves the row of what has none yet: of what was refused, or is more than one commit.
    pub(super) fn end(&self, outcome: &Result<Done, CentralError>) {
        // What was done is told, also where its answer could not be made.
        if self.is_logged.get() {
            return;
        }
        let mut entry = self.entry.clone();
        match outcome {
            Ok(done) => {
                entry.outcome = outcome_of(done.exit);
                entry.after = counts(&done.value);
            }
            Err(error) => {
                entry.outcome = outcome_of(error.exit);
                entry.code = Some(error.code.clone());
            }
        }
        let subject = self.subject.clone();
        let written = self.center.write(move |batch| {
            let found = subject.find(&mut batch.reading(), None)?;
            entry.site = found.site;
            batch.add_audit(&entry)
        });
        let is_told = outcome.as_ref().is_err_and(|error| outcome_of(error.exit) == AuditOutcome::Failed);
        match written {
            // Nothing was done, and nothing is kept any more.
            Ok(()) | Err(WriteError::Stopping) => {}
            // The store fails: whoever asked is told.
            Err(WriteError::Store(_)) if is_told => {}
            Err(error @ WriteError::Store(_)) => tracing::error!(
                actor = self.entry.actor,
                verb = self.entry.verb,
                "the audit log has no row of how this ended: {error}"
            ),
        }
    }
}

fn outcome_of(exit: Exit) -> AuditOutcome {
    match exit {
        Exit::Ok => AuditOutcome::Done,
        Exit::Partial => AuditOutcome::Partly,
        Exit::Usage | Exit::Refused | Exit::Config | Exit::Busy => AuditOutcome::Refused,
        Exit::Failed | Exit::Disk => AuditOutcome::Failed,
    }
}

/// Of what something long did only how much that was.
fn counts(value: &Value) -> Value {
    let Some(fields) = value.as_object() else { return Value::Null };
    fields.iter().filter(|(_, value)| value.is_number()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn with_found(mut entry: AuditEntry, before: Found, after: Found) -> AuditEntry {
    entry.site = before.site.or(after.site).or(before.holder);
    entry.other_site = before.holder.filter(|holder| Some(*holder) != entry.site);
    (entry.before, entry.after) = differing(before.value, after.value);
    entry
}

/// Of two objects what differs between them; else both.
fn differing(before: Value, after: Value) -> (Value, Value) {
    match (before, after) {
        (Value::Object(mut before), Value::Object(mut after)) => {
            before.retain(|key, value| match after.get(key) {
                Some(same) if same == value => {
                    after.remove(key);
                    false
                }
                _ => true,
            });
            (Value::Object(before), Value::Object(after))
        }
        other => other,
    }
}

fn hide_secrets(asked: &mut Value) {
    for key in SECRET_KEYS {
        if let Some(value) = asked.get_mut(key).filter(|value| !value.is_null()) {
            *value = json!(SECRET);
        }
    }
    // What was left out says nothing.
    if let Some(fields) = asked.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_states_only_what_differs_is_kept() {
        let (before, after) =
            (json!({ "code": "a", "name": "n", "gone": 1 }), json!({ "code": "b", "name": "n", "new": 2 }));

        let told = differing(before, after);

        assert_eq!(told, (json!({ "code": "a", "gone": 1 }), json!({ "code": "b", "new": 2 })));
        assert_eq!(differing(Value::Null, json!({ "a": 1 })), (Value::Null, json!({ "a": 1 })));
    }

    #[test]
    fn secrets_are_not_kept_and_it_is_said_that_they_were_given() {
        let mut asked = json!({ "site": "north", "password": "hunter2", "name": null, "code": "c" });

        hide_secrets(&mut asked);

        assert_eq!(asked, json!({ "site": "north", "password": SECRET, "code": "c" }));
    }
}
