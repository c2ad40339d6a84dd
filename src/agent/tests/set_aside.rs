//! Refused edits in a data folder: recorded again all at once, and dismissed.

use domain::edit::{Edit, EditOp};
use protocol::control::{Control, Image, Refused};
use protocol::ids::{JournalId, RecordId, Sequence};
use serde_json::{Value, json};

use super::bed::{Bed, STORE};
use crate::agent::Agent;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::limits::SET_ASIDE_MAX;
use crate::operations::{Input, Request, SET_ASIDE_NUMBERS_MAX, no_events, perform};

/// A store of another site.
const ELSEWHERE: &str = "S2";

fn stock_line(id: u64, store: &str) -> Edit {
    let data = json!({ "ID": format!("L{id}"), "store_ID": store, "note": "again" }).to_string();
    let id = RecordId::new(&format!("L{id}")).unwrap();
    Edit { table: "item_line".to_owned(), op: EditOp::Put, id, data: Some(data) }
}

/// Sets so many edits aside; each fifth is of a store that this site may not write.
fn set_aside(agent: &Agent, count: u64) {
    let edits: Vec<Edit> =
        (1..=count).map(|id| stock_line(id, if id.is_multiple_of(5) { ELSEWHERE } else { STORE })).collect();
    let name = JournalId([9; 16]);
    assert!(agent.recorder().unwrap().core().local.set_aside_exported(name, 1, &edits).unwrap());
}

fn ask(agent: &Agent, request: Request) -> Result<Value, AgentError> {
    perform(agent, request, &mut Input::empty(), &mut no_events)
}

fn retry(agent: &Agent, numbers: Vec<u64>) -> Result<Value, AgentError> {
    ask(agent, Request::SetAsideRetry { numbers })
}

fn dismiss(agent: &Agent, numbers: Vec<u64>) -> Result<Value, AgentError> {
    ask(agent, Request::SetAsideDismiss { numbers })
}

fn count(agent: &Agent) -> u64 {
    ask(agent, Request::Status).unwrap()["set_aside"].as_u64().unwrap()
}

/// An empty list of numbers once stood for the first page alone.
#[test]
fn all_are_recorded_again_and_those_that_are_refused_again_stay() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    set_aside(&agent, 1200);
    let mut steps = Vec::new();

    let request = Request::SetAsideRetry { numbers: Vec::new() };
    let result = perform(&agent, request, &mut Input::empty(), &mut |progress| steps.push(progress)).unwrap();

    assert_eq!((&result["recorded"], &result["refused_count"]), (&json!(960), &json!(240)), "{result}");
    assert_eq!((&result["first"], &result["last"]), (&json!(1), &json!(960)));
    assert_eq!(result["refused"].as_array().unwrap().len(), 100, "the rest is counted");
    assert_eq!(result["refused"][0]["line"], 5);
    assert_eq!(steps.len(), 5, "{steps:?}");
    assert_eq!(count(&agent), 240);
    assert_eq!(Bed::read(&agent, "item_line", "L1200"), "-");
    assert!(Bed::read(&agent, "item_line", "L1199").contains("again"));
    // Once more changes nothing, and ends.
    let again = retry(&agent, Vec::new()).unwrap();
    assert_eq!((&again["recorded"], &again["refused_count"]), (&json!(0), &json!(240)));
    assert_eq!(count(&agent), 240);
}

/// As a kill between recording and letting go leaves it.
#[test]
fn what_was_recorded_again_before_a_kill_is_not_recorded_twice() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    set_aside(&agent, 4);
    let shown = agent.recorder().unwrap().core().local.set_aside_show(2).unwrap().unwrap();
    let request_id = Some(shown.about.retry_request_id());
    let group = crate::recorder::Group { edits: vec![shown.edit.unwrap()], request_id, recorded_at_ms: 7 };
    agent.recorder().unwrap().record(group).unwrap();

    let result = retry(&agent, Vec::new()).unwrap();

    assert_eq!((&result["recorded"], &result["already"]), (&json!(3), &json!(1)), "{result}");
    assert_eq!(count(&agent), 0);
}

#[test]
fn named_ones_are_retried_once_each_or_none_if_one_is_missing() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    set_aside(&agent, 6);

    assert_eq!(retry(&agent, vec![1, 7]).unwrap_err().code, "set_aside_missing");
    assert_eq!(count(&agent), 6);
    let result = retry(&agent, vec![6, 5, 6]).unwrap();

    assert_eq!((&result["recorded"], &result["refused_count"]), (&json!(1), &json!(1)), "{result}");
    assert_eq!((&result["refused"][0]["line"], &result["refused"][0]["code"]), (&json!(5), &json!("not_store_holder")));
    assert_eq!(count(&agent), 5);
}

#[test]
fn edits_are_dismissed_all_or_none() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    set_aside(&agent, 6);

    for (numbers, code) in [
        (vec![], "no_numbers"),
        (vec![2, 7], "set_aside_missing"),
        (vec![2, u64::MAX], "set_aside_missing"),
        (vec![2; SET_ASIDE_NUMBERS_MAX + 1], "too_many_numbers"),
    ] {
        let error = dismiss(&agent, numbers).unwrap_err();
        assert_eq!((error.code.as_str(), error.exit), (code, Exit::Usage));
        assert_eq!(count(&agent), 6, "after {code}");
    }
    assert_eq!(dismiss(&agent, vec![3, 1, 3]).unwrap(), json!({ "dismissed": 2 }));
    drop(agent);
    let agent = bed.open().unwrap();

    let listed = ask(&agent, Request::SetAsideList { after: 0, limit: 10 }).unwrap();
    let numbers: Vec<&Value> = listed["refused"].as_array().unwrap().iter().map(|edit| &edit["number"]).collect();
    assert_eq!(numbers, [2, 4, 5, 6]);
    drop(agent);
    assert_eq!(bed.findings(), Vec::<String>::new());
}

#[test]
fn an_edit_whose_data_is_not_here_stays_through_a_retry_and_can_be_dismissed() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    let (code, reason) = ("not_store_holder".to_owned(), "elsewhere".to_owned());
    let (journal, sequence) = (JournalId([8; 16]), Sequence(4));
    bed.reply(&agent, 0, &[Control::Refused(Refused { journal, sequence, code, reason, image: Image::NotHere })]);

    let result = retry(&agent, Vec::new()).unwrap();

    assert_eq!(result["refused"][0]["code"], "set_aside_without_data", "{result}");
    assert_eq!(dismiss(&agent, vec![1]).unwrap(), json!({ "dismissed": 1 }));
    assert_eq!(count(&agent), 0);
}

#[test]
fn a_full_list_refuses_edits_until_some_are_dismissed() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    set_aside(&agent, SET_ASIDE_MAX);
    let record = |agent: &Agent| {
        let line = r#"{"table":"item_line","op":"put","id":"N","data":{"ID":"N","store_ID":"S1"}}"#;
        let mut input = Input::from_bytes(line.as_bytes().to_vec());
        perform(agent, Request::Record(crate::operations::RecordOptions::default()), &mut input, &mut no_events)
    };

    let full = record(&agent).unwrap_err();
    dismiss(&agent, (1..=SET_ASIDE_NUMBERS_MAX as u64).collect()).unwrap();

    assert_eq!(full.code, "set_aside_full");
    assert!(full.advice.contains("dismiss"), "{}", full.advice);
    assert_eq!(record(&agent).unwrap()["recorded"], 1);
}
