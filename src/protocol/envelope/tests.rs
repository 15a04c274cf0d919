use super::*;

const TAG: &str = "0123456789abcdef";

fn says(line: &str, mode: Mode<'_>) -> String {
    match classify(line.as_bytes(), mode) {
        Line::Text => "text".into(),
        Line::Frame(frame) => format!("{} {}", frame.method, frame.id.unwrap_or("-")),
        Line::Invalid { id, duplicate, reason } => {
            let kind = if duplicate { "twice" } else { "invalid" };
            format!("{kind} {} ({reason})", id.unwrap_or("-"))
        }
        Line::Broken(fault) => format!("broken at {}", fault.column),
    }
}

#[test]
fn before_initialize_all_is_text_but_initialize() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"state.get"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize""#,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":NaN}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"initialize"}"#,
        r#"{"id":1,"method":"initialize"}"#,
        r#"{"a":{"jsonrpc":"2.0","method":"initialize"}}"#,
        "{}",
        "{",
    ] {
        assert_eq!(says(text, Mode::Closed), "text", "{text}");
    }
    // Answered, valid or not.
    let good = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    assert_eq!(says(good, Mode::Closed), "initialize 1");
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{},"params":{}}"#;
    assert!(says(twice, Mode::Closed).starts_with("twice 1 (member \"params\""));
    let no_id = r#"{"jsonrpc":"2.0","id":{},"method":"initialize"}"#;
    assert!(says(no_id, Mode::Closed).starts_with("invalid - (\"id\""));
}

