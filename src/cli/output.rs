//! What goes to stdout: text, tables, JSON; colour only for terminals.
//!
//! A reader that goes away (`adrt … | head`) ends the command with success
//! and in silence; any other trouble with stdout is a failure. Text that came
//! from agents is escaped by whoever lays it out, before it gets here.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};

use super::env::Env;
use super::failure::{Failure, Kind};
use super::json;
use super::text::clipped;

/// Columns where nobody says how many there are.
const WIDTH_DEFAULT: usize = 80;
/// Columns for a reader that is no terminal: clipping would hide text from it
/// for nothing, and yet one cell must not fill the screen of whoever looks later.
const WIDTH_UNBOUND: usize = 200;
/// Narrower than this is not laid out for.
const WIDTH_MIN: usize = 40;

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Even into a file.
    Always,
    /// Not at all.
    Never,
}

/// Puts colour on text, or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Leaves text as it is.
    pub const PLAIN: Self = Self { on: false };

    fn sgr(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.sgr("1", text)
    }

    /// Something of less weight.
    pub fn dim(self, text: &str) -> String {
        self.sgr("2", text)
    }

    /// A member's name in JSON.
    pub fn name(self, text: &str) -> String {
        self.sgr("34", text)
    }

    /// A string in JSON.
    pub fn string(self, text: &str) -> String {
        self.sgr("32", text)
    }

    /// Any other JSON value.
    pub fn literal(self, text: &str) -> String {
        self.sgr("36", text)
    }

    /// By how it is.
    pub fn tint(self, tint: Tint, text: &str) -> String {
        match tint {
            Tint::None => text.to_owned(),
            Tint::Good => self.sgr("32", text),
            Tint::Warn => self.sgr("33", text),
            Tint::Bad => self.sgr("31", text),
            Tint::Dim => self.dim(text),
        }
    }
}

/// How something is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tint {
    /// Neither.
    #[default]
    None,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// In trouble.
    Bad,
    /// Not of interest now.
    Dim,
}

/// The way to stdout.
#[derive(Debug)]
pub struct Out {
    /// Whether a person looks at it.
    pub terminal: bool,
    /// For what goes there.
    pub paint: Paint,
    /// Columns to fill.
    pub width: usize,
}

impl Out {
    /// Finds out what stdout is.
    pub fn new(env: &Env, color: ColorWhen) -> Self {
        let terminal = io::stdout().is_terminal();
        let on = match color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => {
                terminal && env.text("NO_COLOR").is_none() && env.text("TERM") != Some("dumb")
            }
        };
        let width = env
            .text("COLUMNS")
            .and_then(|text| text.parse().ok())
            .or_else(|| if terminal { terminal_width() } else { Some(WIDTH_UNBOUND) });
        let width = width.unwrap_or(WIDTH_DEFAULT).max(WIDTH_MIN);
        Self { terminal, paint: Paint { on }, width }
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// [`Kind::ReaderGone`], or why stdout took no more.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                Failure::new(Kind::ReaderGone, "")
            } else {
                Failure::new(Kind::Failed, "the output could not be written").why(error)
            }
        })
    }

    /// Writes text and a newline.
    ///
    /// # Errors
    /// As [`Out::print`].
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        self.print(&format!("{text}\n"))
    }

    /// Writes one JSON value: laid out on a terminal, on one line else.
    ///
    /// # Errors
    /// As [`Out::print`].
    pub fn json(&self, text: &str) -> Result<(), Failure> {
        if self.terminal { self.line(&json::pretty(text, self.paint)) } else { self.line(text) }
    }

    /// Writes one JSON value on one line, on a terminal too: for what programs
    /// read line by line. A terminal is not to obey what an agent wrote.
    ///
    /// # Errors
    /// As [`Out::print`].
    pub fn json_line(&self, text: &str) -> Result<(), Failure> {
        self.line(&self.json_in_a_line(text))
    }

    /// What [`Out::json_line`] writes.
    pub fn json_in_a_line(&self, text: &str) -> String {
        let line = json::compact(text);
        if self.terminal { json::shown_string(&line) } else { line }
    }

    /// Writes a table.
    ///
    /// # Errors
    /// As [`Out::print`].
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        self.print(&table.lay_out(self.width, self.paint))
    }
}

/// Writes to stderr. That it may be closed is no reason to fail.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether somebody can be asked a question.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on stderr; only `y` and `yes` agree.
pub fn agrees(question: &str) -> bool {
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Text.
    Left,
    /// Numbers.
    Right,
    /// Text that is clipped so that the row fits.
    Fill,
}

