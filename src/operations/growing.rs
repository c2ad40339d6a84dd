//! A queue that grows from day to day, and what may be the cause.

use serde_json::{Value, json};

use crate::date::day_text;
use crate::queue_days::{Days, Growth};

/// The two causes that mSupply's guide names, each with what to do.
const CAUSES: [&str; 2] = [
    "This site may need more time on the internet each day, or a faster connection.",
    "Or something is wrong that the people who support this system have to look at. Before you call them, keep the internet \
     connected for an hour and see whether the queue gets smaller; `outpost doctor` shows what they will ask for.",
];

/// For the status: `{"queue_days","queue_growing"}`.
pub(super) fn to_json(days: &Days) -> (Value, Value) {
    let shown = days.iter().map(|day| json!({ "day": date(day.day), "least": day.least, "most": day.most }));
    (shown.collect(), days.growth().map_or(Value::Null, growing))
}

fn growing(growth: Growth) -> Value {
    let Growth { days, since, from, to } = growth;
    let since = date(since);
    let after = since.as_str().map_or_else(String::new, |date| format!(" since {date}"));
    json!({
        "days": days,
        "since": since,
        "from": from,
        "to": to,
        "message": format!("the queue has grown on {days} days running{after}: from {from} to {to} edits"),
        "causes": CAUSES,
    })
}

/// `2026-11-28`; null if no clock could be believed.
fn date(day: Option<u64>) -> Value {
    day.map(day_text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> Days {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_queue_that_grows_is_told_with_both_causes() {
        let (days, growing) =
            to_json(&days(r#"{"days":[[20784,0,12],[20785,12,30],[20786,30,44],[20787,44,50]],"ran_ms":0}"#));

        assert_eq!(days[0], json!({ "day": "2026-11-27", "least": 0, "most": 12 }));
        assert_eq!(growing["message"], "the queue has grown on 3 days running since 2026-11-27: from 0 to 44 edits");
        assert_eq!(growing["causes"].as_array().unwrap().len(), 2);
        assert_eq!((&growing["days"], &growing["from"], &growing["to"]), (&json!(3), &json!(0), &json!(44)));
    }

    #[test]
    fn one_that_does_not_grow_is_not_told_of() {
        let (shown, growing) = to_json(&days(r#"{"days":[[null,3,12],[20785,12,30]],"ran_ms":0}"#));

        assert_eq!((&shown[0]["day"], growing), (&Value::Null, Value::Null));
    }
}
