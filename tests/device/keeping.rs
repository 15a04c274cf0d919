//! Copies of an agent: for a bad day, and for another device.

use crate::shop::Shop;

#[test]
fn a_backup_brings_back_all_of_it() {
    let shop = Shop::new();
    let run = shop.open_and_serve();
    // While it runs.
    shop.ok(&["backup", "courier", "courier.adrt"]);
    assert_eq!(run.stop().code, Some(0));
    // The card is dead, and a new one is in.
    std::fs::remove_dir_all(shop.world.state_dir()).unwrap();
    shop.ok(&["restore", "courier.adrt"]);
    let run = shop.open(&[]);
    shop.order("milk");
    shop.wait_served(2);
    // What was paid for before the backup is known to be.
    shop.order("bread");
    shop.order("cheese");
    shop.wait_served(3);
    assert_eq!(shop.paid(), ["bread", "milk", "cheese"]);
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn a_copy_that_was_cut_short_is_refused() {
    let shop = Shop::new();
    let run = shop.open_and_serve();
    shop.ok(&["backup", "courier", "courier.adrt"]);
    assert_eq!(run.stop().code, Some(0));
    let whole = std::fs::read(shop.world.path("courier.adrt")).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for bad in [&whole[..whole.len() / 2], &flipped] {
        let file = shop.world.file("bad.adrt", bad);
        let done = shop.page(&["restore", file.to_str().unwrap(), "-n", "copy"]);
        assert_ne!(done.code, Some(0), "{done:?}");
        assert_eq!(shop.page(&["status", "copy"]).code, Some(66), "nothing is left of it");
    }
}

#[test]
fn an_agent_moves_to_another_device() {
    let (old, new) = (Shop::new(), Shop::new());
    let run = old.open_and_serve();
    let refused = old.page(&["backup", "courier", "moving.adrt", "--move"]);
    assert_eq!(refused.code, Some(75), "it runs: {refused:?}");
    assert!(!old.world.path("moving.adrt").exists());
    assert!(refused.stderr.contains("adrt stop courier"), "{refused:?}");
    old.ok(&["stop", "courier"]);
    assert_eq!(run.done().code, Some(0));
    // What came in meanwhile moves along.
    old.order("milk");
    let said = old.ok(&["backup", "courier", "moving.adrt", "--move"]);
    assert!(said.contains("runs no more here"), "{said}");

    // Nobody starts it a second time by mistake, and its orders are not taken.
    let refused = old.open(&[]).done();
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.stderr.contains("moved away, to"), "{refused:?}");
    let event = r#"{"type":"order","name":"lost"}"#;
    let refused = old.page(&["events", "emit", "courier", event]);
    assert_ne!(refused.code, Some(0), "{refused:?}");

    std::fs::copy(old.world.path("moving.adrt"), new.world.path("moving.adrt")).unwrap();
    new.ok(&["restore", "moving.adrt"]);
    let run = new.open(&[]);
    new.wait_served(2);
    assert_eq!((old.paid().concat(), new.paid().concat()), ("bread".into(), "milk".into()));
    assert_eq!(run.stop().code, Some(0));

    // And back again: what was put aside is taken over by what comes.
    new.ok(&["backup", "courier", "back.adrt", "--move"]);
    std::fs::copy(new.world.path("back.adrt"), old.world.path("back.adrt")).unwrap();
    old.ok(&["restore", "back.adrt"]);
    let run = old.open(&[]);
    old.order("cheese");
    old.wait_served(3);
    assert_eq!(run.stop().code, Some(0));
}
