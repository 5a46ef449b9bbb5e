//! A profile as a file of its own, to carry from one index to another of the same model.

use std::fs;
use std::path::Path;

use berth_index::IndexSettings;
use berth_types::{Fingerprint, Profile};
use serde::{Deserialize, Serialize};

use crate::{Error, fingerprint_hash};

/// Version of what the file says.
const FORMAT: u32 = 1;

/// How an index is searched, with the vectors that it was chosen for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedProfile {
    format: u32,
    /// The model whose vectors it was chosen for.
    pub model: String,
    /// Hash of everything that shapes these vectors.
    pub fingerprint: String,
    /// Ids in a window that it was chosen for; none: it holds for every index of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_tokens: Option<usize>,
    /// The same of ids that neighbouring windows share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_tokens: Option<usize>,
    /// What was chosen.
    #[serde(flatten)]
    pub profile: Profile,
}

impl SavedProfile {
    /// A profile for vectors of this fingerprint.
    pub fn new(profile: Profile, fingerprint: &Fingerprint) -> Self {
        let (model, fingerprint) = (fingerprint.model.clone(), fingerprint_hash(fingerprint));
        Self { format: FORMAT, model, fingerprint, window_tokens: None, overlap_tokens: None, profile }
    }

    /// Writes it as TOML.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = toml::to_string(self).expect("a profile is plain data");
        fs::write(path, text).map_err(Error::io("write", path))
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// `Io`; `BadProfile` for another form or version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let bad = |reason: String| Error::BadProfile { path: path.to_owned(), reason };
        let saved: Self = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if saved.format != FORMAT {
            return Err(bad(format!("its format is {}; this version reads {FORMAT}", saved.format)));
        }
        saved.profile.check().map_err(bad)?;
        Ok(saved)
    }

    /// The profile, for an index of these settings.
    ///
    /// # Errors
    /// `ProfileOfOtherModel`; `BadProfile` where it was chosen for other windows than those of the index.
    pub fn for_index(self, path: &Path, settings: &IndexSettings) -> Result<Profile, Error> {
        let chosen_for = (self.window_tokens, self.overlap_tokens);
        let same = |chosen: Option<usize>, is: usize| chosen.is_none_or(|chosen| chosen == is);
        if !same(chosen_for.0, settings.window_tokens) || !same(chosen_for.1, settings.overlap_tokens) {
            let words = |value: Option<usize>| value.map_or_else(|| "any".to_owned(), |value| value.to_string());
            let reason = format!(
                "it was chosen for windows of {} tokens that share {}, and those of the index have {} and share {}",
                words(chosen_for.0),
                words(chosen_for.1),
                settings.window_tokens,
                settings.overlap_tokens
            );
            return Err(Error::BadProfile { path: path.to_owned(), reason });
        }
        self.for_model(path, &settings.fingerprint)
    }

    /// The profile, for vectors of this fingerprint, whatever the windows.
    ///
    /// # Errors
    /// `ProfileOfOtherModel`.
    pub fn for_model(self, path: &Path, fingerprint: &Fingerprint) -> Result<Profile, Error> {
        let wanted = fingerprint_hash(fingerprint);
        if self.fingerprint == wanted {
            return Ok(self.profile);
        }
        let (chosen_for, model) = (self.model, fingerprint.model.clone());
        Err(Error::ProfileOfOtherModel { path: path.to_owned(), chosen_for, model })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    use berth_types::{Aggregate, Fusion, Lists, Normalize};

    use super::*;

    #[test]
    fn a_profile_comes_back_as_it_was_written_and_fits_its_own_vectors_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile.toml");
        let fingerprint = Fingerprint { model: "mine".to_owned(), parts: BTreeMap::new() };
        let profile = Profile {
            fusion: Fusion::Convex { dense_weight: 0.7, normalize: Normalize::ZScore },
            aggregate: Some(Aggregate::TopMean(2)),
            lists: Some(Lists { depth: NonZeroUsize::new(200), title_boost: 0.5 }),
            origin: Some("tuned on \"x\"".to_owned()),
            ..Profile::default()
        };
        SavedProfile::new(profile.clone(), &fingerprint).write(&path).unwrap();
        let saved = SavedProfile::read(&path).unwrap();
        assert_eq!(saved.clone().for_model(&path, &fingerprint).unwrap(), profile);
        let other = Fingerprint { model: "other".to_owned(), parts: BTreeMap::new() };
        let error = saved.for_model(&path, &other).unwrap_err();
        assert!(error.to_string().contains("chosen for mine"), "{error}");
        for (from, to) in [("format = 1", "format = 9"), ("convex", "concave"), ("0.5", "-0.5")] {
            let text = fs::read_to_string(&path).unwrap().replace(from, to);
            let broken = dir.path().join("broken.toml");
            fs::write(&broken, text).unwrap();
            let error = SavedProfile::read(&broken).unwrap_err();
            assert!(matches!(error, Error::BadProfile { .. }), "{error}");
        }
    }
}
