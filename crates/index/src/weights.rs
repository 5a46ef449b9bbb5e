//! How an index is searched unless a question says otherwise, the joining of its halves above all: stored beside the index, in
//! a file of its own.
//!
//! What is stored belongs to the vectors that it was chosen for. After the index was moved to another model the kind of
//! fusion and what is made of lists still hold, and the shares of the lists do not.

use std::fs;
use std::io;
use std::path::Path;

use berth_types::{Fingerprint, Profile};
use serde::{Deserialize, Serialize};

use crate::blocks::{seal_text, unseal_text};
use crate::disk::Disk;
use crate::reader::{IndexReader, exists};
use crate::relevance::Curves;
use crate::{Error, kept};

/// Holds the weights, inside an index.
pub(crate) const WEIGHTS_FILE: &str = "weights.json";
/// Version of what it says.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Weights {
    format: u32,
    /// BLAKE3 of everything that shapes a vector of the index that they were chosen for, hex.
    fingerprint: String,
    #[serde(flatten)]
    profile: Profile,
    /// Curves of relevance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relevance: Option<Curves>,
}

/// How an index is searched by its own choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredWeights {
    /// As it was stored.
    #[serde(flatten)]
    pub profile: Profile,
    /// Curves of relevance that were fitted to judgements; none where none were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relevance: Option<Curves>,
    /// Whether it was chosen for the vectors that the index has now.
    pub for_this_model: bool,
    /// Whether a file that was named says it, in the place of the index.
    #[serde(skip)]
    pub from_file: bool,
}

impl StoredWeights {
    /// What counts in the place of what an index stores: a profile for its vectors, out of a file.
    pub fn of_file(profile: Profile) -> Self {
        Self { profile, relevance: None, for_this_model: true, from_file: true }
    }
}

/// Stores how an index is searched from now on. A file that is there is replaced at once; curves of relevance in it stay,
/// where they are of this model.
///
/// # Errors
/// `NotFound`, `IsSnapshot`, `Corrupted` when the index is damaged, `Io`.
pub fn store_weights(index: &Path, profile: Profile) -> Result<(), Error> {
    store_on(&Disk::default(), index, profile)
}

/// Stores curves of relevance, in the place of all that are there. How the halves are joined stays; where nothing was stored, what
/// counts today does.
///
/// # Errors
/// As [`store_weights`].
pub fn store_relevance(index: &Path, relevance: Curves) -> Result<(), Error> {
    let (fingerprint, stored) = of_this_model(index)?;
    let profile = stored.map_or_else(Profile::default, |stored| stored.profile);
    let weights = Weights { format: FORMAT, fingerprint, profile, relevance: Some(relevance) };
    write(&Disk::default(), index, &weights)
}

pub(crate) fn store_on(disk: &Disk, index: &Path, profile: Profile) -> Result<(), Error> {
    let (fingerprint, stored) = of_this_model(index)?;
    let relevance = stored.and_then(|stored| stored.relevance);
    write(disk, index, &Weights { format: FORMAT, fingerprint, profile, relevance })
}

/// The hash of what the index has its vectors of, and what is stored for them. What is damaged is as if it were not there: it is
/// about to be replaced.
fn of_this_model(index: &Path) -> Result<(String, Option<StoredWeights>), Error> {
    kept::refuse_snapshot(index)?;
    let fingerprint = IndexReader::open(index)?.snapshot().settings().fingerprint.clone();
    let stored = match stored_weights(index, &fingerprint) {
        Err(Error::DamagedWeights { .. }) => None,
        stored => stored?.filter(|stored| stored.for_this_model),
    };
    Ok((hash(&fingerprint), stored))
}

fn write(disk: &Disk, index: &Path, weights: &Weights) -> Result<(), Error> {
    let mut json = serde_json::to_vec_pretty(weights).expect("weights are plain data");
    json.push(b'\n');
    disk.replace(&index.join(WEIGHTS_FILE), &seal_text(WEIGHTS_FILE, &json))
}

/// How an index is searched by its own choice; none where it has none. `fingerprint` is that of its vectors.
///
/// # Errors
/// `DamagedWeights`, `UnknownFormat`, `Io`.
pub fn stored_weights(index: &Path, fingerprint: &Fingerprint) -> Result<Option<StoredWeights>, Error> {
    let weights = read(index).map_err(|error| match error {
        Error::Corrupted { file, reason } => Error::DamagedWeights { file, reason },
        other => other,
    });
    let Some(weights) = weights? else { return Ok(None) };
    let for_this_model = weights.fingerprint == hash(fingerprint);
    let Weights { profile, relevance, .. } = weights;
    Ok(Some(StoredWeights { profile, relevance, for_this_model, from_file: false }))
}

