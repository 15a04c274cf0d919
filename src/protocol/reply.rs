//! Results, errors and notifications, as lines.

use super::error::WireError;

/// `{"jsonrpc":"2.0","id":…,"result":…}` and a newline. `id` and `result` are JSON text.
pub fn result_line(id: &str, result: &str) -> Vec<u8> {
    let mut line = String::with_capacity(id.len() + result.len() + 40);
    line.push_str(r#"{"jsonrpc":"2.0","id":"#);
    line.push_str(id);
    line.push_str(r#","result":"#);
    line.push_str(result);
    line.push_str("}\n");
    line.into_bytes()
}

/// `{"jsonrpc":"2.0","id":…,"error":…}` and a newline. `id` is JSON text.
pub fn error_line(id: &str, error: &WireError) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{}}}\n", error.to_json()).into_bytes()
}

/// A notification and a newline. `params` is JSON text.
pub fn notification_line(method: &str, params: &str) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{params}}}\n").into_bytes()
}

/// A JSON string literal.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
