//! The courier, its orders and its book.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Done, Run, World, beside, python, wait_for};

/// A world with the courier's program in it, and the book.
pub struct Shop {
    pub world: World,
}

impl Shop {
    /// One that has served nobody.
    pub fn new() -> Self {
        let shop = Self { world: World::new() };
        shop.install("courier.py");
        shop
    }

    /// Puts a release of the program where it is run from.
    pub fn install(&self, release: &str) {
        let source = std::fs::read(beside(&format!("device/agents/{release}"))).unwrap();
        // As a deployment does it: the old one is there until the new one is.
        let new = self.world.file("courier.new", source);
        std::fs::rename(new, self.program()).unwrap();
    }

    fn program(&self) -> PathBuf {
        self.world.path("courier.py")
    }

    fn book(&self) -> PathBuf {
        self.world.path("book")
    }

    /// `adrt run` of it, called `courier`.
    pub fn open(&self, options: &[&str]) -> Run {
        self.open_by(Path::new(env!("CARGO_BIN_EXE_adrt")), options)
    }

    /// The same, once it has served the first order, for bread.
    pub fn open_and_serve(&self) -> Run {
        let run = self.open(&[]);
        self.order("bread");
        self.wait_served(1);
        run
    }

    /// As [`Shop::open`], by an adrt of its own.
    pub fn open_by(&self, adrt: &Path, options: &[&str]) -> Run {
        let mut command = self.world.program(adrt);
        command.args(["run", "-n", "courier", "--backoff-initial", "1ms"]).args(options);
        command.arg("--").arg(python()).arg(self.program()).arg(self.book());
        let run = Run::start(command);
        // Only then can anything be ordered.
        wait_for("an answer", || {
            let refused = run.stderr.contains("why:");
            let known = || self.world.done(["status", "courier"]).code != Some(66);
            (refused || known()).then_some(())
        });
        run
    }

    /// Orders this.
    pub fn order(&self, name: &str) {
        let event = json!({"type": "order", "source": "shop", "id": name, "name": name});
        self.ok(&["events", "emit", "courier", &event.to_string()]);
    }

    /// Waits until it has served so many.
    pub fn wait_served(&self, served: u64) {
        wait_for(&format!("{served} served"), || (self.served() == json!(served)).then_some(()));
    }

    /// What it says it has served.
    pub fn served(&self) -> Value {
        let done = self.world.done(["state", "get", "courier", "/served"]);
        serde_json::from_slice(&done.stdout).unwrap_or_default()
    }

    /// What was paid for, in order.
    pub fn paid(&self) -> Vec<String> {
        let book = std::fs::read_to_string(self.book()).unwrap_or_default();
        book.lines().map(str::to_owned).collect()
    }

    /// A command that must succeed, and what it prints.
    pub fn ok(&self, words: &[&str]) -> String {
        let done = self.world.done(words);
        assert_eq!(done.code, Some(0), "adrt {words:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// The page of a command that tells by its exit code how things are.
    pub fn page(&self, words: &[&str]) -> Done {
        self.world.done(words)
    }
}