/// Forgets them; false when there were none.
///
/// # Errors
/// `NotFound`, `IsSnapshot`, `Io`.
pub fn clear_weights(index: &Path) -> Result<bool, Error> {
    kept::refuse_snapshot(index)?;
    if !exists(index) {
        return Err(Error::NotFound { path: index.to_path_buf() });
    }
    let path = index.join(WEIGHTS_FILE);
    let there = path.exists();
    let disk = Disk::default();
    disk.remove_if_there(&path)?;
    disk.sync_directory(index)?;
    Ok(there)
}

/// Looks whether the file, if there is one, is as it was written.
pub(crate) fn check(index: &Path) -> Result<(), Error> {
    read(index).map(|_| ())
}

fn read(index: &Path) -> Result<Option<Weights>, Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = index.join(WEIGHTS_FILE);
    let sealed = match fs::read(&path) {
        Ok(sealed) => sealed,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("read", &path, error)),
    };
    let json = unseal_text(&path, sealed)?;
    let wrong = |error: serde_json::Error| Error::corrupted(&path, format!("it cannot be understood: {error}"));
    let Format { format } = serde_json::from_slice(&json).map_err(wrong)?;
    if format != FORMAT {
        let (found, supported) = (format.to_string(), FORMAT.to_string());
        return Err(Error::UnknownFormat { file: path, found, supported });
    }
    let weights: Weights = serde_json::from_slice(&json).map_err(wrong)?;
    weights.profile.check().map_err(|reason| Error::corrupted(&path, reason))?;
    Ok(Some(weights))
}

fn hash(fingerprint: &Fingerprint) -> String {
    blake3::hash(fingerprint.canonical().as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use berth_types::{Fusion, Mode, Normalize};

    use super::*;
    use crate::crash_tests::{put, settings};
    use crate::relevance::Curve;
    use crate::{IndexWriter, Keeping, keep_snapshot, restore_snapshot, verify, verify_snapshot};

    #[test]
    fn weights_are_of_an_index_and_of_its_model() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("index");
        let fusion = Fusion::Convex { dense_weight: 0.7, normalize: Normalize::ZScore };
        let profile = Profile { fusion, sparse_weight: Some(0.25), ..Profile::default() };
        assert!(matches!(store_weights(&dir, profile.clone()), Err(Error::NotFound { .. })));
        assert!(matches!(clear_weights(&dir), Err(Error::NotFound { .. })));
        let mut writer = IndexWriter::create_or_open(&dir, &settings()).unwrap();
        put(&mut writer, "a", "some text").unwrap();
        writer.finish().unwrap();
        let fingerprint = settings().fingerprint;
        assert_eq!(stored_weights(&dir, &fingerprint).unwrap(), None);
        store_weights(&dir, Profile::default()).unwrap();
        assert_eq!(stored_weights(&dir, &fingerprint).unwrap().unwrap().profile.sparse_weight, None);
        store_weights(&dir, profile.clone()).unwrap();
        let stored = stored_weights(&dir, &fingerprint).unwrap();
        let expected =
            StoredWeights { profile: profile.clone(), relevance: None, for_this_model: true, from_file: false };
        assert_eq!(stored, Some(expected.clone()));
        let (mut curves, curve) = (Curves::default(), Curve { bias: -1.0, cosine: 2.0, coverage: 0.0 });
        curves.set(Mode::Dense, Some(curve));
        store_relevance(&dir, curves).unwrap();
        let expected = StoredWeights { relevance: Some(curves), ..expected };
        assert_eq!(stored_weights(&dir, &fingerprint).unwrap(), Some(expected.clone()), "how halves are joined stays");
        store_weights(&dir, profile.clone()).unwrap();
        assert_eq!(stored_weights(&dir, &fingerprint).unwrap(), Some(expected.clone()), "and so do the curves");
        assert_eq!((curves.of(Mode::Dense), curves.of(Mode::Hybrid)), (curve, Curve::of(Mode::Hybrid)));
        let other = Fingerprint { model: "other".to_owned(), ..fingerprint.clone() };
        assert!(!stored_weights(&dir, &other).unwrap().unwrap().for_this_model);

        // A snapshot has them, and gives them back.
        let (kept, back) = (base.path().join("kept"), base.path().join("back"));
        keep_snapshot(&dir, &kept, Keeping::Link).unwrap();
        assert_eq!(verify_snapshot(&kept).unwrap().problems, []);
        assert!(matches!(store_weights(&kept, profile.clone()), Err(Error::IsSnapshot { .. })));
        assert!(clear_weights(&dir).unwrap() && !clear_weights(&dir).unwrap());
        restore_snapshot(&kept, &back, Keeping::Copy).unwrap();
        assert_eq!(stored_weights(&back, &fingerprint).unwrap(), Some(expected));

        let path = back.join(WEIGHTS_FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(stored_weights(&back, &fingerprint), Err(Error::DamagedWeights { .. })));
        assert_eq!(verify(&back).unwrap().problems[0].file, Path::new(WEIGHTS_FILE));
    }
}
