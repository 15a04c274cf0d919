//! Steps that are not invented yet.

use super::super::schema::STEPS;
use super::*;

/// The two after the newest.
const NEXT: i32 = SCHEMA_VERSION + 1;
const AFTER_NEXT: i32 = SCHEMA_VERSION + 2;

const ADDITIVE: Step =
    Step { to: NEXT, additive: true, sql: "ALTER TABLE journal ADD COLUMN mood TEXT" };
const BREAKING: Step =
    Step { to: AFTER_NEXT, additive: false, sql: "ALTER TABLE pins RENAME TO pegs" };
const BROKEN: Step =
    Step { to: AFTER_NEXT, additive: false, sql: "CREATE TABLE half (x); CREATE TABLE half (x)" };

fn steps(more: &[Step]) -> Vec<Step> {
    STEPS.iter().chain(more).copied().collect()
}

/// A file brought to the present schema, with something in it.
fn old() -> (tempfile::TempDir, std::path::PathBuf, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adrt.db");
    let conn = Connection::open(&path).unwrap();
    assert!(migrate(&conn, &BLANK, STEPS, Some(&path)).unwrap().made);
    put_meta(&conn, "script", "a.py").unwrap();
    (dir, path, conn)
}

fn bring(conn: &Connection, path: &Path, more: &[Step]) -> Result<Migrated, OpenError> {
    let steps = steps(more);
    let found = inspect(conn, &steps, Some(path))?;
    migrate(conn, &found, &steps, Some(path))
}

fn schema_of(conn: &Connection) -> i32 {
    identity(conn).unwrap().schema
}

#[test]
fn an_additive_step_leaves_the_older_adrt_able_to_write() {
    let (_dir, path, conn) = old();
    let done = bring(&conn, &path, &[ADDITIVE]).unwrap();
    assert_eq!(done, Migrated::default(), "nothing to tell");
    assert_eq!(schema_of(&conn), NEXT);
    assert!(!path.with_file_name(format!("adrt.db.v{SCHEMA_VERSION}")).exists());
    assert_eq!(inspect(&conn, STEPS, Some(&path)).unwrap().schema, NEXT);
    assert!(super::super::verify::verify(&conn).is_ok(), "the definitions' checksum went along");
}

#[test]
fn any_other_step_keeps_a_copy_and_says_so() {
    let (_dir, path, conn) = old();
    let done = bring(&conn, &path, &[ADDITIVE, BREAKING]).unwrap();
    assert_eq!(schema_of(&conn), AFTER_NEXT);
    let copy = path.with_file_name(format!("adrt.db.v{NEXT}"));
    assert_eq!(done.warnings.len(), 1);
    assert!(done.warnings[0].contains(copy.to_str().unwrap()), "{:?}", done.warnings);
    let kept = Connection::open(&copy).unwrap();
    assert_eq!(schema_of(&kept), NEXT);
    assert_eq!(get_meta(&kept, "script").unwrap().as_deref(), Some("a.py"));
    let refused = inspect(&conn, STEPS, Some(&path));
    assert!(
        matches!(refused, Err(OpenError::Newer { schema: AFTER_NEXT, min_writer: AFTER_NEXT })),
        "{refused:?}"
    );
    // Once is enough.
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(bring(&conn, &path, &[ADDITIVE, BREAKING]).unwrap(), Migrated::default());
    assert!(!copy.exists());
}

#[test]
fn a_step_that_fails_leaves_the_schema_before_it() {
    let (_dir, path, conn) = old();
    assert!(bring(&conn, &path, &[ADDITIVE, BROKEN]).is_err());
    assert_eq!(schema_of(&conn), NEXT);
    assert!(conn.is_autocommit());
    // And the next try finds its copy in the way, and makes it anew.
    bring(&conn, &path, &[ADDITIVE, BREAKING]).unwrap();
    assert_eq!(schema_of(&conn), AFTER_NEXT);
}

#[test]
fn an_adrt_of_schema_2_may_write_a_file_of_this_one() {
    let (_dir, path, conn) = old();
    let its_steps = &STEPS[..2];
    assert_eq!(its_steps.last().map(|step| step.to), Some(2));
    let found = inspect(&conn, its_steps, Some(&path)).unwrap();
    assert_eq!(found.schema, SCHEMA_VERSION);
    assert_eq!(migrate(&conn, &found, its_steps, Some(&path)).unwrap(), Migrated::default());
    assert_eq!(schema_of(&conn), SCHEMA_VERSION, "and leaves it what it is");
}
