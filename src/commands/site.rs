//! `site`: the site as it sees itself.

use std::fmt::Write as _;

use serde_json::Value;

use super::wording::{self, columns, count, moment};

/// Who it is, its stores, and whom these can exchange transfers with.
pub(super) fn text(site: &Value, now_ms: u64) -> String {
    if site["enrolled"] != true {
        return "this device speaks for no site yet; run `outpost enrol`\n".to_owned();
    }
    let or_dash =
        |value: &Value| Some(wording::text(value)).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into());
    let rows: Vec<Vec<String>> = [
        ("site", site["id"].to_string()),
        ("name", wording::text(&site["name"])),
        ("code", or_dash(&site["code"])),
        ("type", wording::text(&site["type"])),
        ("central", wording::text(&site["central"])),
        ("fingerprint", wording::text(&site["central_fingerprint"])),
        ("device", wording::text(&site["device"])),
        ("bound to", bound_to(&site["binding"], now_ms)),
    ]
    .into_iter()
    .map(|(name, text)| vec![name.to_owned(), text])
    .collect();
    let mut text = columns(&rows);
    let stores = site["stores"].as_array().map_or(&[][..], Vec::as_slice);
    let _infallible = writeln!(text, "\n{}", count(stores.len() as u64, "store"));
    for store in stores {
        let _infallible = writeln!(text, "  {} is {}", named(store), wording::text(&store["role"]));
        if store["role"] == "active" {
            push_partners(&mut text, store);
        }
    }
    if site["is_cut"] == true {
        text.push_str("  and more that are collectors or transfer stores\n");
    }
    text
}

/// What the device is bound to, how strongly, and since when.
pub(super) fn bound_to(binding: &Value, now_ms: u64) -> String {
    let since = binding["since_ms"].as_u64().map_or_else(String::new, |ms| format!(", since {}", moment(ms, now_ms)));
    let sources: Vec<String> = binding["sources"].as_array().into_iter().flatten().map(wording::text).collect();
    let sources = if sources.is_empty() { "no serial number".to_owned() } else { sources.join(", ") };
    format!("{sources} ({}{since})", wording::text(&binding["strength"]))
}

fn push_partners(text: &mut String, store: &Value) {
    let partners = store["partners"].as_array().map_or(&[][..], Vec::as_slice);
    if partners.is_empty() {
        text.push_str("    exchanges transfers with no store: none is visible to it\n");
        return;
    }
    for partner in partners {
        let place = if partner["role"] == "active" { ", here" } else { "" };
        let _infallible = writeln!(text, "    exchanges transfers with {}{place}", named(partner));
    }
    let more = store["partners_total"].as_u64().unwrap_or_default().saturating_sub(partners.len() as u64);
    if more > 0 {
        let _infallible = writeln!(text, "    and with {more} more");
    }
}

/// A store by its code and name, and its id.
fn named(store: &Value) -> String {
    let words: Vec<String> =
        [&store["code"], &store["name"]].into_iter().map(wording::text).filter(|text| !text.is_empty()).collect();
    let id = wording::text(&store["id"]);
    if words.is_empty() { id } else { format!("{} ({id})", words.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_site_shows_its_stores_and_whom_they_exchange_transfers_with() {
        let site = json!({
            "enrolled": true, "id": 2, "name": "clinic", "code": "C-1", "type": "standalone", "central": "https://central",
            "central_fingerprint": "ab", "device": "cd",
            "binding": { "strength": "weak", "sources": ["machine id"], "since_ms": 0 },
            "stores": [
                { "id": "S1", "code": "one", "name": "First", "role": "active", "partners_total": 2,
                  "partners": [{ "id": "S2", "code": null, "name": null, "role": "elsewhere" }] },
                { "id": "S3", "code": "three", "name": null, "role": "active", "partners": [], "partners_total": 0 },
                { "id": "S2", "code": null, "name": null, "role": "transfer" },
            ],
        });

        let text = text(&site, 3_600_000);

        let end = "3 stores\n  one First (S1) is active\n    exchanges transfers with S2\n    and with 1 more\n  \
                   three (S3) is active\n    exchanges transfers with no store: none is visible to it\n  S2 is transfer\n";
        assert!(text.ends_with(end), "{text}");
        assert!(text.contains("machine id (weak, since 1970-01-01T00:00:00Z (1 hour ago))"), "{text}");
    }

    #[test]
    fn a_device_without_a_site_says_what_to_do() {
        assert!(text(&json!({ "enrolled": false }), 0).contains("`outpost enrol`"));
    }
}
