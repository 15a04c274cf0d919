//! What an operator may want to look for among the lines of the log: each sort
//! of happening has a number of its own, which systemd's journal keeps as
//! MESSAGE_ID. adrt-systemd(7) lists them; a number never changes its meaning.

/// What a line of the log is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A process of the agent is there.
    Started,
    /// It ended as it was asked to, or was done.
    Ended,
    /// It ended otherwise, or could not be started.
    Crashed,
    /// It crashed once more, in a row without progress or too often in an hour.
    CrashLoop,
    /// It will not be started again.
    GaveUp,
    /// It does not listen, and is killed.
    Killed,
    /// An event was given up.
    DeadLetter,
    /// The disk takes no writes.
    StoreFailing,
    /// It does again.
    StoreRecovered,
    /// The state can't be read.
    StoreUnreadable,
    /// The rules were read again.
    RulesRead,
    /// They have a mistake, and stay as they were.
    RulesRefused,
    /// The machine is under more pressure, or less.
    Environment,
}

impl Occasion {
    /// All of them, as they are listed.
    pub const ALL: [Self; 13] = [
        Self::Started,
        Self::Ended,
        Self::Crashed,
        Self::CrashLoop,
        Self::GaveUp,
        Self::Killed,
        Self::DeadLetter,
        Self::StoreFailing,
        Self::StoreRecovered,
        Self::StoreUnreadable,
        Self::RulesRead,
        Self::RulesRefused,
        Self::Environment,
    ];

    /// Its number.
    pub const fn message_id(self) -> &'static str {
        match self {
            Self::Started => "e7e6254cf4974fe380e1248a87c91001",
            Self::Ended => "e7e6254cf4974fe380e1248a87c91002",
            Self::Crashed => "e7e6254cf4974fe380e1248a87c91003",
            Self::CrashLoop => "e7e6254cf4974fe380e1248a87c91004",
            Self::GaveUp => "e7e6254cf4974fe380e1248a87c91005",
            Self::Killed => "e7e6254cf4974fe380e1248a87c91006",
            Self::DeadLetter => "e7e6254cf4974fe380e1248a87c91007",
            Self::StoreFailing => "e7e6254cf4974fe380e1248a87c91008",
            Self::StoreRecovered => "e7e6254cf4974fe380e1248a87c91009",
            Self::StoreUnreadable => "e7e6254cf4974fe380e1248a87c9100a",
            Self::RulesRead => "e7e6254cf4974fe380e1248a87c9100b",
            Self::RulesRefused => "e7e6254cf4974fe380e1248a87c9100c",
            Self::Environment => "e7e6254cf4974fe380e1248a87c9100d",
        }
    }
}
