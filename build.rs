//! Packs the files of the Python client, so that the binary can carry them: one
//! after the other, compressed as one piece, and beside it a list of where each
//! begins and what it is known by.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const CLIENT: &str = "python/adaptive_runtime";
/// Packed once a build, and carried by every binary.
const PACK_LEVEL: i32 = 19;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={CLIENT}");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut files = Vec::new();
    collect(&root.join(CLIENT), &mut files)?;
    files.sort();
    let mut all = Vec::new();
    let mut list = String::from("[\n");
    for file in &files {
        let name = file.strip_prefix(root.join("python")).unwrap_or(file);
        let content = fs::read(file)?;
        let (start, crc) = (all.len(), crc32c::crc32c(&content));
        all.extend(content);
        let end = all.len();
        list += &format!(
            "    Packed {{ name: {:?}, start: {start}, end: {end}, crc: {crc} }},\n",
            name.display()
        );
    }
    list += "]\n";
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("python_client.zst"), zstd::bulk::compress(&all, PACK_LEVEL)?)?;
    fs::write(out.join("python_client.rs"), list)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "__pycache__") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "py" || e == "typed" || e == "pyi") {
            files.push(path);
        }
    }
    Ok(())
}
