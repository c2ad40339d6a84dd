//! The agent as a Debian package: program, unit, settings, a user of its own. What dpkg runs is in `packaging/debian`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use outpost::config::Config;
use outpost::service::{InitSystem, Service, ServiceWanted};

use super::{Release, contents};
use crate::workspace;

/// Where the settings are, from the root of a device.
const SETTINGS: &str = "etc/outpost/agent.toml";
const PROGRAM: &str = "usr/bin/outpost";
const UNIT: &str = "lib/systemd/system/outpost.service";
const PAPERS: &str = "usr/share/doc/outpost";
/// How the C library's version stands in a program that needs it.
const GLIBC_MARK: &[u8] = b"GLIBC_2.";

/// Writes `outpost_VERSION_ARCHITECTURE.deb`; says so where it cannot be made.
pub(super) fn write(release: &Release, agent: &Path, materials: &[u8]) -> Result<()> {
    let Some(architecture) = architecture(&release.target) else {
        println!("NOT MADE: a Debian package for {}, which Debian has no name for", release.target);
        return Ok(());
    };
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        println!("NOT MADE: the Debian package; there is no dpkg-deb here");
        return Ok(());
    }
    let program = contents::of_program(agent)?;
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755))?;
    let put = |path: &str, bytes: &[u8], mode: u32| put(root, path, bytes, mode);
    put(PROGRAM, &program, 0o755)?;
    put(UNIT, unit()?.as_bytes(), 0o644)?;
    put(SETTINGS, &contents::of_repository("agent.toml.example")?, 0o644)?;
    put(&format!("{PAPERS}/copyright"), &contents::of_repository("packaging/debian/copyright")?, 0o644)?;
    put(&format!("{PAPERS}/outpost.cdx.json"), materials, 0o644)?;
    for paper in ["CHANGELOG.md", "docs/operations.md"] {
        let name = paper.rsplit('/').next().unwrap_or(paper);
        put(&format!("{PAPERS}/{name}"), &contents::of_repository(paper)?, 0o644)?;
    }
    put("DEBIAN/control", control(release, architecture, &program).as_bytes(), 0o644)?;
    put("DEBIAN/conffiles", format!("/{SETTINGS}\n").as_bytes(), 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        put(&format!("DEBIAN/{script}"), &contents::of_repository(&format!("packaging/debian/{script}"))?, 0o755)?;
    }
    let name = format!("outpost_{}_{architecture}.deb", release.version);
    let mut command = Command::new("dpkg-deb");
    // dpkg-deb gives everything the date that is set here at the latest, and one thread packs the same on every machine.
    command.env("SOURCE_DATE_EPOCH", release.date_s.to_string());
    command.args(["--root-owner-group", "--threads-max=1", "-Zxz", "--build"]).arg(root).arg(release.out.join(name));
    workspace::output_of(&mut command)?;
    Ok(())
}

/// Debian's word for what a target runs on. Static builds for devices without Debian's C library are archives alone.
fn architecture(target: &str) -> Option<&'static str> {
    match target {
        "x86_64-unknown-linux-gnu" => Some("amd64"),
        "aarch64-unknown-linux-gnu" => Some("arm64"),
        "armv7-unknown-linux-gnueabihf" => Some("armhf"),
        _ => None,
    }
}

/// The unit that `outpost service install` would write, in words that hold for a package.
fn unit() -> Result<String> {
    let config = Config::of_text(&Path::new("/").join(SETTINGS), "").map_err(|error| anyhow::anyhow!("{error}"))?;
    let wanted = ServiceWanted {
        init: Some(InitSystem::Systemd),
        program: Some(Path::new("/").join(PROGRAM)),
        ..ServiceWanted::default()
    };
    let service = Service::of(&wanted, &config).map_err(|error| anyhow::anyhow!("{}", error.message))?;
    let [file] = service.files() else { bail!("systemd has one file") };
    let (_, rest) = file.text.split_once("\n\n").context("the unit begins with a remark")?;
    Ok(format!("# The outpost agent under systemd. For settings of your own: systemctl edit outpost\n\n{rest}"))
}

fn control(release: &Release, architecture: &str, program: &[u8]) -> String {
    let libc = glibc_minor(program).map_or_else(String::new, |minor| format!("libc6 (>= 2.{minor}), libgcc-s1, "));
    format!(
        "Package: outpost\n\
         Version: {}\n\
         Architecture: {architecture}\n\
         Maintainer: The outpost developers <outpost@localhost>\n\
         Section: net\n\
         Priority: optional\n\
         Depends: {libc}passwd\n\
         Installed-Size: {}\n\
         Description: offline-first sync agent for edge devices\n \
         Records every edit on the disk of this device, and brings edits to a central\n \
         server, and records back, whenever there is a connection.\n \
         .\n \
         Installing it starts nothing: `outpost enrol` makes the device a site first.\n",
        release.version,
        program.len().div_ceil(1024)
    )
}

/// The newest C library of the 2 series that a program asks for; `None` for a static one.
fn glibc_minor(program: &[u8]) -> Option<u32> {
    let digits = |rest: &[u8]| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
    };
    let places = program.windows(GLIBC_MARK.len()).enumerate().filter(|(_, bytes)| *bytes == GLIBC_MARK);
    places.filter_map(|(at, _)| program.get(at + GLIBC_MARK.len()..)).map(digits).max()
}

/// Writes one file below a root, whose folders are for everybody as those of the device are, whatever the builder's own habits.
fn put(root: &Path, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut folder = root.to_path_buf();
    let (folders, name) = path.rsplit_once('/').context("every file of a package lies in a folder")?;
    for step in folders.split('/') {
        folder.push(step);
        if !folder.exists() {
            std::fs::create_dir(&folder)?;
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        }
    }
    let file = folder.join(name);
    std::fs::write(&file, bytes).with_context(|| format!("{} could not be written", file.display()))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_c_library_that_a_program_asks_for_is_what_the_package_needs() {
        assert_eq!(glibc_minor(b"..GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.17\0GLIBC_PRIVATE"), Some(34));
        assert_eq!(glibc_minor(b"\x7fELF static"), None);
        assert_eq!(glibc_minor(b"GLIBC_2."), Some(0));
    }

    #[test]
    fn the_unit_of_the_package_is_the_one_that_the_program_writes() {
        let unit = unit().unwrap();

        assert!(unit.contains("\nExecStart=/usr/bin/outpost run\n"), "{unit}");
        assert!(unit.contains("\nStateDirectory=outpost\n") && unit.contains("\nUser=outpost\n"));
        assert!(!unit.contains("service install"));
    }
}
