//! SIGKILL at random moments, of the agent, of adrt, and of both: whatever
//! was acknowledged is there afterwards, and what is there is the fold of what
//! was applied.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::storm::{END, Storm, a_moment};
use crate::support::{Run, kill};

/// Kills in each campaign.
const KILLS: usize = 100;
/// After its process is there, an agent is killed within so many lines of its
/// diary: before its greeting, amid its first batch, or later.
const LINES_MAX: usize = 80;
/// The agent.
const SCRIPT: &str = "run/agents/storm.py";
/// See there.
const PADDING: usize = 400;

#[test]
fn a_hundred_kills_of_the_agent() {
    let storm = Storm::new("agent", SCRIPT, LINES_MAX);
    let mut rng = storm.rng();
    let (mut run, mut seen) = (storm.run(), 0);
    for _ in 0..KILLS {
        let agent = storm.next_victim(&mut run, &mut seen, &mut rng);
        kill(agent, 9);
    }
    end(&storm, run, &mut seen);
    let killed = storm.world.ends().iter().filter(|end| end["signal"] == 9).count();
    assert_eq!(killed, KILLS, "each death is in the ledger");
}

#[test]
fn a_hundred_kills_of_adrt() {
    let storm = Storm::new("adrt", SCRIPT, LINES_MAX);
    let mut rng = storm.rng();
    let (mut run, mut seen) = (storm.run(), 0);
    for _ in 0..KILLS {
        storm.next_victim(&mut run, &mut seen, &mut rng);
        run.kill();
        run = storm.run();
    }
    end(&storm, run, &mut seen);
}

#[test]
fn a_hundred_kills_of_both() {
    let storm = Storm::new("both", SCRIPT, LINES_MAX);
    let mut rng = storm.rng();
    let (mut run, mut seen) = (storm.run(), 0);
    for _ in 0..KILLS {
        let agent = storm.next_victim(&mut run, &mut seen, &mut rng);
        if rng.bool() {
            kill(agent, 9);
            a_moment(&mut rng);
            run.kill();
        } else {
            run.kill();
            kill(agent, 9);
        }
        run = storm.run();
    }
    end(&storm, run, &mut seen);
}

/// Stops the run and checks all that was ever noted.
fn end(storm: &Storm, mut run: Run, seen: &mut usize) {
    storm.agent(&mut run, seen, 1);
    let done = run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut world = Model::default();
    read_diary(&storm.diary, &mut world);
    let (version, state) = storm.world.state();
    world.handed_back(u64::MAX, version, &state);
    assert!(world.lives > KILLS / 4, "only {} lives got that far", world.lives);
    assert!(world.acked > KILLS, "only {} patches were acknowledged", world.acked);
    println!("{} lives, {} patches of {}", world.lives, world.chain.len(), world.sent.len());
    checkpoints(storm, &world);
}

/// An acknowledged checkpoint holds what was the state at its version.
fn checkpoints(storm: &Storm, model: &Model) {
    let kept = storm.world.json(&["checkpoints", "list", "a", "--json"]);
    for checkpoint in kept.as_array().unwrap() {
        let id = checkpoint["id"].to_string();
        let version = checkpoint["version"].as_u64().unwrap();
        let args = ["state", "show", "a", "--checkpoint", &id, "--json"];
        let shown = storm.world.json(&args);
        assert_eq!(shown["version"], version);
        assert_eq!(shown["state"], model.fold(version), "checkpoint {id}");
    }
    let by_itself = |checkpoint: &&Value| checkpoint["label"].is_null();
    assert!(kept.as_array().unwrap().iter().any(|c| by_itself(&c)), "{kept}");
    let newest = kept[0]["id"].as_u64().unwrap();
    assert!(model.checkpoint <= newest, "checkpoint {} is lost", model.checkpoint);
}

fn read_diary(path: &Path, model: &mut Model) {
    for line in std::fs::read_to_string(path).unwrap().lines() {
        // One that was torn tells of nothing that had been done by then.
        let Some(line) = line.strip_suffix(END) else { continue };
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "P" => {}
            "B" => {
                let state = serde_json::from_str(words[3]).unwrap();
                model.handed_back(number(1), number(2), &state);
            }
            "S" => model.sent(words[1], words[2], words[3]),
            "A" => model.acknowledged(words[1], number(2)),
            "C" => model.checkpoint = model.checkpoint.max(number(2)),
            _ => panic!("{line}"),
        }
    }
}

/// What must be in the state, from the diary alone.
#[derive(Default)]
struct Model {
    /// Each patch: the one before it, whether it sets or removes, which slot.
    sent: HashMap<String, (String, bool, String)>,
    /// Those known to be applied, in order: the n-th made version n.
    chain: Vec<String>,
    /// Acknowledged since the chain was last known.
    waiting: BTreeMap<u64, String>,
    acked: usize,
    incarnation: u64,
    lives: usize,
    /// The highest acknowledged checkpoint.
    checkpoint: u64,
}

impl Model {
    fn sent(&mut self, name: &str, before: &str, how: &str) {
        let (kind, slot) = how.split_once(' ').unwrap();
        self.sent.insert(name.into(), (before.into(), kind == "+", slot.into()));
    }

    fn acknowledged(&mut self, name: &str, version: u64) {
        self.acked += 1;
        let newest = self.waiting.last_key_value().map_or(self.chain.len() as u64, |last| *last.0);
        assert_eq!(version, newest + 1, "versions rise by one, in the order they were sent");
        self.waiting.insert(version, name.into());
    }

    fn handed_back(&mut self, incarnation: u64, version: u64, state: &Value) {
        assert!(incarnation > self.incarnation, "{incarnation} after {}", self.incarnation);
        self.incarnation = incarnation;
        self.lives += 1;
        // From the newest back to what was known before.
        let known = self.chain.last().cloned().unwrap_or_else(|| "-".into());
        let mut name = state["last"].as_str().unwrap_or("-").to_owned();
        let mut new = Vec::new();
        while name != known {
            let (before, ..) = self.sent.get(&name).unwrap_or_else(|| {
                panic!("incarnation {incarnation}: {known} was known, {state} does not follow it")
            });
            new.push(name);
            name = before.clone();
        }
        self.chain.extend(new.into_iter().rev());
        assert_eq!(version, self.chain.len() as u64, "one version each");
        for (version, name) in std::mem::take(&mut self.waiting) {
            let there = self.chain.get(version as usize - 1);
            assert_eq!(there, Some(&name), "{name} was acknowledged as version {version}");
        }
        assert_eq!(*state, self.fold(version), "incarnation {incarnation}");
    }

    /// The state at a version.
    fn fold(&self, version: u64) -> Value {
        let mut slots = Map::new();
        let Some(last) = version.checked_sub(1) else { return json!({}) };
        for (before, name) in self.chain[..version as usize].iter().enumerate() {
            let (_, sets, slot) = &self.sent[name];
            if *sets {
                let padding = "x".repeat((before + 1) % 7 * PADDING);
                slots.insert(slot.clone(), json!(format!("{name}{padding}")));
            } else {
                slots.remove(slot);
            }
        }
        json!({"last": self.chain[last as usize], "n": version, "slots": slots})
    }
}
