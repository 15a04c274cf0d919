//! The rules file: read before a run, and again when that is asked for.
//!
//! A file may lie on a disk that hangs, so the loop never reads it: a thread
//! does, one at a time. Who asks while one reads has it read once more, since
//! what was asked for is the file as it is now.

use tokio::sync::mpsc;

use super::text_file;
use crate::quiet;
use crate::rules::{self, Layout, Rules};
use crate::settings::RulesFile;
use crate::typed::document::Fault;

/// What came of a reading.
pub type Report = Result<Rules, Fault>;

/// Reads the rules of a file.
///
/// # Errors
/// It can't be read, or there is a mistake in it.
pub fn read(file: &RulesFile) -> Report {
    let (path, layout) = match file {
        RulesFile::Own(path) => (path, Layout::Whole),
        RulesFile::Config(path) => (path, Layout::Table),
    };
    let text = text_file::read(path, "name a TOML file that the user adrt runs as may read")?;
    rules::parse(&text, layout).map_err(|wrong| wrong.in_file(path, &text))
}

/// A line for each thing in the rules that does nothing.
pub fn warnings(file: &RulesFile, rules: &Rules) -> Vec<String> {
    let path = file.path().display();
    rules.warnings.iter().map(|of| format!("{path}, {}: {}", of.place, of.what)).collect()
}

/// What was read, in a few words.
pub fn summary(file: &RulesFile, rules: &Rules) -> String {
    let path = file.path().display();
    let warnings = match rules.warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        count => format!(", {count} warnings"),
    };
    let rules = match rules.policy.own_rules() {
        1 => "1 rule".to_owned(),
        count => format!("{count} rules"),
    };
    format!("{rules} from {path}{warnings}")
}

/// The loop's side.
#[derive(Debug)]
pub struct Rereader {
    file: Option<RulesFile>,
    reports: mpsc::UnboundedSender<Report>,
    reading: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    No,
    Once,
    /// It was asked for once more meanwhile.
    Twice,
}

impl Rereader {
    /// Reads that file, when it is asked to, and tells there.
    pub fn new(file: Option<RulesFile>, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self { file, reports, reading: Reading::No }
    }

    /// Reads it again. Never waits.
    pub fn read(&mut self) {
        self.reading = match self.reading {
            Reading::No => {
                self.start();
                Reading::Once
            }
            Reading::Once | Reading::Twice => Reading::Twice,
        };
    }

    /// A report has come. Whether it is the last one that is on its way.
    pub fn reported(&mut self) -> bool {
        match std::mem::replace(&mut self.reading, Reading::No) {
            Reading::No | Reading::Once => true,
            Reading::Twice => {
                self.read();
                false
            }
        }
    }

    fn start(&self) {
        let Some(file) = self.file.clone() else { return };
        let reports = self.reports.clone();
        let path = file.path().to_owned();
        let started = quiet::spawn("adrt-rules", None, move || {
            let _loop_is_gone = reports.send(read(&file));
        });
        if let Err(error) = started {
            let what = format!("there is no thread to read it: {error}");
            let fault = Fault { path, place: None, what, hint: String::new() };
            let _loop_is_gone = self.reports.send(Err(fault));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(content: Option<&[u8]>) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rules.toml");
        if let Some(content) = content {
            std::fs::write(&path, content).expect("written");
        }
        let fault = read(&RulesFile::Own(path)).expect_err("a fault").to_string();
        fault.rsplit('/').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_is_no_rules_file_is_told() {
        assert!(fault(None).starts_with("rules.toml: can't be read: No such file"));
        assert_eq!(fault(Some(b"a = 1\n\xff")), "rules.toml, line 2, column 1: this is not UTF-8");
        let large = vec![b'#'; text_file::FILE_BYTES_MAX as usize + 1];
        assert!(fault(Some(&large)).contains("it has more than 1 MiB"));
        assert!(fault(Some(b"a = 1\n")).starts_with("rules.toml, line 1, column 1: there is no"));
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let fault = read(&RulesFile::Own(path)).expect_err("refused");
        assert!(fault.what.contains("it is no file"), "{fault}");
        let fault = read(&RulesFile::Own(dir.path().into())).expect_err("refused");
        assert!(fault.what.contains("it is no file"), "{fault}");
    }

    #[test]
    fn who_asks_meanwhile_has_it_read_once_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rules.toml");
        std::fs::write(&path, "").expect("written");
        let (sender, mut reports) = mpsc::unbounded_channel();
        let mut rereader = Rereader::new(Some(RulesFile::Own(path)), sender);
        for _ in 0..3 {
            rereader.read();
        }
        assert!(reports.blocking_recv().is_some_and(|report| report.is_ok()));
        assert!(!rereader.reported());
        assert!(reports.blocking_recv().is_some_and(|report| report.is_ok()));
        assert!(rereader.reported());
        assert!(reports.try_recv().is_err());
    }
}
