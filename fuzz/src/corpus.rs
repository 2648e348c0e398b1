//! The seed files: `corpora/KIND/VERDICT-what-it-is.ext`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a seed file must come to, by the first word of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// `good-`: must be accepted.
    Accepted,
    /// `bad-`: must be refused.
    Refused,
    /// `odd-`, and anything else: may be either, but must be survived.
    Either,
}

/// One seed.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The file.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// What it must come to.
    pub expected: Expected,
}

/// All seeds of the given kinds in the order of their names.
pub fn load(kinds: &[&str]) -> io::Result<Vec<Seed>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    let mut seeds = Vec::new();
    for kind in kinds {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(root.join(kind))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.sort();
        for path in paths {
            let expected = match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if name.starts_with("good-") => Expected::Accepted,
                Some(name) if name.starts_with("bad-") => Expected::Refused,
                _ => Expected::Either,
            };
            seeds.push(Seed { bytes: fs::read(&path)?, path, expected });
        }
    }
    Ok(seeds)
}
