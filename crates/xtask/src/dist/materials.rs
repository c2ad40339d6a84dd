//! The bill of materials of a program: what of others is linked into it, as `CycloneDX` 1.5 in JSON.
//!
//! What is linked comes from `cargo tree` for the target, with the features of this one package; licences and sources from `cargo
//! metadata`; checksums from `Cargo.lock`. The C code that two crates bring is listed by its own name, which is the one that warnings
//! about it bear.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use protocol::chain::hash_of;
use serde_json::{Value, json};

use super::{Release, contents};
use crate::workspace;

/// A package by name and version, which no two in one program share: all are from one registry.
type Key = (String, String);

/// Where a package of a registry comes from, as cargo writes it.
const REGISTRY: &str = "registry+";

/// The bill, as the bytes of its file.
pub(super) fn of_package(package: &str, release: &Release) -> Result<Vec<u8>> {
    let tree = ["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"];
    let tree =
        workspace::output_of(workspace::cargo().args(tree).args(["--package", package, "--target", &release.target]))?;
    let linked = packages_of(&tree)?;
    let metadata = ["metadata", "--locked", "--format-version", "1", "--filter-platform", &release.target];
    let metadata = serde_json::from_str(&workspace::output_of(workspace::cargo().args(metadata))?)?;
    let checksums = checksums_of(&String::from_utf8(contents::of_repository("Cargo.lock")?)?)?;
    let bill = bill(package, release, &linked, &metadata, &checksums)?;
    let mut bytes = serde_json::to_vec_pretty(&bill)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The packages that `cargo tree` names, one a line: "name v1.2.3 (folder)".
fn packages_of(tree: &str) -> Result<BTreeSet<Key>> {
    tree.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let version = words.next().and_then(|word| word.strip_prefix('v'));
            let version = version.with_context(|| format!("cargo tree wrote {line:?}, which names no version"))?;
            Ok((name.to_owned(), version.to_owned()))
        })
        .collect()
}

fn checksums_of(lock: &str) -> Result<BTreeMap<Key, String>> {
    let lock: toml::Table = lock.parse().context("Cargo.lock is not TOML")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("Cargo.lock lists no packages")?;
    let text = |package: &toml::Value, key| Some(package.get(key)?.as_str()?.to_owned());
    Ok(packages
        .iter()
        .filter_map(|package| Some(((text(package, "name")?, text(package, "version")?), text(package, "checksum")?)))
        .collect())
}

fn bill(
    package: &str,
    release: &Release,
    linked: &BTreeSet<Key>,
    metadata: &Value,
    checksums: &BTreeMap<Key, String>,
) -> Result<Value> {
    let packages: BTreeMap<Key, &Value> = items(&metadata["packages"])
        .map(|package| ((text(&package["name"]), text(&package["version"])), package))
        .filter(|(key, _)| linked.contains(key))
        .collect();
    for key in linked {
        ensure!(packages.contains_key(key), "cargo metadata does not know {} {}, which is linked", key.0, key.1);
    }
    let mut components = Vec::new();
    let mut root = Value::Null;
    for (key, found) in &packages {
        let mut component = component(key, found, checksums.get(key));
        if key.0 == package {
            component["type"] = json!("application");
            component["version"] = json!(release.version);
            root = component;
        } else {
            components.push(component);
        }
    }
    ensure!(!root.is_null(), "{package} is not among what is linked");
    let dependencies = dependencies(metadata, &packages);
    let bundled = bundled(&packages)?;
    components.extend(bundled);
    let tool = json!({ "type": "application", "name": "cargo xtask dist", "version": env!("CARGO_PKG_VERSION") });
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": outpost::date::date_text(release.date_s * 1000),
            "tools": { "components": [tool] },
            "component": root,
            "properties": [{ "name": "outpost:target", "value": release.target }],
        },
        "components": components,
        "dependencies": dependencies,
    });
    bill["serialNumber"] = json!(serial_number(&hash_of(bill.to_string().as_bytes()).to_string()));
    Ok(bill)
}

