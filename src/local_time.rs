//! The time of day where this device stands: the system knows its zone, from `TZ` or `/etc/localtime`.

use protocol::schedule::Place;

use crate::clock::WallMs;
use crate::date;

/// A clock that says an earlier time than this, the begin of 2026, was never set: nobody has run this program before then.
const CLOCK_MS_MIN: u64 = 1_767_225_600_000;

const DAY_MS: u64 = 86_400_000;

/// Milliseconds of local time since 1970; `None` from a clock that was never set, or where the system does not tell.
pub fn local_ms(now: WallMs) -> Option<u64> {
    if now.0 < CLOCK_MS_MIN {
        return None;
    }
    now.0.checked_add_signed(offset_s(now)?.checked_mul(1000)?)
}

/// The day of a local time.
pub fn day_of(local_ms: u64) -> Place {
    Place { number: local_ms / DAY_MS, left_ms: DAY_MS - local_ms % DAY_MS }
}

/// The month of a local time, counted from the year 0.
pub fn month_of(local_ms: u64) -> Place {
    let days = local_ms / DAY_MS;
    let (year, month, _) = date::civil_date(days);
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let next = date::days_to(next_year, next_month, 1).unwrap_or(days + 1);
    Place { number: year * 12 + month - 1, left_ms: next.saturating_mul(DAY_MS).saturating_sub(local_ms) }
}

/// Seconds that local time is ahead of UTC at a moment.
#[cfg(unix)]
#[expect(unsafe_code, reason = "only the C library knows the zone, and localtime_r has no safe form")]
fn offset_s(now: WallMs) -> Option<i64> {
    let seconds = (now.0 / 1000).try_into().ok()?;
    let mut told = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are of values that live until the call is over, and all zeros is a valid `tm`. The environment is not
    // changed while this program runs.
    let told = unsafe {
        if libc::localtime_r(&raw const seconds, told.as_mut_ptr()).is_null() {
            return None;
        }
        told.assume_init()
    };
    i32::try_from(told.tm_gmtoff).ok().map(i64::from)
}

/// UTC where no C library tells.
#[cfg(not(unix))]
fn offset_s(_: WallMs) -> Option<i64> {
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_tells_no_local_time() {
        assert_eq!(local_ms(WallMs(0)), None);
        assert_eq!(local_ms(WallMs(CLOCK_MS_MIN - 1)), None);
        assert!(local_ms(WallMs(CLOCK_MS_MIN)).is_some());
    }

    #[test]
    fn local_time_is_within_a_day_of_the_wall_clock_s() {
        let now = WallMs(1_795_807_550_000);

        assert!(local_ms(now).unwrap().abs_diff(now.0) < DAY_MS);
    }

    #[test]
    fn days_and_months_are_told_with_what_is_left_of_them() {
        // 2026-11-27 21:00, and 2026-12-31 23:59:59.
        let (evening, last) = (1_795_813_200_000, 1_798_761_599_000);

        assert_eq!(day_of(evening), Place { number: 20_784, left_ms: 3 * 3_600_000 });
        assert_eq!(month_of(evening), Place { number: 2026 * 12 + 10, left_ms: 3 * DAY_MS + 3 * 3_600_000 });
        assert_eq!(month_of(last), Place { number: 2026 * 12 + 11, left_ms: 1000 });
    }
}
