//! `client`: the machines of the local network that work on this agent.

use serde_json::Value;

use super::wording::{columns, count, moment, text};
use super::{Screen, perform};
use crate::clock::wall_now;
use crate::command_line::ClientAction;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer, Request};

/// Carries it out.
pub(super) fn run(
    action: &ClientAction,
    performer: &dyn Performer,
    screen: &mut Screen<'_>,
) -> Result<Exit, AgentError> {
    let request = match action {
        ClientAction::Add { name } => Request::ClientAdd { name: name.clone() },
        ClientAction::List => Request::ClientList,
        ClientAction::Revoke { name } => Request::ClientRevoke { name: name.clone() },
        ClientAction::Certificate => Request::ClientCertificate,
    };
    let result = perform(performer, request, &mut Input::empty(), screen)?;
    let now_ms = wall_now().0;
    screen.result(&result, |result| match action {
        ClientAction::Add { .. } => added(result),
        ClientAction::List => list(result, now_ms),
        ClientAction::Revoke { .. } => {
            format!("the client {} is let in no more, and its connections have ended\n", text(&result["client"]))
        }
        // As it is: its lines are its form.
        ClientAction::Certificate => result["pem"].as_str().unwrap_or_default().to_owned(),
    });
    Ok(Exit::Ok)
}

fn added(result: &Value) -> String {
    let (client, token) = (text(&result["client"]), text(&result["token"]));
    format!(
        "{}\nThe token of {client} is shown this once; the agent keeps its hash alone.\n",
        columns(&[
            vec!["token".to_owned(), token],
            vec!["address".to_owned(), address(result)],
            vec!["certificate".to_owned(), fingerprint(result)],
        ])
    )
}

fn list(result: &Value, now_ms: u64) -> String {
    let mut rows = vec![["client", "added", "last here", "connections"].map(str::to_owned).to_vec()];
    for client in result["clients"].as_array().into_iter().flatten() {
        let time = |name: &str| client[name].as_u64().map_or_else(|| "never".to_owned(), |ms| moment(ms, now_ms));
        rows.push(vec![
            text(&client["client"]),
            time("added_ms"),
            time("last_use_ms"),
            client["connections"].to_string(),
        ]);
    }
    let clients = if rows.len() == 1 { "no clients\n".to_owned() } else { columns(&rows) };
    format!("{clients}\naddress: {}\ncertificate: {}\n", address(result), fingerprint(result))
}

fn address(result: &Value) -> String {
    result["url"].as_str().map_or_else(
        || "none: the agent does not listen for clients; set listen under [clients], and start it again".to_owned(),
        str::to_owned,
    )
}

fn fingerprint(result: &Value) -> String {
    result["fingerprint"].as_str().map_or_else(|| "none".to_owned(), |digits| format!("SHA-256 {digits}"))
}

/// Of the status: how many there are, and who was last here.
pub(super) fn in_status(clients: &Value, now_ms: u64) -> Option<String> {
    let clients = clients.as_array().filter(|clients| !clients.is_empty())?;
    let of = |client: &Value| {
        let last = client["last_use_ms"].as_u64().map_or_else(|| "never here".to_owned(), |ms| moment(ms, now_ms));
        format!("{} ({last})", text(&client["client"]))
    };
    let named: Vec<String> = clients.iter().map(of).collect();
    Some(format!("{}: {}", count(clients.len() as u64, "client"), named.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_shown_with_where_it_counts() {
        let shown =
            added(&json!({"client": "x", "token": "T", "url": "https://192.0.2.7:8443", "fingerprint": "00ff"}));
        assert!(shown.contains("token        T\n") && shown.contains("https://192.0.2.7:8443"), "{shown}");
        assert!(shown.contains("SHA-256 00ff") && shown.contains("shown this once"), "{shown}");
        let off = added(&json!({"client": "x", "token": "T", "url": null, "fingerprint": null}));
        assert!(off.contains("set listen under [clients]"), "{off}");
    }

    #[test]
    fn clients_are_listed_with_when_they_were_last_here() {
        let client = |name: &str, last: Option<u64>| json!({"client": name, "added_ms": 0, "last_use_ms": last, "connections": 2});
        let clients = json!([client("dispensary", Some(86_400_000)), client("store", None)]);

        let shown = list(&json!({"clients": clients, "url": null, "fingerprint": null}), 86_400_000);
        assert!(shown.contains("dispensary") && shown.contains("never"), "{shown}");
        assert_eq!(list(&json!({"clients": []}), 0).lines().next(), Some("no clients"));
        let status = in_status(&clients, 86_400_000).unwrap();
        assert!(status.starts_with("2 clients: dispensary (") && status.ends_with("store (never here)"), "{status}");
        assert_eq!(in_status(&json!([]), 0), None);
        assert_eq!(in_status(&Value::Null, 0), None);
    }
}
