use proptest::prelude::*;

use super::*;

/// An item that outlives the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Text(Vec<u8>),
    Line { line: Vec<u8>, whole: Vec<u8> },
    Overlong,
}

fn keep(item: Item<'_>, kept: &mut Vec<Kept>) {
    match item {
        Item::Text(text) => {
            assert!(!text.is_empty());
            // Where text is cut depends on the reads, and that is all.
            if let Some(Kept::Text(before)) = kept.last_mut() {
                before.extend_from_slice(text);
            } else {
                kept.push(Kept::Text(text.to_vec()));
            }
        }
        Item::Line { line, whole } => {
            kept.push(Kept::Line { line: line.to_vec(), whole: whole.to_vec() });
        }
        Item::Overlong => kept.push(Kept::Overlong),
    }
}

/// Feeds the pieces in. `open_at`: the wire opens after that many lines.
fn cut(framer: &mut Framer, pieces: &[&[u8]], open_at: Option<usize>) -> Vec<Kept> {
    let mut kept = Vec::new();
    let mut lines = 0;
    let open = |framer: &mut Framer, lines| {
        if open_at == Some(lines) {
            framer.open_wire();
        }
    };
    open(framer, lines);
    for piece in pieces {
        let mut piece = *piece;
        while !piece.is_empty() {
            let taken = framer.push(piece);
            assert!(taken > 0, "a drained framer has room");
            piece = &piece[taken..];
            while let Some(item) = framer.next() {
                let is_line = matches!(item, Item::Line { .. });
                keep(item, &mut kept);
                if is_line {
                    lines += 1;
                    open(framer, lines);
                }
            }
        }
    }
    while let Some(item) = framer.finish() {
        keep(item, &mut kept);
    }
    kept
}

fn items(stream: &[u8]) -> Vec<Kept> {
    cut(&mut Framer::new(1024), &[stream], None)
}

fn text(text: &str) -> Kept {
    Kept::Text(text.as_bytes().to_vec())
}

fn line(line: &str, whole: &str) -> Kept {
    Kept::Line { line: line.as_bytes().to_vec(), whole: whole.as_bytes().to_vec() }
}

#[test]
fn text_goes_through_and_candidates_stand_out() {
    assert_eq!(
        items(b"a\nb\n{\"x\":1}\n \t{}\r\n\n  c {}\n"),
        [
            text("a\nb\n"),
            line("{\"x\":1}", "{\"x\":1}\n"),
            line(" \t{}", " \t{}\r\n"),
            text("\n  c {}\n")
        ]
    );
}

#[test]
fn text_does_not_wait_for_its_newline() {
    let mut framer = Framer::new(1024);
    framer.push(b"Name: ");
    assert_eq!(framer.next(), Some(Item::Text(b"Name: ")));
    assert_eq!(framer.next(), None);
    framer.push(b"{x}\n{");
    assert_eq!(framer.next(), Some(Item::Text(b"{x}\n")));
    assert_eq!(framer.next(), None);
    framer.push(b"}\n");
    assert_eq!(framer.next(), Some(Item::Line { line: b"{}", whole: b"{}\n" }));
}

#[test]
fn many_lines_of_text_are_one_span() {
    let mut framer = Framer::new(1024);
    let flood = b"0123456789\n".repeat(1000);
    assert_eq!(framer.push(&flood), flood.len());
    assert_eq!(framer.next(), Some(Item::Text(&flood)));
}

#[test]
fn bytes_after_the_last_newline_are_text() {
    assert_eq!(items(b"{}\n{\"torn\":"), [line("{}", "{}\n"), text("{\"torn\":")]);
    assert_eq!(items(b"   "), [text("   ")]);
    assert_eq!(items(b""), []);
    // What nobody asked for before the end is no worse for it.
    let mut framer = Framer::new(1024);
    framer.push(b"{}\n{");
    assert_eq!(framer.finish(), Some(Item::Line { line: b"{}", whole: b"{}\n" }));
    assert_eq!(framer.finish(), Some(Item::Text(b"{")));
    assert_eq!(framer.finish(), None);
}

