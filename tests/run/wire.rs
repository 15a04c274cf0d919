//! The wire by hand: what a line of the agent's stdout is, and what comes back.

use serde_json::json;

use crate::support::{Puppets, Run, World};

pub mod errors;
pub mod flow;
pub mod hazards;
pub mod lines;
pub mod methods;

/// A world with a running agent that has said nothing yet.
pub struct Scene {
    pub run: Run,
    pub puppets: Puppets,
    pub world: World,
}

impl Scene {
    pub fn new(options: &[&str]) -> Self {
        let world = World::new();
        let puppets = world.puppets();
        let mut all =
            vec!["--no-python-client", "--backoff-initial", "1ms", "--backoff-max", "5ms"];
        if !options.contains(&"--stop-timeout") {
            all.extend(["--stop-timeout", "1s"]);
        }
        all.extend(options);
        let run = world.run(&all, puppets.argv());
        Self { run, puppets, world }
    }

    /// And an agent that has said `initialize`.
    pub fn open(options: &[&str]) -> (Self, crate::support::Puppet) {
        let scene = Self::new(options);
        let mut puppet = scene.puppets.next();
        puppet.initialize_with(json!({"state": "omit"}));
        (scene, puppet)
    }
}
