//! The disk fills up, and somebody makes room.

use serde_json::json;

use crate::shop::Shop;
use crate::support::{small_disk, wait_for};

#[test]
fn a_full_disk_is_repaired_and_nothing_is_lost() {
    let shop = Shop::new();
    if let Err(errno) = small_disk(&shop.world.state_dir(), "4m") {
        println!("skipped: a tmpfs can't be mounted here ({errno})");
        return;
    }
    let run = shop.open_and_serve();
    let filler = shop.world.state_dir().join("camera.raw");
    let _full = std::fs::write(&filler, vec![1; 64 << 20]);

    // Orders are refused, in a sentence; those that were taken are safe.
    let mut orders = 1;
    let refused = loop {
        orders += 1;
        assert!(orders < 10_000, "the disk is never full");
        let (id, name) = (orders.to_string(), format!("{orders}{}", "-".repeat(2000)));
        let event = json!({"type": "order", "source": "shop", "id": id, "name": name});
        let done = shop.page(&["events", "emit", "courier", &event.to_string()]);
        if done.code != Some(0) {
            break done;
        }
    };
    assert!(refused.stderr.contains("full"), "{refused:?}");
    let check = shop.page(&["status", "courier", "--check"]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(String::from_utf8_lossy(&check.stdout).contains("full"), "{check:?}");

    // Room is made. Nobody restarts anything.
    std::fs::remove_file(filler).unwrap();
    shop.wait_served(orders - 1);
    wait_for("the all clear", || {
        (shop.page(&["status", "courier", "--check"]).code == Some(0)).then_some(())
    });
    let paid = shop.paid();
    assert_eq!(paid.len() as u64, orders - 1, "each once");
    shop.order("milk");
    shop.wait_served(orders);
    assert_eq!(run.stop().code, Some(0));
}
