//! What is still to be done: the inbox, open steps, timers, posts, reviews.
//!
//! It is part of the state at a version ([`super::book::Doc`]): there is one
//! as the disk has it and one as it will be, both sharing what they have in
//! common. All maps here are persistent, so that keeping the two costs what
//! differs between them, and dropping a speculation is dropping a value.
//!
//! - [`inbox`]: events that wait or are held;
//! - [`steps`]: those that were begun and not completed;
//! - [`timers`]: all of them; [`posts`]: what is on its way to other agents;
//! - [`reviews`]: those that wait for a person;
//! - [`learned`]: what outcomes have taught.
//!
//! Nothing here writes: the drafts of `super::draft` do, and put the typed
//! writes beside each change.

pub mod inbox;
pub mod learned;
pub mod posts;
pub mod reviews;
pub mod steps;
pub mod timers;

use inbox::Inbox;
use learned::Learned;
use posts::Posts;
use reviews::Reviews;
use steps::Steps;
use timers::Timers;

use super::io::WorkRestored;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Agenda {
    pub inbox: Inbox,
    pub steps: Steps,
    pub timers: Timers,
    pub posts: Posts,
    pub reviews: Reviews,
    pub learned: Learned,
}

impl Agenda {
    /// From what was read.
    pub fn new(restored: WorkRestored) -> Self {
        Self {
            inbox: Inbox::new(
                restored.last_seq,
                restored.depth,
                restored.dead,
                restored.first,
                restored.parked,
            ),
            steps: Steps::new(restored.open_steps),
            timers: Timers::new(restored.timers),
            posts: Posts::new(restored.posts, restored.last_post),
            reviews: Reviews::new(restored.reviews, restored.last_review),
            learned: Learned::new(restored.calibrations, restored.last_decision),
        }
    }
}
