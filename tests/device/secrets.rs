//! A key is exchanged for another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::shop::Shop;
use crate::support::process::with_environment;

/// Writes the file as a deployment does it.
fn put_key(shop: &Shop, key: &str) {
    let new = shop.world.file("secret.new", format!("# the shop's\nSHOP_KEY=\"{key}\"\n"));
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, shop.world.path("secret.env")).unwrap();
}

#[test]
fn a_secret_is_rotated_without_a_word_of_it_anywhere() {
    let shop = Shop::new();
    shop.install("courier_key.py");
    put_key(&shop, "hazelnut");
    let run = shop.open(&["--env-file", "secret.env", "--verbose"]);
    shop.order("bread");
    shop.wait_served(1);
    put_key(&shop, "walnut");
    shop.ok(&["restart", "courier"]);
    shop.order("milk");
    shop.wait_served(2);
    assert_eq!(shop.paid(), ["bread signed hazelnut", "milk signed walnut"]);

    // A file with a slip in it starts nothing without its key, and says where.
    let slip = shop.world.file("slip.env", "SHOP_KEY=\"pecan\n=\n");
    fs::rename(slip, shop.world.path("secret.env")).unwrap();
    let refused = shop.page(&["restart", "courier"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    run.stderr.wait_for("secret.env");
    put_key(&shop, "almond");
    shop.order("eggs");
    shop.wait_served(3);
    assert_eq!(shop.paid()[2], "eggs signed almond");

    // Only the agent has it.
    for key in ["hazelnut", "walnut", "almond", "pecan"] {
        assert!(!run.stderr.contains(key), "{key} is in the log");
        let kept_in = files_with(&shop.world.path("state"), key);
        assert!(kept_in.is_empty(), "{key} is in {kept_in:?}");
    }
    assert!(with_environment("SHOP_KEY", Path::new("almond")).iter().all(|pid| *pid != run.pid()));
    assert_eq!(run.stop().code, Some(0));
}

/// Files below a directory that hold these bytes.
fn files_with(dir: &Path, bytes: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if let Ok(content) = fs::read(&path)
            && memchr::memmem::find(&content, bytes.as_bytes()).is_some()
        {
            found.push(path);
        }
    }
    found
}