#[test]
fn one_byte_order_mark_at_the_beginning() {
    assert_eq!(
        items("\u{feff}{}\n\u{feff}{}\n".as_bytes()),
        [line("{}", "\u{feff}{}\n"), text("\u{feff}{}\n")]
    );
    assert_eq!(items("\u{feff}a\n".as_bytes()), [text("\u{feff}a\n")]);
    assert_eq!(items(b"\xef\xbb"), [Kept::Text(b"\xef\xbb".to_vec())]);
    assert_eq!(items(b"\xef\xbb{}\n"), [Kept::Text(b"\xef\xbb{}\n".to_vec())]);
}

/// A line of `len` bytes that looks like a frame.
fn frame_of(len: usize) -> String {
    let head = "{\"jsonrpc\":\"2.0\",\"x\":\"";
    format!("{head}{}\"}}", "y".repeat(len - head.len() - 2))
}

#[test]
fn a_line_of_exactly_the_limit_is_no_longer_than_it() {
    for end in ["\n", "\r\n"] {
        let frame = frame_of(1024);
        let whole = format!("{frame}{end}");
        let kept = cut(&mut Framer::new(1024), &[whole.as_bytes()], Some(0));
        assert_eq!(kept, [line(&frame, &whole)]);
        let longer = format!("{}{end}{{}}\n", frame_of(1025));
        let kept = cut(&mut Framer::new(1024), &[longer.as_bytes()], Some(0));
        assert_eq!(kept, [Kept::Overlong, line("{}", "{}\n")]);
    }
}

#[test]
fn a_limit_beyond_all_memory_is_no_limit() {
    // `--max-frame 8GiB` on a machine of 32 bits.
    let frame = frame_of(3 * CHUNK);
    let whole = format!("{frame}\n");
    let kept = cut(&mut Framer::new(usize::MAX), &[whole.as_bytes()], Some(0));
    assert_eq!(kept, [line(&frame, &whole)]);
}

#[test]
fn too_long_before_the_wire_opens_is_text() {
    let long = format!("{}\n", frame_of(5000));
    assert_eq!(items(format!("{long}{{}}\n").as_bytes()), [text(&long), line("{}", "{}\n")]);
}

#[test]
fn too_long_without_the_mark_is_text() {
    let late = format!("{{\"x\":\"{}\",\"jsonrpc\":\"2.0\"}}\n", "y".repeat(5000));
    let kept = cut(&mut Framer::new(1024), &[late.as_bytes()], Some(0));
    assert_eq!(kept, [text(&late)]);
    let blanks = format!("{}{{\"jsonrpc\":\"2.0\"}}\n", " ".repeat(5000));
    let kept = cut(&mut Framer::new(1024), &[blanks.as_bytes()], Some(0));
    assert_eq!(kept, [text(&blanks)]);
}

#[test]
fn the_wire_opens_between_two_lines() {
    let long = format!("{}\n", frame_of(5000));
    let stream = format!("{long}{{}}\n{long}");
    let kept = cut(&mut Framer::new(1024), &[stream.as_bytes()], Some(1));
    assert_eq!(kept, [text(&long), line("{}", "{}\n"), Kept::Overlong]);
}

#[test]
fn a_discarded_line_takes_constant_memory() {
    let mut framer = Framer::new(1 << 20);
    framer.open_wire();
    let head = b"{\"jsonrpc\":\"2.0\",\"x\":\"";
    framer.push(head);
    assert_eq!(framer.next(), None);
    let mut most = 0;
    for _ in 0..1000 {
        assert!(framer.push(&[b'y'; CHUNK]) > 0);
        assert_eq!(framer.next(), None);
        most = most.max(framer.buffer.len());
    }
    assert!(most <= (1 << 20) + 2 * CHUNK, "{most}");
    framer.push(b"\n");
    assert_eq!(framer.next(), Some(Item::Overlong));
    assert_eq!(framer.next(), None);
    assert_eq!(framer.buffer.len(), CHUNK);
}

