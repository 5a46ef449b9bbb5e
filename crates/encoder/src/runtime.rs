//! ONNX Runtime's library: loaded once, told to keep quiet, asked what it can do.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::{Error, library};

/// ONNX Runtime, loaded into this process.
#[derive(Debug, Clone)]
pub struct Runtime {
    path: PathBuf,
    /// The file behind all links when it was loaded: those may go while the library stays.
    file: PathBuf,
    version: String,
    environment: Environment,
}

/// A process holds one ONNX Runtime, from the first successful load to its end.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the shared library at `library`, or returns it again when this process runs it already. Its telemetry is
    /// switched off before anything else happens.
    ///
    /// # Errors
    /// `RuntimeMissing`, `RuntimeUnusable` or `RuntimeTooOld` by what is at `library`; `RuntimeConflict` when the
    /// process runs another one.
    pub fn load(library: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(library).unwrap_or_else(|_| library.to_path_buf());
        if !path.is_file() {
            return Err(Error::RuntimeMissing { path });
        }
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            let same = runtime.path == path || path.canonicalize().is_ok_and(|file| file == runtime.file);
            return if same {
                Ok(runtime.clone())
            } else {
                Err(Error::RuntimeConflict { loaded: runtime.path.clone(), asked: path })
            };
        }
        let version = library::inspect(&path, ort::MINOR_VERSION)?;
        let unusable = |reason: String| Error::RuntimeUnusable { path: path.clone(), reason };
        let environment = ort::init_from(&path)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("berth")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        environment.set_log_level(ort::logging::LogLevel::Error);
        let file = path.canonicalize().unwrap_or_else(|_| path.clone());
        let runtime = Self { path, file, version, environment };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library's version, such as `1.31.1`.
    pub fn version(&self) -> String {
        self.version.clone()
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What sessions are opened in.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Names of the execution providers that the library was built with.
    pub fn providers(&self) -> Vec<String> {
        let (mut names, mut count) = (ptr::null_mut(), 0);
        // SAFETY: the call fills both places with a list of C strings that belongs to the caller, or returns an error
        // status, which becomes an `Err` that frees it.
        let listed = unsafe {
            ort::Error::result_from_status((ort::api().GetAvailableProviders)(&raw mut names, &raw mut count))
        };
        if listed.is_err() || names.is_null() {
            return Vec::new();
        }
        let count_usize = usize::try_from(count).unwrap_or(0);
        // SAFETY: the list holds `count` pointers to C strings and is only freed below.
        let providers = unsafe { std::slice::from_raw_parts(names, count_usize) }
            .iter()
            // SAFETY: as above.
            .map(|&name| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
            .collect();
        // SAFETY: the list came from `GetAvailableProviders` with this length and is not used after this.
        // A list that cannot be freed is leaked; there is nothing else to do about it.
        let _ = unsafe { ort::Error::result_from_status((ort::api().ReleaseAvailableProviders)(names, count)) };
        providers
    }
}
