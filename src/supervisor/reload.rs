//! The rules file: that it is to be read again, and what came of it.
//!
//! Who reads it, and judges what it says, is outside: the machine asks by
//! [`Effect::Reload`] and is answered by [`Input::Policy`] or
//! [`Input::PolicyRefused`]. It remembers the last answer for `status`, since
//! whoever asked was answered before it came.
//!
//! [`Input::Policy`]: super::io::Input::Policy
//! [`Input::PolicyRefused`]: super::io::Input::PolicyRefused

use std::sync::Arc;

use serde_json::{Value, json};

use super::apply::Judgement;
use super::io::{Effect, Level};
use super::machine::Machine;
use crate::clock::Wall;
use crate::engines::decision::Policy;

/// What came of reading the rules again.
#[derive(Debug, Default)]
pub struct Reloads {
    /// How often it was done in this run.
    count: u64,
    /// When the rules that are in force were read; none: at the start.
    at: Option<Wall>,
    /// Why the last reading changed nothing.
    trouble: Option<String>,
}

impl Machine {
    /// Has the rules file read again, if there is one.
    pub(super) fn reload(&mut self) {
        if self.setup.rules_file {
            self.out.push(Effect::Reload);
        } else {
            self.log(Level::Info, "nothing to reload: there is no rules file");
        }
    }

    /// From now on decisions go by this policy.
    pub(super) fn judge_by(&mut self, policy: Arc<Policy>) {
        self.judgement = Judgement::new(policy);
        let count = self.reloads.count + 1;
        self.reloads = Reloads { count, at: Some(self.now.wall), trouble: None };
    }

    /// The rules file has a mistake: all stays as it was.
    pub(super) fn policy_refused(&mut self, trouble: String) {
        self.reloads.count += 1;
        self.reloads.trouble = Some(trouble);
    }

    /// For `status`; null without a rules file.
    pub(super) fn rules_json(&self) -> Value {
        if !self.setup.rules_file {
            return Value::Null;
        }
        let Reloads { count, at, trouble } = &self.reloads;
        json!({
            "own": self.judgement.policy.own_rules(),
            "reloads": count,
            "reloaded": at.map(Wall::rfc3339),
            "trouble": trouble,
        })
    }
}
