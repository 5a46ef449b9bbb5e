//! Identity of everything that shapes a vector.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that shapes a vector, as named parts: model, graph hash, precision, kernel class, pooling, prompts.
///
/// Two rows may meet in one dot product only when their fingerprints are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Name of the model, for people.
    pub model: String,
    /// Named parts in a fixed order; values are short strings or hex hashes.
    pub parts: BTreeMap<String, String>,
}

impl Fingerprint {
    /// A canonical text of the fingerprint, the input of its hash.
    pub fn canonical(&self) -> String {
        let mut text = format!("model={}\n", self.model);
        for (name, value) in &self.parts {
            text.push_str(name);
            text.push('=');
            text.push_str(value);
            text.push('\n');
        }
        text
    }

    /// Names of the parts (and `model`) in which two fingerprints differ, with both values.
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<(&'a str, &'a str, &'a str)> {
        const ABSENT: &str = "(absent)";
        let mut differences = Vec::new();
        if self.model != other.model {
            differences.push(("model", self.model.as_str(), other.model.as_str()));
        }
        let names: std::collections::BTreeSet<&String> = self.parts.keys().chain(other.parts.keys()).collect();
        for name in names {
            let ours = self.parts.get(name).map_or(ABSENT, String::as_str);
            let theirs = other.parts.get(name).map_or(ABSENT, String::as_str);
            if ours != theirs {
                differences.push((name, ours, theirs));
            }
        }
        differences
    }
}
