//! Dates as people read them.

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Milliseconds since 1970 as `2026-11-21T05:03:09Z`.
pub fn date_text(ms: u64) -> String {
    let seconds = ms % DAY_MS / 1000;
    format!("{}T{:02}:{:02}:{:02}Z", day_text(ms / DAY_MS), seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Days since 1970 as `2026-11-21`.
pub(crate) fn day_text(days: u64) -> String {
    let (year, month, day) = civil_date(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days from 1970 to a date; `None` before 1970. The way back from the days of [`date_text`].
pub fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let month_from_march = if month > 2 { month.checked_sub(3)? } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

/// Year, month and day of a number of days since 1970, by counting eras of 400 years that begin on 1 March, so that the leap
/// day is the last of its year (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub(crate) fn civil_date(days: u64) -> (u64, u64, u64) {
    let from_era = days + 719_468;
    let era = from_era / 146_097;
    let day_of_era = from_era % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_leap_days_and_ends_of_years() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59Z"),
            (1_795_237_389_000, "2026-11-21T05:03:09Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date_text(ms), expected);
        }
    }

    #[test]
    fn days_to_a_date_are_the_way_back() {
        for days in (0..60_000).step_by(7) {
            let (year, month, day) = civil_date(days);
            assert_eq!(days_to(year, month, day), Some(days));
        }
        assert_eq!(days_to(1969, 12, 31), None);
        assert_eq!(days_to(1970, 1, 0), None);
    }
}
