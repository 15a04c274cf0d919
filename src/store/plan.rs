//! What SQLite says it will do: for tests of what a question costs.

use rusqlite::Connection;

use super::schema::STEPS;

/// The tables, with nothing in them.
pub(crate) fn empty() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    for step in STEPS {
        conn.execute_batch(step.sql).unwrap();
    }
    conn
}

/// The lines of a statement's plan.
pub(crate) fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    for parameter in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(parameter, 1).unwrap();
    }
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get(3).unwrap());
    }
    lines
}

/// Fails where a statement walks a whole table or index, or sorts.
pub(crate) fn assert_no_walk(conn: &Connection, sql: &str) {
    for line in plan(conn, sql) {
        let walks = line.starts_with("SCAN ") && !line.contains("CONSTANT ROW");
        assert!(!walks && !line.contains("FOR ORDER BY"), "{line}: {sql}");
    }
}
