//! It crashes at night, and somebody looks at it next morning.

use crate::shop::Shop;
use crate::support::wait_for;

#[test]
fn a_crash_at_night_and_the_look_at_it_next_morning() {
    let shop = Shop::new();
    let run = shop.open_and_serve();
    // At three o'clock comes an order that the program dies of, each time.
    shop.order("poison");
    shop.order("milk");
    shop.wait_served(2);

    // In the morning it runs, and what the night was is on record.
    let list = shop.ok(&["list"]);
    assert!(list.contains("courier") && list.contains("running"), "{list}");
    let crashes = shop.ok(&["crashes", "list", "courier"]);
    assert_eq!(crashes.matches("exited with code 3").count(), 3, "{crashes}");
    let last = shop.ok(&["crashes", "show", "courier"]);
    assert!(last.contains("exited with code 3"), "{last}");
    assert!(last.contains("event 2"), "what it was at: {last}");
    assert!(last.contains("no way to deliver this"), "its last output: {last}");
    let logs = shop.ok(&["logs", "courier", "-n", "1000"]);
    assert_eq!(logs.matches("no way to deliver this").count(), 3, "{logs}");
    // The order is put aside, and names why.
    let dead = shop.ok(&["events", "list", "courier", "--dead"]);
    assert!(dead.contains("order") && dead.contains("code 3"), "{dead}");
    // It can be looked at as it was before the night.
    let before = shop.ok(&["state", "show", "courier", "--version", "1", "--json"]);
    assert!(before.contains("\"served\":1"), "{before}");

    // The program is mended; the order is handed out once more.
    shop.install("courier_mended.py");
    shop.ok(&["restart", "courier"]);
    shop.ok(&["events", "retry", "courier", "2"]);
    shop.wait_served(3);
    assert_eq!(shop.paid(), ["bread", "milk", "poison"]);
    assert_eq!(shop.ok(&["events", "list", "courier", "--dead", "--json"]).trim(), "[]");
    let check = shop.page(&["status", "courier", "--check"]);
    assert_eq!(check.code, Some(0), "{check:?}");
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn adrt_and_its_agent_die_at_night_and_the_morning_finds_both_at_work() {
    let shop = Shop::new();
    let mut run = shop.open(&[]);
    for order in ["bread", "milk"] {
        shop.order(order);
    }
    shop.wait_served(2);
    run.kill();
    shop.order("cheese");
    let down = shop.page(&["status", "courier", "--check"]);
    assert_eq!(down.code, Some(2), "{down:?}");
    // What systemd does.
    let run = shop.open(&[]);
    shop.wait_served(3);
    assert_eq!(shop.paid(), ["bread", "milk", "cheese"]);
    wait_for("the end of the old one on record", || {
        shop.ok(&["crashes", "list", "courier", "--all"]).contains("adrt").then_some(())
    });
    assert_eq!(run.stop().code, Some(0));
}