#[test]
fn a_large_frame_s_memory_is_given_back() {
    let mut framer = Framer::new(1 << 20);
    let stream = format!("{}\n", frame_of(1 << 20));
    let mut rest = stream.as_bytes();
    let mut found = 0;
    while !rest.is_empty() {
        let taken = framer.push(rest);
        rest = &rest[taken..];
        while let Some(item) = framer.next() {
            assert_eq!(
                item,
                Item::Line { line: &stream.as_bytes()[..1 << 20], whole: stream.as_bytes() }
            );
            found += 1;
        }
    }
    assert_eq!(found, 1);
    assert!(framer.buffer.len() <= (1 << 20) + 2 * CHUNK);
    assert_eq!(framer.next(), None);
    assert_eq!(framer.buffer.len(), 0);
    assert_eq!(framer.space().len(), CHUNK);
}

#[test]
fn a_caller_that_does_not_ask_gets_no_more_room() {
    let mut framer = Framer::new(1 << 20);
    let mut pushed = 0;
    loop {
        let taken = framer.push(&b"{}\n".repeat(1000));
        if taken == 0 {
            break;
        }
        pushed += taken;
        assert!(pushed <= CHUNK);
    }
    let mut got = 0;
    while let Some(item) = framer.next() {
        match item {
            Item::Line { whole, .. } => got += whole.len(),
            Item::Text(_) | Item::Overlong => panic!("{item:?}"),
        }
    }
    assert_eq!(got + framer.end - framer.start, pushed);
    assert!(!framer.space().is_empty());
}

/// The rules once more, the slow way: on the whole stream, line by line.
fn model(stream: &[u8], max_frame: usize, open_at: Option<usize>) -> Vec<Kept> {
    let mut kept = Vec::new();
    let mut lines = 0;
    for (place, whole) in stream.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let open = open_at.is_some_and(|at| lines >= at);
        let line = whole.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let content = line.unwrap_or(whole);
        let content =
            if place == 0 { content.strip_prefix(BOM).unwrap_or(content) } else { content };
        let brace = content.iter().find(|byte| !b" \t".contains(byte)) == Some(&b'{');
        let marked = content.windows(FRAME_MARK.len()).take(248).any(|part| part == FRAME_MARK);
        // Without its end, the last byte may be the first of a line end.
        let longest = max_frame + usize::from(line.is_none());
        if brace && content.len() > longest && open && marked {
            if line.is_some() {
                kept.push(Kept::Overlong);
            }
        } else if brace && content.len() <= max_frame && line.is_some() {
            lines += 1;
            kept.push(Kept::Line { line: content.to_vec(), whole: whole.to_vec() });
        } else {
            keep(Item::Text(whole), &mut kept);
        }
    }
    kept
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(prop_oneof![
            Just(b'{'), Just(b'}'), Just(b' '), Just(b'\t'), Just(b'\n'), Just(b'\r'), Just(b'a'),
            Just(0xef), Just(0xbb), Just(0xbf), any::<u8>(),
        ], 0..12),
        1 => Just(BOM.to_vec()),
        2 => Just(b"{\"jsonrpc\":\"2.0\"}\n".to_vec()),
        2 => (250usize..270, prop_oneof![Just("\n"), Just("\r\n"), Just("")])
            .prop_map(|(len, end)| format!("{}{end}", frame_of(len)).into_bytes()),
        1 => (200usize..800).prop_map(|len| vec![b' '; len]),
        1 => (200usize..2000).prop_map(|len| format!("{}\n", frame_of(len)).into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_cutting_gives_the_same(
        parts in proptest::collection::vec(part(), 0..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        chunk in 1usize..600,
        open_at in proptest::option::of(0usize..4),
    ) {
        let stream = parts.concat();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> =
            places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let mut framer = Framer::with_chunk(256, chunk);
        let kept = cut(&mut framer, &pieces, open_at);
        prop_assert_eq!(kept, model(&stream, 256, open_at));
        prop_assert!(framer.buffer.len() <= 256 + 5 + chunk.max(CHUNKS_KEPT * chunk));
    }
}
