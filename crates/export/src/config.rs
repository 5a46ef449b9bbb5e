//! Reads fields of `config.json` and refuses values that cannot be right.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, door};

/// Bytes of a `config.json` that names the labels of 100,000 classes.
const LARGEST_CONFIG: u64 = 16 << 20;

/// The fields of a `config.json`.
#[derive(Debug)]
pub(crate) struct Fields {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl Fields {
    /// Reads the JSON object in the file at `path`.
    ///
    /// # Errors
    /// `FileMissing`, `Read` or `ConfigSyntax`, each naming the file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = door::read_small(path, LARGEST_CONFIG).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::FileMissing { path: path.to_owned(), hint: None },
            _ => Error::Read { path: path.to_owned(), source },
        })?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|source| Error::ConfigSyntax { path: path.to_owned(), source: Some(source) })?;
        let Value::Object(fields) = value else {
            return Err(Error::ConfigSyntax { path: path.to_owned(), source: None });
        };
        Ok(Self { path: path.to_owned(), fields })
    }

    pub(crate) fn size(&self, field: &'static str, largest: usize) -> Result<usize, Error> {
        let value = self.present(field).ok_or_else(|| self.missing(field))?;
        value
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| (1..=largest).contains(size))
            .ok_or_else(|| self.wrong(field, format!("a whole number from 1 to {largest}")))
    }

    /// A whole number from 1 to `largest`, or `otherwise` where the field is absent.
    pub(crate) fn size_or(&self, field: &'static str, largest: usize, otherwise: usize) -> Result<usize, Error> {
        if self.present(field).is_some() { self.size(field, largest) } else { Ok(otherwise) }
    }

    /// A whole number from 0 to `largest`, or `otherwise` where the field is absent.
    pub(crate) fn whole_or(&self, field: &'static str, largest: usize, otherwise: usize) -> Result<usize, Error> {
        let Some(value) = self.present(field) else { return Ok(otherwise) };
        value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| *number <= largest)
            .ok_or_else(|| self.wrong(field, format!("a whole number from 0 to {largest}")))
    }

    /// The small number that a norm adds to a variance, or `otherwise` where the field is absent.
    pub(crate) fn epsilon(&self, field: &'static str, otherwise: f32) -> Result<f32, Error> {
        let Some(value) = self.present(field) else { return Ok(otherwise) };
        value
            .as_f64()
            .filter(|epsilon| (1e-30..=0.1).contains(epsilon))
            .map(|epsilon| epsilon as f32)
            .ok_or_else(|| self.wrong(field, "a number above 0, at most 0.1"))
    }

    pub(crate) fn word(&self, field: &'static str) -> Result<Option<String>, Error> {
        match self.present(field) {
            None => Ok(None),
            Some(Value::String(word)) => Ok(Some(word.clone())),
            Some(_) => Err(self.wrong(field, "a string")),
        }
    }

    /// A list of strings.
    pub(crate) fn words(&self, field: &'static str) -> Result<Option<Vec<String>>, Error> {
        let Some(value) = self.present(field) else { return Ok(None) };
        let words = value.as_array().and_then(|list| list.iter().map(|word| Some(word.as_str()?.to_owned())).collect());
        words.map(Some).ok_or_else(|| self.wrong(field, "a list of strings"))
    }

    /// A switch, or `otherwise` where the field is absent.
    pub(crate) fn switch(&self, field: &'static str, otherwise: bool) -> Result<bool, Error> {
        let Some(value) = self.present(field) else { return Ok(otherwise) };
        value.as_bool().ok_or_else(|| self.wrong(field, "true or false"))
    }

    /// Base of the rotary angles of the layers `kind`: in `rope_parameters` of newer files, in the field `old` of older
    /// ones, `otherwise` where it stands nowhere.
    pub(crate) fn theta(&self, kind: &str, old: &'static str, otherwise: f64) -> Result<f64, Error> {
        let nested = self.present("rope_parameters").and_then(|parameters| parameters.get(kind));
        if let Some(rope) = nested.and_then(|parameters| parameters.get("rope_type")).and_then(Value::as_str) {
            self.one_of("rope_parameters", rope, &["default"])?;
        }
        let (field, value) = match nested.and_then(|parameters| parameters.get("rope_theta")) {
            Some(theta) => ("rope_parameters", Some(theta)),
            None => (old, self.present(old)),
        };
        let Some(value) = value else { return Ok(otherwise) };
        value.as_f64().filter(|theta| (1.0..=1e12).contains(theta)).ok_or_else(|| self.wrong(field, "a base from 1"))
    }

    pub(crate) fn present(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn one_of(
        &self,
        field: &'static str,
        value: &str,
        supported: &'static [&'static str],
    ) -> Result<(), Error> {
        if supported.contains(&value) {
            return Ok(());
        }
        Err(Error::Unsupported { path: self.path.clone(), field, value: value.to_owned(), supported })
    }

    pub(crate) fn missing(&self, field: &'static str) -> Error {
        Error::ConfigMissing { path: self.path.clone(), field }
    }

    pub(crate) fn wrong(&self, field: &'static str, expected: impl Into<String>) -> Error {
        let value = self.fields.get(field).map(Value::to_string).unwrap_or_default();
        Error::ConfigValue { path: self.path.clone(), field: field.into(), value, expected: expected.into() }
    }
}
