//! `cargo xtask man FOLDER`: the manual pages of the agent, for packages.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Writes a page for the program and one for each verb.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [folder] = arguments else { bail!("man takes one folder to write the pages to") };
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let pages = outpost::command_line::man_pages();
    for (name, page) in &pages {
        let path = folder.join(name);
        std::fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    println!(
        "{} pages are in {}; `man -l {}/outpost.1` shows the first",
        pages.len(),
        folder.display(),
        folder.display()
    );
    Ok(())
}
