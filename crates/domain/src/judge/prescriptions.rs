//! Where a prescription may be made: in a dispensary, for a patient that its site sees (`domain.md`, "Prescriptions").

use super::{Applied, Case, Found, Refusal, RefusalCode, Side, Verdict, View};
use crate::catalogue::DataType;
use crate::store::{NAME_TABLE, STORE_TABLE, is_dispensary};
use crate::visibility::patient_of_prescription;

impl Case<'_> {
    /// Judges further whether an accepted edit makes a prescription where none is to be made. Central takes what comes: what was dispensed
    /// was dispensed, and a device may not have heard that it sees a patient no more. So is every edit of a prescription of the same
    /// patient.
    pub(super) fn judge_prescription<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        verdict: Verdict,
    ) -> Result<Verdict, V::Error> {
        let Verdict::Accept(applied) = &verdict else { return Ok(verdict) };
        if self.side == Side::Central {
            return Ok(verdict);
        }
        let refusal = self.prescribed_elsewhere(view, found, applied)?;
        Ok(refusal.map_or(verdict, Verdict::Refuse))
    }

    fn prescribed_elsewhere<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        applied: &Applied,
    ) -> Result<Option<Refusal>, V::Error> {
        let patient_of = |row| patient_of_prescription(self.table, row);
        let Some(patient) = applied.row.as_ref().and_then(patient_of) else { return Ok(None) };
        // Until everything is read nobody knows what is seen here.
        if found.row().and_then(patient_of).as_ref() == Some(&patient) || view.is_read_anew()? {
            return Ok(None);
        }
        let (Ok(names), Ok(stores)) =
            (self.catalogue.table_by_name(NAME_TABLE), self.catalogue.table_by_name(STORE_TABLE))
        else {
            return Ok(None);
        };
        match view.record(names.reference(), &patient)? {
            // What a dispensary receives from a supplier has the same mode.
            Found::Here { row, .. } if names.data_type_of(&names.canonical(row.clone())) != DataType::Patient => {
                return Ok(None);
            }
            Found::Here { .. } => {}
            Found::Unknown | Found::Deleted { .. } => {
                let what = format!(
                    "is for patient {patient}, who is visible in no store of this site; record the patient first, or have the patient \
                     made visible (visibility add at central)"
                );
                return Ok(Some(self.refuse(RefusalCode::PatientNotSeen, &what)));
            }
        }
        let Some(store) = &applied.store else { return Ok(None) };
        Ok(match view.record(stores.reference(), store)? {
            Found::Here { row, .. } if !is_dispensary(stores, &stores.canonical(row.clone())) => {
                let what = format!(
                    "is for a patient, and store {store} is no dispensary; record it in one, or central makes the store one (store_mode)"
                );
                Some(self.refuse(RefusalCode::NoDispensary, &what))
            }
            _ => None,
        })
    }
}
