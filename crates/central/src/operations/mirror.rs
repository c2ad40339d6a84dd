//! `mirror`: who writes central data.

use protocol::ids::SiteId;
use serde_json::{Value, json};

use super::acting::Acting;
use super::request::Done;
use super::sites::find;
use crate::center::Center;
use crate::error::CentralError;
use crate::store::{Mirror, MirrorPhase, Reading, StoreError};

/// Lets a site write central data.
pub(super) fn enable(center: &Acting<'_>, primary: &str) -> Result<Done, CentralError> {
    let site = find(center, primary)?.id;
    let mirror = center.write(move |batch| batch.enable_mirror(site))?;
    tracing::info!(primary = site.0, ownership = mirror.ownership.0, "central data goes to a primary");
    show(center)
}

/// Lets central write central data again.
pub(super) fn disable(center: &Acting<'_>, is_at_once: bool) -> Result<Done, CentralError> {
    let mirror = center.write(move |batch| batch.disable_mirror(is_at_once))?;
    tracing::info!(phase = mirror.phase.as_str(), is_at_once, "central data comes back to central");
    show(center)
}

/// Who writes central data.
pub(super) fn show(center: &Center) -> Result<Done, CentralError> {
    Ok(Done::ok(center.read(mirror_json)?))
}

/// Who writes central data, as JSON.
pub(super) fn mirror_json(reading: &mut Reading<'_>) -> Result<Value, StoreError> {
    let Mirror { phase, site, ownership, .. } = reading.mirror()?;
    let primary = if phase == MirrorPhase::AtCentral { SiteId::CENTRAL } else { site };
    let site = reading.site(primary)?;
    let is_enrolled = site.as_ref().is_some_and(|site| site.id == SiteId::CENTRAL || site.public_key.is_some());
    let name = site.map(|site| site.name);
    Ok(json!({
        "phase": phase.as_str(),
        "primary": primary.0,
        "name": name,
        "is_enrolled": is_enrolled,
        "ownership": ownership.0,
    }))
}
