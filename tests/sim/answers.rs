//! Answers, held against what is on the disk at the moment they leave.

use std::collections::HashMap;

use adrt::engines::state::Format;
use adrt::supervisor::io::{CheckpointRef, EventRow, EventState};
use serde_json::Value;

use super::durable::Durable;
use super::errands::Errand;
use super::hands::HandOuts;
use super::lessons::Of;
use super::request::{Request, Step, What, Write};
use super::rulings;

/// What was told so far.
#[derive(Default)]
pub struct Told {
    /// Results of keyed requests, with what they were of.
    keyed: HashMap<String, (String, Value)>,
    /// The newest version anybody was told of.
    pub version: u64,
    /// Events, to whomever.
    pub hand_outs: HandOuts,
    /// Of decisions, to whomever.
    pub rulings: rulings::Told,
    /// In this run the disk has refused something.
    pub disk_refused: bool,
    /// The code of the last refusal, if the last answer was one.
    pub refusal: Option<i64>,
}

/// Checks one answer. `floor` is the newest version the one who asked knows
/// of. Gives the version it tells, if it tells one.
pub fn check(
    request: &Request,
    answer: &Value,
    durable: &Durable,
    told: &mut Told,
    floor: u64,
) -> Option<u64> {
    told.refusal = answer["error"]["code"].as_i64();
    if let Some(error) = answer.get("error") {
        check_error(request, error, durable, floor);
        return None;
    }
    let result = &answer["result"];
    let was_done = done_before(request, result, durable, told);
    let floor = if was_done { 0 } else { floor };
    let version = match &request.what {
        What::Initialize { omit, .. } => Some(greeting(result, *omit, durable, told.disk_refused)),
        What::Get { path } => Some(read(result, path.as_deref(), durable)),
        What::Write(write) => written(result, write, durable, &mut told.rulings),
        What::Restore { which, if_version, .. } => {
            Some(restored(result, which, *if_version, durable))
        }
        What::List => {
            listed(result, durable);
            None
        }
        What::Finish { result: said } => {
            assert_eq!(durable.meta.get("result"), Some(said), "told before it was durable");
            assert_eq!(result, &serde_json::json!({}));
            None
        }
        What::Removal => {
            assert!(result["checkpoints"].is_u64() && result["versions"].is_u64());
            None
        }
        What::Next => {
            if !result["event"].is_null() {
                let handed = told.hand_outs.told(result, &durable.work);
                told.hand_outs.to_operators.push(handed);
            }
            None
        }
        What::Look | What::Analyze => None,
        What::Calculate => {
            told.rulings.calculated(result);
            None
        }
        What::Plain | What::Subscribe { .. } => {
            assert_eq!(result, &serde_json::json!({}));
            None
        }
        What::Status => {
            assert!(result["phase"].is_string() && result["store"].is_string(), "{result}");
            None
        }
        What::Refused(code) => panic!("{} is refused with {code}, not done", request.method),
    };
    if let Some(version) = version {
        assert!(version <= durable.version, "version {version} was told and is not on the disk");
        assert!(version >= floor, "version {version} was told after {floor}");
        told.version = told.version.max(version);
    }
    version
}

/// The same key again gives the same result, and never another request's.
fn done_before(request: &Request, result: &Value, durable: &Durable, told: &mut Told) -> bool {
    let Some(key) = request.what.key() else { return false };
    let asked = format!("{} {}", request.method, request.params);
    match told.keyed.get(key) {
        Some((before, first)) if !durable.forgot_key => {
            assert_eq!(*before, asked, "the key {key} served two requests");
            assert_eq!(first, result, "the key {key} gave two results");
            true
        }
        Some(_) | None => {
            told.keyed.insert(key.into(), (asked, result.clone()));
            // It may have been done under an incarnation that never heard of it.
            true
        }
    }
}

