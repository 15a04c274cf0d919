//! A terminal's screen as a picture: plain SVG, readable on light and dark
//! pages, with the text as text.
//!
//! Only what adrt's own pages use is understood: bold, dim, and six colours.

/// Of the font, in pixels: what is common to the fonts of code.
const CHAR_WIDTH: f64 = 8.4;
const LINE_HEIGHT: usize = 20;
const MARGIN: usize = 16;
/// From the top of a line to the foot of its letters.
const BASELINE: usize = 14;

const STYLE: &str = "\
.bg{fill:#f6f8fa;stroke:#d1d9e0}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;\
fill:#1f2328;white-space:pre}
.b{font-weight:700}.d{fill:#59636e}.r{fill:#cf222e}.g{fill:#1a7f37}.y{fill:#9a6700}\
.n{fill:#0969da}.c{fill:#1b7c83}
@media (prefers-color-scheme:dark){
.bg{fill:#0d1117;stroke:#3d444d}text{fill:#e6edf3}.d{fill:#9198a1}.r{fill:#ff7b72}\
.g{fill:#3fb950}.y{fill:#d29922}.n{fill:#58a6ff}.c{fill:#39c5cf}}
";

/// A character and its class.
type Cell = (char, &'static str);

/// The picture of a screen of so many columns; `title` is for those who can't
/// see it.
pub fn picture(title: &str, screen: &str, columns: usize) -> String {
    let rows = rows(screen.trim_end(), columns);
    let width = columns as f64 * CHAR_WIDTH + 2.0 * MARGIN as f64;
    let height = rows.len() * LINE_HEIGHT + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" \
         viewBox=\"0 0 {width:.0} {height}\" role=\"img\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n\
         <rect class=\"bg\" x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{}\" rx=\"8\"/>\n",
        escaped(title),
        width - 1.0,
        height - 1,
    );
    for (row, cells) in rows.iter().enumerate() {
        let y = MARGIN + row * LINE_HEIGHT + BASELINE;
        let mut column = 0;
        for run in cells.chunk_by(|a, b| a.1 == b.1) {
            draw(run, column, y, &mut svg);
            column += run.len();
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The screen's rows, of which a line that is too long takes several.
fn rows(screen: &str, columns: usize) -> Vec<Vec<Cell>> {
    let mut class = "";
    let mut rows = Vec::new();
    for line in screen.lines() {
        let mut cells: Vec<Cell> = Vec::new();
        for (at, part) in line.split("\u{1b}[").enumerate() {
            let text = match part.split_once('m').filter(|_| at > 0) {
                Some((code, text)) => {
                    class = class_of(code);
                    text
                }
                None => part,
            };
            cells.extend(text.chars().map(|c| (c, class)));
        }
        rows.extend(cells.chunks(columns).map(<[Cell]>::to_vec));
        if cells.is_empty() {
            rows.push(cells);
        }
    }
    rows
}

/// Cells of one class that follow each other.
fn draw(run: &[Cell], column: usize, y: usize, svg: &mut String) {
    let text: String = run.iter().map(|(c, _)| c).collect();
    let blanks = text.len() - text.trim_start_matches(' ').len();
    let shown = text.trim_matches(' ');
    let (false, Some((_, class))) = (shown.is_empty(), run.first()) else { return };
    let x = MARGIN as f64 + (column + blanks) as f64 * CHAR_WIDTH;
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    svg.push_str(&format!("<text x=\"{x:.1}\" y=\"{y}\"{class}>{}</text>\n", escaped(shown)));
}

fn class_of(code: &str) -> &'static str {
    match code {
        "0" => "",
        "1" => "b",
        "2" => "d",
        "31" => "r",
        "32" => "g",
        "33" => "y",
        "34" => "n",
        "36" => "c",
        other => panic!("a code that no picture has: {other}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
