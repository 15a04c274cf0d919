//! STUB of what the store will read.

use crate::clock::Wall;
use crate::store::read::{ReadError, Reader};
use crate::supervisor::work::{EventRow, ReviewRow, Scope, StepRow};

#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub dead: bool,
    pub kind: Option<String>,
    pub since: Option<Wall>,
    pub before: Option<u64>,
    pub limit: u64,
}

#[derive(Debug, Clone, Default)]
pub struct InboxSummary {
    pub pending: u64,
    pub parked: u64,
    pub dead: u64,
    pub oldest: Option<Wall>,
    pub reviews: u64,
    pub timers: u64,
    pub posts: u64,
}

impl Reader {
    pub fn inbox_summary(&self) -> Result<InboxSummary, ReadError> {
        Ok(InboxSummary::default())
    }
    pub fn data_version(&self) -> Result<i64, ReadError> {
        Ok(0)
    }
    pub fn events(&self, _filter: &EventFilter) -> Result<Vec<EventRow>, ReadError> {
        Ok(Vec::new())
    }
    pub fn event(&self, _seq: u64) -> Result<Option<EventRow>, ReadError> {
        Ok(None)
    }
    pub fn events_after(&self, _seq: u64, _limit: u64) -> Result<Vec<EventRow>, ReadError> {
        Ok(Vec::new())
    }
    pub fn steps(&self, _scope: &Scope) -> Result<Vec<StepRow>, ReadError> {
        Ok(Vec::new())
    }
    pub fn reviews(&self, _all: bool) -> Result<Vec<ReviewRow>, ReadError> {
        Ok(Vec::new())
    }
}
