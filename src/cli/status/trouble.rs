//! What is wrong with an agent, the worst first: for a line that has room for
//! little else.

use std::time::Duration;

use super::{LOST, STOPPED, Status, UNREACHABLE};
use crate::cli::text::{counted, escaped, span};
use crate::store::read_work::COUNTED_MAX;

impl Status {
    /// Everything that is wrong, the worst first; what waits for a person is
    /// the last.
    pub(in crate::cli) fn troubles(&self) -> Vec<String> {
        // Of a few crashes, how it died is the news; of many, that there are.
        let is_loop = self.crash_loop == Some(true) || self.unstable == Some(true);
        let (first, second) = match is_loop {
            true => (self.crashing(), self.delay()),
            false => (self.delay(), self.crashing()),
        };
        let mut found: Vec<String> = [
            self.absence(),
            self.store_trouble(),
            first,
            second,
            self.rules.as_ref().and_then(|rules| {
                let trouble = rules.trouble.as_deref()?;
                Some(format!("rules: {}", escaped(trouble)))
            }),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.inbox.as_ref().is_some_and(|inbox| inbox.full) {
            found.push("inbox full".to_owned());
        }
        found.extend(self.left_to_people());
        found
    }

    /// Why nobody is there.
    fn absence(&self) -> Option<String> {
        let last = self.last_exit.as_ref().map(|exit| escaped(&exit.summary));
        match self.phase.as_str() {
            UNREACHABLE => self.status_text.as_deref().map(escaped),
            LOST => Some("its adrt was killed".to_owned()),
            STOPPED if self.incarnation.is_none() => Some("never started".to_owned()),
            STOPPED => last,
            _ => None,
        }
    }

    fn store_trouble(&self) -> Option<String> {
        let store = self.store.as_deref().filter(|store| *store != "ok")?;
        Some(format!("store: {}", escaped(store)))
    }

    fn crashing(&self) -> Option<String> {
        let crashes = self.crashes_in_row.filter(|count| *count > 0)?;
        let es = if crashes == 1 { "" } else { "es" };
        let row = format!("{crashes} crash{es} in a row");
        Some(match (self.crash_loop, self.unstable) {
            (Some(true), _) => format!("crash loop: {row}"),
            (_, Some(true)) => format!("unstable: {row}"),
            _ => row,
        })
    }

    fn delay(&self) -> Option<String> {
        let left = Duration::from_millis(self.next_retry_ms?);
        let why = self.last_exit.as_ref().map(|exit| format!("{}, ", escaped(&exit.summary)));
        Some(format!("{}next start in {}", why.unwrap_or_default(), span(left)))
    }

    /// What nobody but a person takes care of.
    fn left_to_people(&self) -> Vec<String> {
        let dead = self.inbox.as_ref().map_or(0, |inbox| inbox.dead);
        let reviews = self.reviews.unwrap_or(0);
        [(dead, "dead letter"), (reviews, "review")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| counted_to_the_end(count, what))
            .collect()
    }
}

/// "3 dead letters", "10000+ dead letters" where counting ended.
pub(super) fn counted_to_the_end(count: u64, what: &str) -> String {
    counted(count, what).replacen(&count.to_string(), &number(count), 1)
}

/// A number, or where counting it ended.
pub(super) fn number(count: u64) -> String {
    if count == COUNTED_MAX { format!("{count}+") } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::{Inbox, LastExit};
    use super::*;

    #[test]
    fn the_worst_is_the_first() {
        let exit = LastExit { summary: "killed by SIGKILL".to_owned(), ..LastExit::default() };
        let status = Status {
            phase: "backoff".to_owned(),
            store: Some("disk full since noon".to_owned()),
            crashes_in_row: Some(5),
            crash_loop: Some(true),
            next_retry_ms: Some(12_000),
            last_exit: Some(exit),
            inbox: Some(Inbox { dead: 1, ..Inbox::default() }),
            reviews: Some(2),
            ..Status::default()
        };
        let expected = [
            "store: disk full since noon",
            "crash loop: 5 crashes in a row",
            "killed by SIGKILL, next start in 12 s",
            "1 dead letter",
            "2 reviews",
        ];
        assert_eq!(status.troubles(), expected);
        let stopped = |incarnation| Status {
            phase: STOPPED.to_owned(),
            incarnation,
            last_exit: status.last_exit.clone().filter(|_| incarnation.is_some()),
            ..Status::default()
        };
        assert_eq!(stopped(Some(1)).troubles(), ["killed by SIGKILL"]);
        assert_eq!(stopped(None).troubles(), ["never started"]);
    }
}