/// Rows under a heading, one line each.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Column)>,
    rows: Vec<(Vec<String>, Tint)>,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(columns: &[(&'static str, Column)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one cell a column.
    pub fn row(&mut self, cells: Vec<String>, tint: Tint) {
        self.rows.push((cells, tint));
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, each line with its newline and no blanks at its end.
    pub fn lay_out(&self, width: usize, paint: Paint) -> String {
        let room = self.room_to_fill(width);
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(self.columns.iter().map(|(name, _)| *name));
        for (cells, _) in &self.rows {
            grid.add_row(cells.iter().zip(&self.columns).map(|(cell, (_, column))| match column {
                Column::Fill => clipped(cell, room),
                Column::Left | Column::Right => cell.clone(),
            }));
        }
        for (at, (_, column)) in self.columns.iter().enumerate() {
            if let Some(set) = grid.column_mut(at) {
                set.set_padding((u16::from(at > 0), 1));
                if *column == Column::Right {
                    set.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let mut out = String::new();
        for (at, line) in grid.lines().enumerate() {
            let line = line.trim_end();
            out.push_str(&match at.checked_sub(1).and_then(|row| self.rows.get(row)) {
                None => paint.bold(line),
                Some((_, tint)) => paint.tint(*tint, line),
            });
            out.push('\n');
        }
        out
    }

    /// What the other columns leave for the one that fills.
    fn room_to_fill(&self, width: usize) -> usize {
        let mut used = 0;
        for (at, (name, column)) in self.columns.iter().enumerate() {
            used += if at == 0 { 1 } else { 2 };
            if *column != Column::Fill {
                let widest = self.rows.iter().filter_map(|(cells, _)| cells.get(at));
                used += widest
                    .map(|cell| cell.chars().count())
                    .chain([name.chars().count()])
                    .max()
                    .unwrap_or(0);
            }
        }
        width.saturating_sub(used).max(8)
    }
}

/// A page of names and values.
#[derive(Debug, Default)]
pub struct Page(Vec<(&'static str, String)>);

impl Page {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line.
    pub fn field(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    /// The text; names to the left, dim. Further lines of a value stand below
    /// its first.
    pub fn lay_out(&self, paint: Paint) -> String {
        self.lay_out_in(usize::MAX, paint)
    }

    /// The same, no line longer than `columns` unless a word is.
    pub fn lay_out_in(&self, columns: usize, paint: Paint) -> String {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let room = columns.saturating_sub(width + 4);
        let mut out = String::new();
        for (name, value) in &self.0 {
            let blanks = " ".repeat(width - name.chars().count());
            let value = folded(value, room);
            let value = value.replace('\n', &format!("\n{}", " ".repeat(width + 4)));
            out.push_str(&format!("  {}{blanks}  {value}\n", paint.dim(name)));
        }
        out
    }
}

/// The text with blanks turned into line ends so that each line of it fits.
/// Colours take no room, and go on over a line end.
pub fn folded(text: &str, room: usize) -> String {
    text.split('\n').map(|line| folded_line(line, room)).collect::<Vec<_>>().join("\n")
}

fn folded_line(text: &str, room: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut used = 0;
    for (at, word) in text.split(' ').enumerate() {
        let length = shown_chars(word);
        if at > 0 && used + 1 + length > room && used > 0 {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            used = 0;
        } else if at > 0 && used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

/// Characters that take a column, which those of a colour's code do not.
fn shown_chars(text: &str) -> usize {
    let mut codes = text.split('\u{1b}');
    let plain = codes.next().map_or(0, |text| text.chars().count());
    let after_code = |text: &str| text.split_once('m').map_or(0, |(_, text)| text.chars().count());
    plain + codes.map(after_code).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_its_width() {
        let mut table =
            Table::new(&[("ID", Column::Right), ("WHO", Column::Left), ("PATCH", Column::Fill)]);
        table.row(vec!["1".into(), "agent".into(), "{}".into()], Tint::None);
        table.row(vec!["100".into(), "op".into(), "x".repeat(90)], Tint::Bad);
        let text = table.lay_out(40, Paint::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], " ID  WHO    PATCH");
        assert_eq!(lines[1], "  1  agent  {}");
        assert!(lines[2].starts_with("100  op     xxx") && lines[2].ends_with('…'));
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{text}");
        let tinted = table.lay_out(40, Paint { on: true });
        assert!(tinted.lines().nth(2).is_some_and(|line| line.starts_with("\u{1b}[31m")));
    }

    #[test]
    fn a_page_lines_up() {
        let mut page = Page::new();
        page.field("pid", "12");
        page.field("version", "3");
        assert_eq!(page.lay_out(Paint::PLAIN), "  pid      12\n  version  3\n");
        page.field("says", "one\ntwo");
        assert!(page.lay_out(Paint::PLAIN).ends_with("  says     one\n           two\n"));
        assert_eq!(page.lay_out_in(18, Paint::PLAIN), page.lay_out(Paint::PLAIN));
        let mut page = Page::new();
        let more = Paint { on: true }.dim("  (say more)");
        page.field("last", format!("a long tale{more}"));
        assert_eq!(
            page.lay_out_in(21, Paint::PLAIN),
            format!("  last  a long tale\u{1b}[2m\n        (say more)\u{1b}[0m\n")
        );
        assert!(
            page.lay_out_in(80, Paint::PLAIN).ends_with("tale\u{1b}[2m  (say more)\u{1b}[0m\n")
        );
    }
}
