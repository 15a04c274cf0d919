use super::*;
use crate::protocol::error::Detail;

fn agent(method: &str, params: &str) -> Result<Request, WireError> {
    decode(method, Some(params), Caller::Agent)
}

fn refused(method: &str, params: &str) -> WireError {
    agent(method, params).expect_err("it is refused")
}

/// The one step of a write.
fn step(method: &str, params: &str) -> WriteOp {
    match agent(method, params) {
        Ok(Request::Write(mut write)) if write.ops.len() == 1 => write.ops.remove(0),
        other => panic!("{method} {params} is {other:?}"),
    }
}

#[test]
fn a_param_that_is_unknown_is_named() {
    for (method, params, name) in [
        (
            "initialize",
            r#"{"protocol":[1],"token":"t","client":{"name":"n"},"frametag":true}"#,
            "frametag",
        ),
        ("initialize", r#"{"protocol":[1],"token":"t","client":{"name":"n","os":1}}"#, "os"),
        ("ready", r#"{"state":"x"}"#, "state"),
        ("state.get", r#"{"pth":""}"#, "pth"),
        ("state.set", r#"{"value":{},"if_verison":1}"#, "if_verison"),
        ("state.patch", r#"{"patch":{},"fromat":"json"}"#, "fromat"),
        ("checkpoint.create", r#"{"name":"x"}"#, "name"),
        ("checkpoint.list", r#"{"max":1}"#, "max"),
        ("checkpoint.restore", r#"{"id":1,"x":1}"#, "x"),
        ("tx", r#"{"ops":[],"op":[]}"#, "op"),
        ("run.finish", r#"{"value":1}"#, "value"),
        ("heartbeat", r#"{"progress":{"done":1,"of":2}}"#, "of"),
        ("log", r#"{"level":"info","message":"m","field":{}}"#, "field"),
    ] {
        let error = refused(method, params);
        assert_eq!(error.kind, Kind::InvalidParams, "{method}");
        assert!(error.message.contains(&format!("`{name}`")), "{}", error.message);
        assert!(
            !error.message.contains("line"),
            "no position in what nobody sees: {}",
            error.message
        );
    }
}

#[test]
fn a_param_that_stands_twice_is_named() {
    for (method, params, name) in [
        ("state.get", r#"{"path":"/a","path":"/b"}"#, "path"),
        ("state.set", r#"{"value":{},"v\u0061lue":{}}"#, "value"),
        ("state.patch", r#"{"patch":{},"key":"a","key":"a"}"#, "key"),
        ("tx", r#"{"ops":[],"ops":[]}"#, "ops"),
        ("log", r#"{"level":"info","message":"m","message":"n"}"#, "message"),
    ] {
        let error = refused(method, params);
        assert_eq!(error.kind, Kind::InvalidParams);
        assert!(error.message.contains(&format!("duplicate field `{name}`")), "{}", error.message);
    }
}

#[test]
fn a_param_that_is_missing_or_of_another_kind_is_refused() {
    for (method, params, part) in [
        ("state.set", "{}", "missing field `value`"),
        ("state.patch", "{}", "missing field `patch`"),
        ("state.patch", r#"{"patch":{},"format":"yaml"}"#, "unknown variant `yaml`"),
        ("state.patch", r#"{"patch":{},"format":"many"}"#, "unknown variant `many`"),
        ("state.patch", r#"{"patch":{},"if_version":"1"}"#, "invalid type: string"),
        ("state.patch", r#"{"patch":{},"if_version":-1}"#, "invalid value: integer `-1`"),
        ("initialize", r#"{"token":"t","client":{"name":"n"}}"#, "missing field `protocol`"),
        ("log", r#"{"level":"loud","message":"m"}"#, "unknown variant `loud`"),
        ("checkpoint.restore", "{}", "\"id\" or \"label\""),
        ("checkpoint.restore", r#"{"id":1,"label":"x"}"#, "\"id\" or \"label\""),
        ("state.get", "[]", "must be an object"),
        ("state.get", "null", "must be an object"),
        ("state.get", "1e400", "must be an object"),
    ] {
        let error = refused(method, params);
        assert_eq!(error.kind, Kind::InvalidParams, "{method} {params}");
        assert!(error.message.contains(part), "{method} {params}: {}", error.message);
    }
}

#[test]
fn what_is_long_is_not_repeated_whole() {
    let long = "ä".repeat(100_000);
    let unknown = refused(&long, "{}");
    assert_eq!(unknown.kind, Kind::MethodNotFound);
    assert!(unknown.message.len() < 500);
    assert!(refused("state.get", &format!("{{\"{long}\":1}}")).message.len() < 500);
    let op = format!("{{\"ops\":[{{\"method\":\"{long}\"}}]}}");
    assert!(refused("tx", &op).message.len() < 500);
}

#[test]
fn values_stay_the_text_they_were() {
    let odd = r#"{ "a" : 1e400, "b":-0.0 ,"c":"\ud83d\ude00", "d":123456789012345678901234567890}"#;
    match step("state.set", &format!("{{\"value\":{odd}}}")) {
        WriteOp::Patch { format: Format::Set, text } => assert_eq!(&*text, odd),
        other => panic!("{other:?}"),
    }
    match step("state.patch", r#"{"patch":[1, 2],"format":"json"}"#) {
        WriteOp::Patch { format: Format::Json, text } => assert_eq!(&*text, "[1, 2]"),
        other => panic!("{other:?}"),
    }
    match agent("run.finish", r#"{"result":0.10}"#) {
        Ok(Request::RunFinish { result: Some(text) }) => assert_eq!(text, "0.10"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(agent("run.finish", "{}"), Ok(Request::RunFinish { result: None })));
    assert!(matches!(
        step("state.patch", r#"{"patch":{}}"#),
        WriteOp::Patch { format: Format::Merge, .. }
    ));
}

#[test]
fn a_tx_says_which_of_its_ops_is_wrong() {
    let good = r#"{"method":"state.patch","params":{"patch":{}}}"#;
    for (bad, kind) in [
        (r#"{"method":"state.patch","params":{"pach":{}}}"#, Kind::InvalidParams),
        (r#"{"method":"state.patch"}"#, Kind::InvalidParams),
        (r#"{"method":"checkpoint.restore","params":{"id":1}}"#, Kind::MethodNotFound),
        (r#"{"method":"tx","params":{"ops":[]}}"#, Kind::MethodNotFound),
        (r#"{"method":"state.get"}"#, Kind::MethodNotFound),
        (r#"{"method":"state.patch","params":{"patch":{},"key":"k"}}"#, Kind::InvalidParams),
        (r#"{"method":"state.set","params":{"value":{},"if_version":1}}"#, Kind::InvalidParams),
    ] {
        let error = refused("tx", &format!("{{\"ops\":[{good},{bad},{good}]}}"));
        assert_eq!(error.kind, kind, "{bad}");
        assert_eq!(error.data, [("index", Detail::Number(1))], "{bad}");
    }
    let Ok(Request::Write(write)) = agent("tx", &format!("{{\"ops\":[{good}],\"if_version\":7}}"))
    else {
        panic!("a tx is a write")
    };
    assert!(write.is_tx);
    assert_eq!((write.ops.len(), write.if_version), (1, Some(7)));
}

#[test]
fn a_key_stands_for_method_and_params() {
    let key = |method: &str, params: &str| match agent(method, params) {
        Ok(Request::Write(Write { key: Some(key), .. })) => (key.key, key.request.to_string()),
        Ok(Request::CheckpointRestore(Restore { key: Some(key), .. })) => {
            (key.key, key.request.to_string())
        }
        other => panic!("{other:?}"),
    };
    let patch = key("state.patch", r#"{"patch":{},"key":"k"}"#);
    assert_eq!(patch, key("state.patch", r#"{"patch":{},"key":"k"}"#));
    assert_ne!(patch, key("state.patch", r#"{"patch":{"a":1},"key":"k"}"#));
    assert_ne!(
        key("checkpoint.create", r#"{"key":"k"}"#).1,
        key("checkpoint.restore", r#"{"id":1,"key":"k"}"#).1
    );
}

#[test]
fn operators_and_agents_have_methods_of_their_own() {
    for method in ["status", "stop", "restart", "history.forget", "event.next"] {
        assert!(decode(method, None, Caller::Operator).is_ok(), "{method}");
        assert_eq!(refused(method, "{}").kind, Kind::MethodNotFound, "{method}");
    }
    for method in ["initialize", "event.subscribe", "log", "run.finish"] {
        let error = decode(method, Some("{}"), Caller::Operator).expect_err("it is the agent's");
        assert_eq!(error.kind, Kind::MethodNotFound, "{method}");
    }
    assert_eq!(refused("rpc.discover", "{}").kind, Kind::MethodNotFound);
}