fn greeting(result: &Value, omit: bool, durable: &Durable, disk_refused: bool) -> u64 {
    let version = result["state"]["version"].as_u64().expect("a greeting tells the version");
    let row = durable.history.get(version).expect("only what is on the disk is told");
    assert_eq!(result["state"].get("value").is_none(), omit);
    if !omit {
        assert_eq!(result["state"]["value"], *row.value, "the greeting's state");
    }
    let incarnation = result["incarnation"].as_u64().unwrap();
    let begun = durable.incarnations.get(&incarnation).is_some_and(|row| row.begun.is_some());
    assert!(begun || disk_refused, "the record of the start comes before the greeting");
    version
}

fn read(result: &Value, path: Option<&str>, durable: &Durable) -> u64 {
    let version = result["version"].as_u64().unwrap();
    let row = durable.history.get(version).expect("only what is on the disk is told");
    let there = match path {
        None => Some(&*row.value),
        Some(path) => row.value.pointer(path),
    };
    assert_eq!(Some(&result["value"]), there, "what was read at {version}");
    version
}

fn written(
    result: &Value,
    write: &Write,
    durable: &Durable,
    told: &mut rulings::Told,
) -> Option<u64> {
    let results: Vec<&Value> = if write.is_tx {
        result["results"].as_array().unwrap().iter().collect()
    } else {
        vec![result]
    };
    assert_eq!(results.len(), write.steps.len());
    let is_alone = !write.is_tx && write.key.is_none();
    let mut version = None;
    for (step, result) in write.steps.iter().zip(results) {
        let v = match step {
            Step::Errand { what, params, .. } => {
                match errand_done(what, params, result, durable, told, is_alone) {
                    Some(v) => v,
                    None => continue,
                }
            }
            Step::Patch { .. } | Step::Checkpoint { .. } => result["version"].as_u64().unwrap(),
        };
        assert!(version.is_none_or(|before| before == v || write.is_tx));
        version = version.max(Some(v));
        match step {
            Step::Errand { .. } => {}
            Step::Patch { format, text } => patched(v, *format, text, write, durable),
            Step::Checkpoint { label } => {
                let (id, bytes) = (result["id"].as_u64().unwrap(), result["bytes"].as_u64());
                let made = durable.made.get(&id).expect("a checkpoint is told when it is there");
                assert_eq!((made.bytes, &made.label), (bytes.unwrap(), label));
                assert!(made.version == v || write.is_tx);
            }
        }
    }
    version
}

fn patched(version: u64, format: Format, text: &str, write: &Write, durable: &Durable) {
    let row = durable.history.get(version).expect("a write is told when it is on the disk");
    if row.format == Format::Many {
        assert!(row.patch.contains(text), "the change at {version}");
    } else {
        assert_eq!((row.format, &*row.patch), (format, text), "the change at {version}");
    }
    if let Some(wanted) = write.if_version {
        assert_eq!(row.before, wanted, "if_version");
    }
}

fn restored(
    result: &Value,
    which: &CheckpointRef,
    if_version: Option<u64>,
    durable: &Durable,
) -> u64 {
    let version = result["version"].as_u64().unwrap();
    let row = durable.history.get(version).expect("a restore is told when it is on the disk");
    let id = row.by.strip_prefix("restore:").expect("it is a restore").parse::<u64>().unwrap();
    let made = &durable.made[&id];
    match which {
        CheckpointRef::Id(wanted) => assert_eq!(id, *wanted),
        CheckpointRef::Label(label) => assert_eq!(made.label.as_ref(), Some(label)),
    }
    assert_eq!(row.value, durable.history.get(made.version).unwrap().value, "the old content");
    assert!(if_version.is_none_or(|wanted| row.before == wanted), "if_version");
    version
}