#[test]
fn after_it_an_object_with_jsonrpc_is_a_frame_and_all_else_text() {
    for (line, meaning) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#, "m 1"),
        (r#"{"method":"m","id":"x","jsonrpc":"2.0"}"#, "m \"x\""),
        (r#"  { "jsonrpc" : "2.0" , "method" : "m" }  "#, "m -"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, "m null"),
        (r#"{"jsonrpc":"2.0","id":-1.5e400,"method":"m"}"#, "m -1.5e400"),
        (r#"{"\u006asonrpc":"2.0","method":"\u006d"}"#, "m -"),
        (r#"{"jsonrpc":"\u0032.0","method":"m","more":[1]}"#, "m -"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, "text"),
        (r#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, "text"),
        (r#"{"msg":"jsonrpc"}"#, "text"),
        (r#"{"a":{"jsonrpc":"2.0","method":"m"}}"#, "text"),
        (r#"{"level":"info"}"#, "text"),
        ("{not json", "text"),
    ] {
        assert_eq!(says(line, Mode::Open), meaning, "{line}");
    }
}

#[test]
fn what_looks_like_a_frame_and_does_not_parse_is_never_text() {
    for line in [
        &br#"{"jsonrpc":"2.0","id":1,"method":"#[..],
        br#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":NaN}}"#,
        br#"{"jsonrpc":"2.0","params":{"x":Infinity}}"#,
        b"{\"jsonrpc\":\"2.0\",\"params\":\"a\x01b\"}",
        b"{\"jsonrpc\":\"2.0\",\"params\":\"\xff\"}",
        br#"{"jsonrpc":"2.0"} {"jsonrpc":"2.0"}"#,
        br#"{"jsonrpc":"2.0","method":"m",}"#,
        br#"{'x',"jsonrpc""#,
    ] {
        assert!(matches!(classify(line, Mode::Open), Line::Broken(_)), "{}", line.escape_ascii());
    }
    let Line::Broken(fault) = classify(br#"{"jsonrpc":"2.0","x":NaN}"#, Mode::Open) else {
        panic!("it is broken")
    };
    assert_eq!((fault.line, fault.column), (1, 22));
}

#[test]
fn only_its_head_makes_a_broken_line_look_like_a_frame() {
    let padded = |pad: usize| format!("{{\"{}\":1,\"jsonrpc\":\"2.0\",", "x".repeat(pad));
    // `{"` and `":1,` and the nine bytes of the name.
    let fits = FRAME_HEAD_BYTES - 2 - 4 - 9;
    assert!(matches!(classify(padded(fits).as_bytes(), Mode::Open), Line::Broken(_)));
    assert!(matches!(classify(padded(fits + 1).as_bytes(), Mode::Open), Line::Text));
    assert!(matches!(classify(br#"{"a":NaN}"#, Mode::Open), Line::Text));
}

#[test]
fn with_a_tag_only_frames_that_bear_it_count() {
    let tagged = Mode::Tagged(TAG);
    let frame = |tag: &str| format!(r#"{{"jsonrpc":"2.0",{tag}"id":1,"method":"m"}}"#);
    assert_eq!(says(&frame(&format!("\"tag\":\"{TAG}\",")), tagged), "m 1");
    for other in ["", "\"tag\":\"0123\",", "\"tag\":null,", "\"tag\":1,", "\"Tag\":\"0123\","] {
        assert_eq!(says(&frame(other), tagged), "text", "{other}");
    }
    let broken = |tag: &str| format!(r#"{{"jsonrpc":"2.0",{tag}"id":1,"method":"#);
    assert_eq!(says(&broken(""), tagged), "text");
    assert!(says(&broken(&format!("\"tag\":\"{TAG}\",")), tagged).starts_with("broken"));
    // Without one asked for, a tag is a member like any other.
    assert_eq!(says(&frame("\"tag\":\"0123\","), Mode::Open), "m 1");
}

#[test]
fn a_frame_that_is_no_request_says_why_under_its_id() {
    for (line, meaning) in [
        (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, "invalid 7 (a request needs a \"method\""),
        (r#"{"jsonrpc":"2.0","id":7,"method":1}"#, "invalid 7 (a request needs a \"method\""),
        (r#"{"jsonrpc":"2.0","id":7,"method":"\ud800"}"#, "invalid 7 (a request needs"),
        (r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#, "invalid - (\"id\" must be"),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"m"}"#, "invalid - (\"id\" must be"),
        (r#"{"jsonrpc":"2.0"}"#, "invalid - (a request needs"),
    ] {
        assert!(says(line, Mode::Open).starts_with(meaning), "{line}: {}", says(line, Mode::Open));
    }
}

#[test]
fn a_member_that_stands_twice_is_named_however_it_is_written() {
    for (line, name) in [
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#, "id"),
        (r#"{"jsonrpc":"2.0","id":2,"method":"m","m\u0065thod":"n"}"#, "method"),
        (r#"{"jsonrpc":"2.0","jsonrpc":"1.0","id":2,"method":"m"}"#, "jsonrpc"),
        (r#"{"jsonrpc":"1.0","jsonrpc":"2.0","id":2,"method":"m"}"#, "jsonrpc"),
        (r#"{"jsonrpc":"2.0","id":2,"x":1,"x":1,"method":"m"}"#, "x"),
    ] {
        let expected = format!("twice 2 (member \"{name}\" stands twice");
        assert!(
            says(line, Mode::Open).starts_with(&expected),
            "{line}: {}",
            says(line, Mode::Open)
        );
    }
    // An id that is none is not repeated, whatever else is wrong.
    let line = r#"{"jsonrpc":"2.0","id":[1],"method":"m","method":"m"}"#;
    assert!(says(line, Mode::Open).starts_with("twice - "));
}

#[test]
fn many_members_are_no_request_but_no_text_either() {
    let many: String = (0..40).map(|n| format!("\"x{n}\":{n},")).collect();
    let line = format!(r#"{{{many}"jsonrpc":"2.0","id":3,"method":"m"}}"#);
    assert!(says(&line, Mode::Open).starts_with("invalid 3 (a request has at most 16"));
    assert_eq!(says(&format!("{{{many}\"jsonrpc\":1}}"), Mode::Open), "text");
}

#[test]
fn deep_nesting_and_large_numbers_come_through_as_they_are() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"x":{deep}}}}}"#);
    let Line::Frame(frame) = classify(line.as_bytes(), Mode::Open) else { panic!("a frame") };
    assert_eq!(frame.params.map(str::len), Some(deep.len() + 6));
    let line =
        r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"m","params":1e400}"#;
    let Line::Frame(frame) = classify(line.as_bytes(), Mode::Open) else { panic!("a frame") };
    assert_eq!(frame.id, Some("123456789012345678901234567890"));
    assert_eq!(frame.params, Some("1e400"));
}
