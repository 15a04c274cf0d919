//! adrt's own upgrade, and the way back.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::json;

use crate::shop::Shop;
use crate::support::World;

/// What earlier releases left on the disk.
const OLD_FILES: [(&str, &str); 2] = [
    ("schema 1", include_str!("../store/fixtures/v1.sql")),
    ("schema 2", include_str!("../store/fixtures/v2.sql")),
];

/// The database of `a`.
fn database(world: &World) -> PathBuf {
    world.state_dir().join("a/db/adrt.db")
}

/// Puts an old agent where it was left.
fn left_by(old: &str) -> World {
    let world = World::new();
    let file = database(&world);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(file.parent().unwrap()).unwrap();
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch(old).unwrap();
    conn.close().unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    world
}

#[test]
fn an_upgrade_takes_over_what_older_releases_wrote() {
    for (schema, old) in OLD_FILES {
        let world = left_by(old);
        // It can be looked at before anything is changed.
        let before = fs::read(database(&world)).unwrap();
        assert!(shown(&world).contains(r#""a":[1,2.50,"é"]"#), "{schema}");
        assert_eq!(fs::read(database(&world)).unwrap(), before, "{schema} is as it was");
        // The name is said, and so the script that it once had does not matter.
        let run = world.run_shell(&[], "adrt state patch '{\"new\": true}'");
        let done = run.done();
        assert_eq!(done.code, Some(0), "{schema}: {done:?}");
        assert!(shown(&world).contains(r#""a":[1,2.50,"é"]"#), "{schema}");
        assert!(shown(&world).contains(r#""new":true"#), "{schema}");
        assert!(!world.ends().is_empty(), "{schema}: the ledger goes on");
    }
}

/// Its state, to the letter: not all of its numbers are ones that programs know.
fn shown(world: &World) -> String {
    let done = world.done(["state", "show", "a", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// An agent of today.
fn of_today() -> World {
    let world = World::new();
    let done = world.run_shell(&[], "adrt state patch '{\"n\": 1}'").done();
    assert_eq!(done.code, Some(0), "{done:?}");
    world
}

/// As a release does that has more to keep than this one.
fn written_by_a_newer_one(world: &World, min_writer: &str) {
    let conn = Connection::open(database(world)).unwrap();
    conn.execute_batch("PRAGMA user_version = 1000").unwrap();
    let name = "adrt.min_writer";
    let mut bytes = b"meta".to_vec();
    for field in [name, min_writer] {
        bytes.push(2);
        bytes.extend((field.len() as u64).to_le_bytes());
        bytes.extend(field.as_bytes());
    }
    let sum = i64::from(crc32c::crc32c(&bytes));
    let row = (name, min_writer, sum);
    conn.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)", row).unwrap();
}

#[test]
fn a_downgrade_goes_on_where_the_newer_one_only_added() {
    let world = of_today();
    written_by_a_newer_one(&world, "1");
    let done = world.run_shell(&[], "adrt state patch '{\"old\": true}'").done();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(world.state().1, json!({"n": 1, "old": true}));
}

#[test]
fn a_downgrade_that_would_do_harm_is_refused_and_can_still_read() {
    let world = of_today();
    written_by_a_newer_one(&world, "1000");
    let done = world.run_shell(&[], "touch started").done();
    assert_eq!(done.code, Some(74), "{done:?}");
    assert!(done.stderr.contains("written by a newer adrt"), "{done:?}");
    assert!(!world.path("started").exists(), "nothing is started on it");
    assert_eq!(world.state().1, json!({"n": 1}));
    let refused = world.done(["state", "patch", "a", "{}"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
}

#[test]
fn the_binary_is_replaced_under_a_running_agent() {
    let shop = Shop::new();
    let bin = shop.world.path("bin");
    fs::create_dir(&bin).unwrap();
    let installed = bin.join("adrt");
    let install = || {
        let new = bin.join("adrt.new");
        fs::copy(env!("CARGO_BIN_EXE_adrt"), &new).unwrap();
        fs::rename(new, &installed).unwrap();
    };
    install();
    let run = shop.open_by(&installed, &[]);
    shop.order("bread");
    shop.wait_served(1);
    // The package is upgraded; the agent goes on under the old one, which is
    // no file any more, and so does whatever it starts.
    install();
    shop.order("milk");
    shop.wait_served(2);
    shop.ok(&["restart", "courier"]);
    shop.order("cheese");
    shop.wait_served(3);
    // Then the unit is restarted.
    assert_eq!(run.stop().code, Some(0));
    let run = shop.open_by(&installed, &[]);
    shop.order("eggs");
    shop.wait_served(4);
    assert_eq!(shop.paid(), ["bread", "milk", "cheese", "eggs"]);
    assert_eq!(run.stop().code, Some(0));
}
