//! The machines that may work on this agent over the local network: adding, naming and revoking them, and what they know it by.

use serde_json::{Value, json};

use super::Request;
use crate::clients::{CLIENTS_MAX, Clients};
use crate::config::Config;
use crate::data_folder::Layout;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_api::ClientCertificate;

/// Does what is asked of them; nothing else comes here.
pub(super) fn perform(clients: &Clients, config: &Config, request: &Request) -> Result<Value, AgentError> {
    match request {
        Request::ClientAdd { name } => {
            // First, so that no client is added whose token nobody is shown.
            let place = place(config)?;
            let token = clients.add(name)?;
            let mut added = json!({ "client": name, "token": *token });
            merge(&mut added, place);
            Ok(added)
        }
        Request::ClientRevoke { name } => {
            clients.revoke(name)?;
            Ok(json!({ "client": name }))
        }
        Request::ClientCertificate => match certificate(config)? {
            Some(certificate) => {
                let mut shown = json!({ "pem": certificate.pem() });
                merge(&mut shown, place(config)?);
                Ok(shown)
            }
            None => Err(AgentError::new(
                "clients_off",
                "the agent does not listen for clients, and has no certificate to show them",
                "Set listen under [clients] in the settings.",
                Exit::Config,
            )),
        },
        _ => {
            let mut list = json!({ "clients": listed(clients), "clients_max": CLIENTS_MAX });
            merge(&mut list, place(config)?);
            Ok(list)
        }
    }
}

/// Each client with its times.
pub(super) fn listed(clients: &Clients) -> Vec<Value> {
    let client = |client: crate::clients::ClientFacts| {
        json!({
            "client": client.name,
            "added_ms": client.added_ms,
            "last_use_ms": client.last_use_ms,
            "connections": client.connections,
        })
    };
    clients.list().into_iter().map(client).collect()
}

/// Where clients reach the agent, and what they know it by; nulls if it does not listen.
fn place(config: &Config) -> Result<Value, AgentError> {
    let fingerprint = certificate(config)?.map(|certificate| certificate.fingerprint());
    Ok(json!({ "url": config.clients.url(), "fingerprint": fingerprint }))
}

fn certificate(config: &Config) -> Result<Option<ClientCertificate>, AgentError> {
    if config.clients.listen.is_none() {
        return Ok(None);
    }
    Ok(Some(ClientCertificate::open_or_make(&Layout::of(&config.data_folder), &config.clients)?))
}

fn merge(target: &mut Value, more: Value) {
    if let (Some(target), Value::Object(more)) = (target.as_object_mut(), more) {
        target.extend(more);
    }
}
