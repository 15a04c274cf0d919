//! A new release of the agent's code, with another shape of its state; and
//! the way back from it.

use serde_json::json;

use crate::shop::Shop;
use crate::support::{Run, wait_for};

#[test]
fn an_upgrade_migrates_the_state_once() {
    let shop = Shop::new();
    let run = shop.open_and_upgrade();
    shop.order("milk");
    shop.wait_served_2(2);
    // A crash afterwards does not migrate it again.
    let status = shop.ok(&["status", "courier", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    crate::support::kill(status["pid"].as_i64().unwrap().try_into().unwrap(), 9);
    shop.order("cheese");
    shop.wait_served_2(3);
    assert_eq!(shop.paid(), ["bread", "milk", "cheese"]);
    let checkpoints = shop.ok(&["checkpoints", "list", "courier"]);
    assert_eq!(checkpoints.matches("schema 1").count(), 1, "{checkpoints}");
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn a_bad_release_is_rolled_back_and_nothing_is_paid_twice() {
    let shop = Shop::new();
    let run = shop.open_and_upgrade();
    for order in ["milk", "cheese"] {
        shop.order(order);
    }
    shop.wait_served_2(3);

    // It turns out to be no good: back to the code and to the state of before,
    // and what was served since is looked at once more, by the old code.
    shop.ok(&["stop", "courier"]);
    assert_eq!(run.done().code, Some(0));
    shop.install("courier.py");
    let said = shop.ok(&["checkpoints", "restore", "courier", "schema 1", "--reopen-events"]);
    assert!(said.contains('2'), "how many events come again: {said}");
    let run = shop.open(&[]);
    shop.wait_served(3);
    assert_eq!(shop.paid(), ["bread", "milk", "cheese"], "paid for once");
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn old_code_on_a_new_state_says_where_to_go_back_to() {
    let shop = Shop::new();
    let run = shop.open_and_upgrade();
    shop.order("milk");
    shop.wait_served_2(2);
    // The other way round than in the book: the code first, with no word to adrt.
    shop.install("courier_1.py");
    shop.ok(&["restart", "courier"]);
    wait_for("a crash", || {
        let last = shop.page(&["crashes", "show", "courier"]);
        String::from_utf8_lossy(&last.stdout).contains("adrt checkpoints restore").then_some(())
    });
    assert_eq!(shop.paid(), ["bread", "milk"]);
    assert_eq!(run.stop().code, Some(0));
}

impl Shop {
    /// Serves the first order by the first release, and goes on by the second.
    fn open_and_upgrade(&self) -> Run {
        let run = self.open_and_serve();
        self.install("courier_2.py");
        self.ok(&["restart", "courier"]);
        run
    }

    /// As [`Shop::wait_served`], in the second release's shape.
    fn wait_served_2(&self, served: u64) {
        wait_for(&format!("{served} served, told by release 2"), || {
            (self.served() == json!({"total": served})).then_some(())
        });
    }
}
