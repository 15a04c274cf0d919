//! Reviews: asked for, joined, settled.

use std::sync::Arc;
use std::time::Duration;

use super::{Draft, Follow};
use crate::clock::Age;
use crate::protocol::error::WireError;
use crate::protocol::reply::quote;
use crate::protocol::work::{EventText, ReviewRequest, ReviewResolve};
use crate::supervisor::io::{DecisionRow, ReviewRef, ReviewRow, ReviewStatus, WorkOp};

/// How long an answer is waited for, unless the asker says otherwise.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(3600);
/// The type of the event, and the method of the notification, that tell the
/// end of a review.
const RESOLVED: &str = "review.resolved";

impl Draft<'_> {
    /// `review.request`.
    pub(super) fn review_request(&mut self, request: &ReviewRequest) -> Result<(), WireError> {
        if let Some(row) = self.asked_by_key(request) {
            return self.asked_again(row);
        }
        let decision = match request.decision {
            None => None,
            Some(id) => Some(self.decision_as_it_is(id).ok_or_else(|| {
                let why = format!("there is no decision {id}, or it is kept no longer");
                WireError::invalid_params(why).with_text("member", "decision_id")
            })?),
        };
        let its_own = decision.as_ref().and_then(|row| self.review_of_decision(row));
        // Taken over by one key, it is not for another.
        let is_anothers = |row: &ReviewRow| row.key.is_some() && request.key.is_some();
        let decision = match its_own {
            Some(row) if !is_anothers(&row) => return self.take_over(row, request),
            Some(_) => None,
            None => decision,
        };
        let same = |row: &ReviewRow| {
            request.key.is_none()
                && row.key.is_none()
                && row.prompt == request.prompt
                && row.options == request.options
                && row.decision == request.decision
        };
        if let Some(row) = self.doc.agenda.reviews.alike(same).cloned() {
            return self.asked_again(row);
        }
        let id = self.ask(request.prompt.clone(), Some(request))?;
        if let Some(decision) = decision {
            self.review_is_about(id, decision.id);
            self.put(WorkOp::Decision(Box::new(DecisionRow { review: Some(id), ..decision })));
        }
        if let Some(row) = self.doc.agenda.reviews.get(id).cloned() {
            self.review_result(&row);
        }
        Ok(())
    }

    /// The review that was asked for by the same key.
    fn asked_by_key(&self, request: &ReviewRequest) -> Option<ReviewRow> {
        let key = request.key.as_ref()?;
        let has_key = |row: &ReviewRow| row.key.as_ref() == Some(key);
        let waits = self.doc.agenda.reviews.alike(has_key).cloned();
        waits.or_else(|| self.settled_review(has_key, &ReviewRef::Key(key.clone())))
    }

    /// The review of a decision.
    fn review_of_decision(&self, decision: &DecisionRow) -> Option<ReviewRow> {
        let id = decision.review?;
        let waits = self.doc.agenda.reviews.get(id).cloned();
        waits.or_else(|| self.settled_review(|row| row.id == id, &ReviewRef::Decision(decision.id)))
    }

    /// One that waits no longer, as this very transaction has it, or else the
    /// disk.
    fn settled_review(
        &self,
        is: impl Fn(&ReviewRow) -> bool,
        which: &ReviewRef,
    ) -> Option<ReviewRow> {
        let here = self.work_ops().rev().find_map(|op| match op {
            WorkOp::Review(row) if is(row) => Some(&**row),
            _ => None,
        });
        let row = here.or_else(|| self.known.review(which));
        row.filter(|row| row.status != ReviewStatus::Pending).cloned()
    }

    /// What waits is asked once more; what is settled stays as it is.
    fn asked_again(&mut self, mut row: ReviewRow) -> Result<(), WireError> {
        let waits = row.status == ReviewStatus::Pending;
        row.count = row.count.saturating_add(u32::from(waits));
        self.review_result(&row);
        if waits {
            self.put_review(row);
        }
        Ok(())
    }

    /// The review that a decision waits for by itself. Who asks about the
    /// decision takes it over, with their own words.
    fn take_over(&mut self, row: ReviewRow, request: &ReviewRequest) -> Result<(), WireError> {
        self.review_result(&row);
        if row.status == ReviewStatus::Pending && row.key.is_none() {
            let timeout = request.timeout.map(|timeout| self.context.age + timeout);
            self.put_review(ReviewRow {
                key: request.key.clone(),
                prompt: request.prompt.clone(),
                options: request.options.clone(),
                expires: timeout.or(row.expires),
                default: if request.default_approve { ReviewStatus::Approved } else { row.default },
                ..row
            });
        }
        Ok(())
    }

    /// Asks whether a decision may be carried out: the review's number. What is
    /// asked already is not asked twice.
    pub(super) fn ask_for_decision(
        &mut self,
        prompt: Arc<str>,
        (timeout, approve): (Duration, bool),
    ) -> Result<u64, WireError> {
        let same =
            |row: &ReviewRow| row.decision.is_some() && row.key.is_none() && row.prompt == prompt;
        if let Some(row) = self.doc.agenda.reviews.alike(same).cloned() {
            let id = row.id;
            self.put_review(ReviewRow { count: row.count.saturating_add(1), ..row });
            return Ok(id);
        }
        let request = ReviewRequest {
            key: None,
            prompt: prompt.clone(),
            options: None,
            timeout: Some(timeout),
            default_approve: approve,
            decision: None,
        };
        self.ask(prompt, Some(&request))
    }

    /// Notes the first decision that a review is about.
    pub(super) fn review_is_about(&mut self, review: u64, decision: u64) {
        let reviews = &mut self.doc.agenda.reviews;
        if let Some(row) = reviews.get(review).filter(|row| row.decision.is_none()).cloned() {
            reviews.put(ReviewRow { decision: Some(decision), ..row });
        }
    }

    /// A new review: its number. Without a request it waits for ever.
    pub(super) fn ask(
        &mut self,
        prompt: Arc<str>,
        request: Option<&ReviewRequest>,
    ) -> Result<u64, WireError> {
        let reviews = &mut self.doc.agenda.reviews;
        if reviews.is_full() {
            return Err(WireError::invalid_params(
                "too many reviews wait; adrt reviews list shows them",
            ));
        }
        let id = reviews.take_id();
        let default = match request {
            Some(request) if request.default_approve => ReviewStatus::Approved,
            Some(_) | None => ReviewStatus::Rejected,
        };
        let timeout = request.map(|request| request.timeout.unwrap_or(REVIEW_TIMEOUT));
        self.put_review(ReviewRow {
            id,
            key: request.and_then(|request| request.key.clone()),
            prompt,
            options: request.and_then(|request| request.options.clone()),
            default,
            expires: timeout.map(|timeout| self.context.age + timeout),
            decision: None,
            count: 1,
            asked: self.context.now.wall,
            status: ReviewStatus::Pending,
            answer: None,
            by: None,
            note: None,
            settled: None,
        });
        Ok(id)
    }

    fn put_review(&mut self, row: ReviewRow) {
        self.put(WorkOp::Review(Box::new(row.clone())));
        self.doc.agenda.reviews.put(row);
    }

    fn review_result(&mut self, row: &ReviewRow) {
        let answer = member("answer", row.answer.as_deref());
        let (id, status) = (row.id, row.status.as_str());
        self.result(format_args!("{{\"review_id\":{id},\"status\":\"{status}\"{answer}}}"));
    }

    /// `review.resolve`.
    pub(super) fn review_resolve(&mut self, resolve: &ReviewResolve) -> Result<(), WireError> {
        let id = resolve.id;
        let Some(row) = self.doc.agenda.reviews.get(id).cloned() else {
            let why = match self.known.review(&ReviewRef::Id(id)) {
                Some(row) => format!("review {id} is {} already", row.status.as_str()),
                None => format!("there is no review {id}"),
            };
            return Err(WireError::invalid_params(why));
        };
        let status = if resolve.approve { ReviewStatus::Approved } else { ReviewStatus::Rejected };
        self.settle_review(ReviewRow {
            status,
            answer: resolve.answer.clone(),
            by: resolve.by.clone(),
            note: resolve.note.clone(),
            ..row
        });
        self.empty_result();
        Ok(())
    }

    /// Reviews for which silence is an answer by now.
    pub fn expire_reviews(&mut self, now: Age) {
        for id in self.doc.agenda.reviews.expired(now) {
            if let Some(row) = self.doc.agenda.reviews.get(id).cloned() {
                self.settle_review(ReviewRow { status: ReviewStatus::Expired, ..row });
            }
        }
    }

    /// The end of a review: written down, told, and an event of its own.
    fn settle_review(&mut self, mut row: ReviewRow) {
        row.settled = Some(self.context.now.wall);
        self.doc.agenda.reviews.remove(row.id);
        self.unpark(&format!("review:{}", row.id));
        let told = told(&row);
        let text = format!("{{\"type\":\"{RESOLVED}\",{told}}}").into();
        let event = EventText { kind: RESOLVED.into(), source: None, id: None, text };
        self.arrived(&event, Duration::ZERO, None);
        self.follow.push(Follow::Notify { method: RESOLVED, params: format!("{{{told}}}") });
        self.put(WorkOp::Review(Box::new(row)));
    }
}

fn member(name: &str, json: Option<&str>) -> String {
    json.map_or_else(String::new, |json| format!(",\"{name}\":{json}"))
}

/// The members of `review.resolved`. An expired one says what silence meant.
fn told(row: &ReviewRow) -> String {
    let default = match row.status {
        ReviewStatus::Expired => format!(",\"default\":\"{}\"", row.default.as_str()),
        ReviewStatus::Pending | ReviewStatus::Approved | ReviewStatus::Rejected => String::new(),
    };
    let decision = row.decision.map(|id| id.to_string());
    format!(
        "\"review_id\":{},\"status\":\"{}\"{default}{}{}{}",
        row.id,
        row.status.as_str(),
        member("decision_id", decision.as_deref()),
        member("answer", row.answer.as_deref()),
        member("note", row.note.as_deref().map(quote).as_deref()),
    )
}

impl ReviewRow {
    /// As `review.get` tells it.
    pub fn to_json(&self) -> String {
        let by = member("by", self.by.as_deref().map(quote).as_deref());
        format!("{{{}{by}}}", told(self))
    }
}

#[cfg(test)]
mod tests;