fn component(key: &Key, package: &Value, checksum: Option<&String>) -> Value {
    let (name, version) = key;
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(key),
        "name": name,
        "version": version,
        "licenses": [{ "expression": license(&text(&package["license"])) }],
    });
    if let Some(about) = package["description"].as_str() {
        component["description"] = json!(about.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if text(&package["source"]).starts_with(REGISTRY) {
        component["purl"] = json!(reference(key));
        component["scope"] = json!("required");
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(repository) = package["repository"].as_str() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

/// Old manifests have a slash between two licences, which SPDX writes as OR.
fn license(text: &str) -> String {
    text.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

/// The address of a package, as package URLs write it; it names the component within the bill too.
fn reference(key: &Key) -> String {
    format!("pkg:cargo/{}@{}", key.0, key.1.replace('+', "%2B"))
}

fn dependencies(metadata: &Value, packages: &BTreeMap<Key, &Value>) -> Vec<Value> {
    let keys: BTreeMap<String, &Key> = packages.iter().map(|(key, package)| (text(&package["id"]), key)).collect();
    let mut dependencies: Vec<(String, BTreeSet<String>)> = items(&metadata["resolve"]["nodes"])
        .filter_map(|node| {
            let from = keys.get(&text(&node["id"]))?;
            let is_linked = |dependency: &&Value| items(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
            let on =
                items(&node["deps"]).filter(is_linked).filter_map(|dependency| keys.get(&text(&dependency["pkg"])));
            Some((reference(from), on.map(|key| reference(key)).collect()))
        })
        .collect();
    dependencies.sort();
    dependencies.into_iter().map(|(from, on)| json!({ "ref": from, "dependsOn": on })).collect()
}

/// The C libraries whose code two crates carry.
fn bundled(packages: &BTreeMap<Key, &Value>) -> Result<Vec<Value>> {
    let mut bundled = Vec::new();
    for ((name, version), package) in packages {
        let (library, license, number) = match name.as_str() {
            "libsqlite3-sys" => ("sqlite", "blessing", sqlite_version(Path::new(&text(&package["manifest_path"])))?),
            "zstd-sys" => {
                let number = version.split_once("+zstd.").map(|(_, number)| number.to_owned());
                ("zstd", "BSD-3-Clause", number.with_context(|| format!("zstd-sys {version} names no zstd"))?)
            }
            _ => continue,
        };
        let address = format!("pkg:generic/{library}@{number}");
        bundled.push(json!({
            "type": "library",
            "bom-ref": address,
            "name": library,
            "version": number,
            "licenses": [{ "license": { "id": license } }],
            "description": format!("C code in the crate {name}"),
            "purl": address,
            "scope": "required",
        }));
    }
    Ok(bundled)
}

fn sqlite_version(manifest: &Path) -> Result<String> {
    let header = manifest.with_file_name("sqlite3").join("sqlite3.h");
    let text = std::fs::read_to_string(&header).with_context(|| format!("{} could not be read", header.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
    let number = line.map(|rest| rest.trim().trim_matches('"').to_owned());
    number.with_context(|| format!("{} names no version", header.display()))
}

/// A UUID that is the same for the same contents (RFC 9562, version 8: made as we like).
fn serial_number(checksum: &str) -> String {
    let part = |from: usize, to: usize| checksum.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn release() -> Release {
        Release {
            version: "1.2.3".to_owned(),
            target: crate::size::host_target().unwrap(),
            date_s: 1_700_000_000,
            out: PathBuf::new(),
        }
    }

    /// Of this repository, as it is.
    fn of_the_agent() -> Value {
        serde_json::from_slice(&of_package("outpost", &release()).unwrap()).unwrap()
    }

    #[test]
    fn the_bill_has_what_its_schema_asks_for() {
        let bill = of_the_agent();

        assert_eq!(
            (&bill["bomFormat"], &bill["specVersion"], &bill["version"]),
            (&json!("CycloneDX"), &json!("1.5"), &json!(1))
        );
        let serial = text(&bill["serialNumber"]);
        let groups: Vec<_> = serial.strip_prefix("urn:uuid:").unwrap().split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{serial}");
        assert_eq!(bill["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
        let mut references = BTreeSet::new();
        for component in items(&bill["components"]).chain([&bill["metadata"]["component"]]) {
            assert!(matches!(text(&component["type"]).as_str(), "library" | "application"), "{component}");
            for key in ["bom-ref", "name", "version"] {
                assert!(!text(&component[key]).is_empty(), "{component} has no {key}");
            }
            assert_eq!(items(&component["licenses"]).count(), 1, "{component}");
            assert!(references.insert(text(&component["bom-ref"])), "{component} is there twice");
            for hash in items(&component["hashes"]) {
                assert_eq!((&hash["alg"], text(&hash["content"]).len()), (&json!("SHA-256"), 64));
            }
        }
        for dependency in items(&bill["dependencies"]) {
            let mut ends = items(&dependency["dependsOn"]).chain([&dependency["ref"]]);
            assert!(ends.all(|end| references.contains(&text(end))), "{dependency}");
        }
    }

    #[test]
    fn the_bill_lists_what_is_linked_with_the_c_code_and_nothing_that_only_builds_or_tests() {
        let bill = of_the_agent();
        let names: BTreeSet<_> = items(&bill["components"]).map(|component| text(&component["name"])).collect();

        for linked in ["sled", "ring", "rustls", "sqlite", "zstd", "protocol"] {
            assert!(names.contains(linked), "{linked} is missing");
        }
        for other in ["cc", "syn", "serde_derive", "proptest", "central", "xtask", "tokio"] {
            assert!(!names.contains(other), "{other} is not in the agent");
        }
        let sled = items(&bill["components"]).find(|component| component["name"] == "sled").unwrap();
        assert!(text(&sled["purl"]).starts_with("pkg:cargo/sled@0.34"), "{sled}");
        assert_eq!(sled["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["metadata"]["component"]["version"], "1.2.3");
    }

    #[test]
    fn the_same_sources_give_the_same_bill() {
        assert_eq!(of_package("outpost", &release()).unwrap(), of_package("outpost", &release()).unwrap());
    }

    #[test]
    fn a_line_without_a_version_is_refused() {
        assert!(packages_of("sled v0.34.7\n\nring v0.17.14\n").is_ok_and(|packages| packages.len() == 2));
        assert!(packages_of("sled 0.34").is_err());
    }
}