fn listed(result: &Value, durable: &Durable) {
    let list = result["checkpoints"].as_array().unwrap();
    let ids: Vec<u64> = list.iter().map(|c| c["id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    for checkpoint in list {
        let made = &durable.made[&checkpoint["id"].as_u64().unwrap()];
        assert_eq!(checkpoint["version"].as_u64(), Some(made.version));
    }
}

fn check_error(request: &Request, error: &Value, durable: &Durable, floor: u64) {
    let code = error["code"].as_i64().unwrap();
    let data = &error["data"];
    assert!(data["kind"].is_string() && data["retryable"].is_boolean(), "{error}");
    let writes = matches!(request.method, "state.set" | "state.patch" | "checkpoint.create" | "tx");
    match (&request.what, code) {
        (What::Refused(expected), code) if *expected == code => {}
        // Of one that is attached.
        (What::Restore { .. }, 1006) => {}
        (What::Plain, 1006) if request.method == "restart" => {}
        // A disk that is known to refuse says so first.
        (What::Refused(-32602), 1501) if writes => {}
        (What::Write(write), 1101) => conflict(write.if_version, data),
        (What::Restore { if_version, .. }, 1101) => conflict(*if_version, data),
        (What::Write(write), 1102) => failed_somewhere(write, durable, floor),
        (What::Write(write), code) if refuses(write, code) => {}
        (What::Write(write), -32602) if write.steps.iter().any(may_be_wrong) => {
            let place = data["index"].as_u64().unwrap_or(0);
            // Within a tx it may be for what stands before it.
            if !write.is_tx
                && data["kind"] != "key_reused"
                && let Some(Step::Errand { what, .. }) = write.steps.get(place as usize)
            {
                rulings::refused(what, data, durable);
            }
        }
        (What::Next, -32602 | 1501 | 1502) | (What::Look, 1501 | 1502) => {}
        (What::Get { path: Some(path) }, -32602) => {
            let mut seen = durable.history.from(floor);
            assert!(seen.any(|(_, row)| row.value.pointer(path).is_none()), "it is there");
        }
        (What::Write(_) | What::Restore { .. }, -32602) if data["kind"] == "key_reused" => {
            assert!(request.what.key().is_some());
        }
        (What::Restore { which, .. }, 1401) => {
            assert!(
                matches!(which, CheckpointRef::Label(_)) || durable.find(which).is_none(),
                "the checkpoint is there"
            );
        }
        (What::Write(write), 1501) => not_applied(write, durable),
        (What::Restore { .. } | What::Finish { .. } | What::List | What::Removal, 1501) => {}
        (
            What::Write(_)
            | What::Restore { .. }
            | What::Finish { .. }
            | What::Removal
            | What::List,
            1502,
        ) => {}
        _ => panic!("{request:?} was answered {error}"),
    }
}

/// Whether a step of it may be refused with that code, as things may stand.
fn refuses(write: &Write, code: i64) -> bool {
    write.steps.iter().any(|step| {
        let Step::Errand { method, what, .. } = step else { return false };
        match code {
            1201 => matches!(
                what,
                Errand::Ack { .. }
                    | Errand::Release { .. }
                    | Errand::Extend { .. }
                    | Errand::Begin(_)
                    | Errand::Complete(_)
                    | Errand::ProcessHeld { .. }
            ),
            1202 => method.starts_with("event.") || method.starts_with("step."),
            1203 => matches!(what, Errand::Post),
            1204 => {
                matches!(what, Errand::Emit { .. } | Errand::Ack { .. } | Errand::Process { .. })
            }
            1301 | 1302 => matches!(what, Errand::Begin(_)),
            -32602 => matches!(what, Errand::Release { .. } | Errand::Other),
            _ => false,
        }
    })
}

/// Whether its params may be wrong, as the script makes them up.
fn may_be_wrong(step: &Step) -> bool {
    let Step::Errand { what, .. } = step else { return false };
    matches!(
        what,
        Errand::Process { .. }
            | Errand::ProcessHeld { .. }
            | Errand::Outcome(_)
            | Errand::ReviewOf { .. }
    )
}

/// An errand is told to be done when it is on the disk. Gives the version, if
/// it tells one.
fn errand_done(
    what: &Errand,
    params: &str,
    result: &Value,
    durable: &Durable,
    told: &mut rulings::Told,
    is_alone: bool,
) -> Option<u64> {
    let work = &durable.work;
    match what {
        Errand::Emit { mark, id } => {
            let seq = result["seq"].as_u64().unwrap();
            let there = marked(*mark, durable) == Some(seq) || work.dropped.contains(&seq);
            let again = result["duplicate"] == true && id.is_some();
            assert!(
                seq <= work.last_seq && (there || again || durable.forgot_key),
                "event {seq} is not there"
            );
            None
        }
        Errand::Ack { seq, .. } => {
            let acked = |row: &EventRow| row.status.state == EventState::Acked;
            assert!(work.dropped.contains(seq) || acked(&work.events[seq]), "{seq} is not acked");
            result["version"].as_u64()
        }
        Errand::Complete(_) => result["version"].as_u64(),
        Errand::Process { mark, id } => {
            let seq = result["seq"].as_u64().unwrap();
            let there = marked(*mark, durable) == Some(seq) || work.dropped.contains(&seq);
            assert!(there || id.is_some() || durable.forgot_key, "event {seq} is not there");
            told.processed(result, durable, is_alone && id.is_none())
        }
        Errand::ProcessHeld { seq } => {
            assert_eq!(result["seq"], *seq);
            told.processed(result, durable, false)
        }
        Errand::Decide { confidence } => {
            rulings::decided(result, durable);
            assert_eq!(result["metadata"]["confidence"].as_f64(), Some(*confidence));
            None
        }
        Errand::Outcome(outcome) => {
            rulings::taught(outcome, durable);
            None
        }
        Errand::ReviewOf { decision } => {
            rulings::asked_about(*decision, params, result, durable);
            None
        }
        Errand::Post
        | Errand::Release { .. }
        | Errand::Extend { .. }
        | Errand::Begin(_)
        | Errand::Other => None,
    }
}

/// The number of the event with that mark.
fn marked(mark: u64, durable: &Durable) -> Option<u64> {
    let text = format!("\"mark\":{mark}");
    let has = |row: &&EventRow| {
        row.body.ends_with(&format!("{text}}}")) || row.body.contains(&format!("{text},"))
    };
    durable.work.events.values().find(has).map(|row| row.status.seq)
}

fn conflict(if_version: Option<u64>, data: &Value) {
    assert_ne!(if_version.expect("a condition was set"), data["version"].as_u64().unwrap());
}

/// A patch that was refused fails on some state there was.
fn failed_somewhere(write: &Write, durable: &Durable, floor: u64) {
    let fails = |state: &Value| {
        let mut state = state.clone();
        for step in &write.steps {
            let Step::Patch { format, text } = step else { continue };
            match super::model::apply(&state, *format, &serde_json::from_str(text).unwrap()) {
                Some(next) => state = next,
                None => return true,
            }
        }
        false
    };
    assert!(durable.history.from(floor).any(|(_, row)| fails(&row.value)), "it would have applied");
}

/// `store_failed` says that nothing was applied.
fn not_applied(write: &Write, durable: &Durable) {
    if write.key.is_some() {
        // A repeat of what was done may be refused while the disk is full.
        return;
    }
    for step in &write.steps {
        match step {
            Step::Patch { text, .. } => {
                assert_eq!(durable.history.patch(text), None, "it was applied all the same");
            }
            Step::Errand {
                what: Errand::Emit { mark, .. } | Errand::Process { mark, .. }, ..
            } => {
                assert_eq!(marked(*mark, durable), None, "it was applied all the same");
            }
            Step::Errand { what: Errand::Outcome(outcome), .. }
                if matches!(outcome.of, Of::Stated { .. }) =>
            {
                let lessons = &durable.work.decisions.lessons;
                assert!(!lessons.has_taught(outcome), "it has taught all the same");
            }
            Step::Errand { .. } | Step::Checkpoint { .. } => {}
        }
    }
}
