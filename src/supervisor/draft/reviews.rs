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
        if let Some(key) = &request.key
            && let Some(settled) = self.known.review(&ReviewRef::Key(key.clone())).cloned()
            && settled.status != ReviewStatus::Pending
        {
            self.review_result(&settled);
            return Ok(());
        }
        if let Some(row) = self.own_review_of_decision(request) {
            self.review_result(&row);
            return Ok(());
        }
        let same = |row: &ReviewRow| match &request.key {
            Some(key) => row.key.as_ref() == Some(key),
            None => {
                row.key.is_none()
                    && row.prompt == request.prompt
                    && row.options == request.options
                    && row.decision == request.decision
            }
        };
        if let Some(mut row) = self.doc.agenda.reviews.alike(same).cloned() {
            row.count = row.count.saturating_add(1);
            self.review_result(&row);
            self.put_review(row);
            return Ok(());
        }
        let decision = match request.decision {
            None => None,
            Some(id) => Some(self.decision_as_it_is(id).ok_or_else(|| {
                let why = format!("there is no decision {id}, or it is kept no longer");
                WireError::invalid_params(why).with_text("member", "decision_id")
            })?),
        };
        let id = self.ask(request.prompt.clone(), Some(request))?;
        if let Some(decision) = decision {
            self.review_is_about(id, decision.id);
            if decision.review.is_none() {
                self.put(WorkOp::Decision(Box::new(DecisionRow { review: Some(id), ..decision })));
            }
        }
        if let Some(row) = self.doc.agenda.reviews.get(id).cloned() {
            self.review_result(&row);
        }
        Ok(())
    }

    /// The review that a decision waits for by itself. Who asks about the
    /// decision takes it over, with their own words; one that was taken over by
    /// a key is no longer for others.
    fn own_review_of_decision(&mut self, request: &ReviewRequest) -> Option<ReviewRow> {
        let found = self.review_of_decision(request.decision?)?;
        let Some(row) = self.doc.agenda.reviews.get(found.id).cloned() else {
            return (found.key.is_none() || found.key == request.key).then_some(found);
        };
        if row.key.is_some() {
            return (row.key == request.key).then_some(row);
        }
        let timeout = request.timeout.map(|timeout| self.context.age + timeout);
        let row = ReviewRow {
            key: request.key.clone(),
            prompt: request.prompt.clone(),
            options: request.options.clone(),
            expires: timeout.or(row.expires),
            default: if request.default_approve { ReviewStatus::Approved } else { row.default },
            ..row
        };
        self.put_review(row.clone());
        Some(row)
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
