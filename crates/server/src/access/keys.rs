//! API keys: what each may do. The file has hashes only; a key is shown once, when it is made.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use berth_pipeline::dates;
use serde::{Deserialize, Serialize};

use crate::watched::Watched;

/// What every key begins with, so that people and scanners of leaked secrets know one when they see it.
const PREFIX: &str = "berth_";
/// Bytes of an id, of a secret and of a salt. A secret cannot be guessed, so that its hash need not be slow.
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// What a key lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Ask, read documents, see what a collection holds.
    Search,
    /// Run models on texts of one's own.
    Embed,
    /// Put and remove documents.
    Write,
    /// All of it, and snapshots, jobs, metrics, new collections.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Search, Self::Embed, Self::Write, Self::Admin];

    fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Embed => "embed",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = KeyError;

    fn from_str(word: &str) -> Result<Self, KeyError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or_else(|| KeyError::Scope(word.to_owned()))
    }
}

/// One key, as its file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Names it: in the key itself, in logs, and to revoke it.
    pub id: String,
    /// Whose or what for, in the operator's words.
    #[serde(default)]
    pub name: String,
    /// Keyed BLAKE3 of the secret, hex.
    hash: String,
    /// Key of the hash, hex.
    salt: String,
    /// What it lets its holder do.
    pub scopes: Vec<Scope>,
    /// The collections that it is for; all where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Who its holder is, where documents say who may find them; whoever a request says where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principals: Option<Vec<String>>,
    /// Requests a second; as the server says where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// The day or moment from which on it is void; never where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// What is wrong with a file of keys, or with what was to be put in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It cannot be read or written.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// "read", "write" or "lock the folder of".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It is no list of keys.
    #[error("{}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// No scope of that name.
    #[error("'{0}' is no scope; possible are search, embed, write, admin")]
    Scope(String),
    /// Neither a day nor a moment.
    #[error("'{0}' is no date; write a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z")]
    Date(String),
    /// No key of that id.
    #[error("there is no key '{id}' in {}", path.display())]
    Unknown {
        /// As named.
        id: String,
        /// The file.
        path: PathBuf,
    },
    /// The machine gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// What a new key is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewKey {
    /// See [`Key::name`].
    pub name: String,
    /// See [`Key::scopes`].
    pub scopes: Vec<Scope>,
    /// See [`Key::collections`].
    pub collections: Option<Vec<String>>,
    /// See [`Key::principals`].
    pub principals: Option<Vec<String>>,
    /// See [`Key::rate`].
    pub rate: Option<u32>,
    /// See [`Key::expires`].
    pub expires: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    key: Vec<Key>,
}

/// The keys in a file; an error where it is not there.
///
/// # Errors
/// A file that cannot be read or is no list of keys.
pub fn read_keys(path: &Path) -> Result<Vec<Key>, KeyError> {
    let text = fs::read_to_string(path).map_err(|cause| KeyError::Io { action: "read", path: path.into(), cause })?;
    let syntax = |reason: String| KeyError::Syntax { path: path.into(), reason };
    let file: KeyFile = toml::from_str(&text).map_err(|error| syntax(error.to_string()))?;
    for key in &file.key {
        if let Some(date) = &key.expires
            && dates::micros(date).is_none()
        {
            return Err(syntax(format!("key '{}': {}", key.id, KeyError::Date(date.clone()))));
        }
        if unhex(&key.hash).is_none() || unhex(&key.salt).is_none() {
            return Err(syntax(format!("key '{}': hash and salt are 64 hexadecimal digits each", key.id)));
        }
        if file.key.iter().filter(|other| other.id == key.id).count() > 1 {
            return Err(syntax(format!("key '{}' stands there twice", key.id)));
        }
    }
    Ok(file.key)
}

/// Adds a key to a file, which is made when it is not there. Returns the key itself, which is stored nowhere.
///
/// # Errors
/// A file that cannot be read or written, a date that is none.
pub fn add_key(path: &Path, wanted: NewKey) -> Result<(Key, String), KeyError> {
    if let Some(date) = &wanted.expires
        && dates::micros(date).is_none()
    {
        return Err(KeyError::Date(date.clone()));
    }
    let folder = locked(path)?;
    let mut keys = if path.exists() { read_keys(path)? } else { Vec::new() };
    let (id, secret, salt) = (random::<ID_BYTES>()?, random::<SECRET_BYTES>()?, random::<SECRET_BYTES>()?);
    let (id, secret) = (hex(&id), hex(&secret));
    let NewKey { name, scopes, collections, principals, rate, expires } = wanted;
    let hash = blake3::keyed_hash(&salt, secret.as_bytes()).to_hex().to_string();
    let key = Key { id, name, hash, salt: hex(&salt), scopes, collections, principals, rate, expires };
    let shown = format!("{PREFIX}{}_{secret}", key.id);
    keys.push(key.clone());
    write_keys(path, &folder, keys)?;
    Ok((key, shown))
}

/// Takes a key out of a file. A server that runs forgets it within seconds.
///
/// # Errors
/// A file that cannot be read or written; `Unknown`.
pub fn revoke_key(path: &Path, id: &str) -> Result<Key, KeyError> {
    let folder = locked(path)?;
    let mut keys = read_keys(path)?;
    let Some(place) = keys.iter().position(|key| key.id == id) else {
        return Err(KeyError::Unknown { id: id.to_owned(), path: path.into() });
    };
    let revoked = keys.remove(place);
    write_keys(path, &folder, keys)?;
    Ok(revoked)
}

/// Lets one at a time change the file of keys: its folder is locked until the answer is dropped.
fn locked(path: &Path) -> Result<File, KeyError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |cause| KeyError::Io { action: "lock the folder of", path: path.into(), cause };
    let folder = File::open(folder).map_err(failed)?;
    folder.lock().map_err(failed)?;
    Ok(folder)
}

/// Replaces the file at once. A new one can be read by its owner alone, another one by those who could before.
fn write_keys(path: &Path, folder: &File, key: Vec<Key>) -> Result<(), KeyError> {
    let failed = |cause| KeyError::Io { action: "write", path: path.into(), cause };
    let text = toml::to_string(&KeyFile { key }).map_err(|error| failed(std::io::Error::other(error)))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside).map_err(failed)?;
    #[cfg(unix)]
    if let Ok(before) = fs::metadata(path) {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let own = file.metadata().map_err(failed)?;
        if (before.uid(), before.gid()) != (own.uid(), own.gid()) {
            fchown(&file, Some(before.uid()), Some(before.gid())).map_err(failed)?;
        }
        file.set_permissions(before.permissions()).map_err(failed)?;
    }
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    folder.sync_all().map_err(failed)
}

/// The keys of a server, read again when their file changes.
#[derive(Debug)]
pub(crate) struct Keys {
    path: PathBuf,
    file: Watched,
    by_id: RwLock<Arc<BTreeMap<String, Key>>>,
}

impl Keys {
    pub(crate) fn open(path: &Path) -> Result<Self, KeyError> {
        let file = Watched::new([path.to_path_buf()]);
        Ok(Self { path: path.to_path_buf(), file, by_id: RwLock::new(Arc::new(by_id(path)?)) })
    }

    /// Reads the file if it has changed, or in any case where that is `asked` for. What cannot be read leaves the keys as they
    /// are.
    pub(crate) fn reload(&self, asked: bool) -> Result<(), KeyError> {
        if let Some(keys) = self.file.reload(asked, || by_id(&self.path))? {
            *self.by_id.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        }
        Ok(())
    }

    /// The key that someone shows, unless it is none, or void by now. What is compared takes as long for a wrong key as for
    /// the right one.
    pub(crate) fn find(&self, shown: &str, clock: SystemTime) -> Option<Key> {
        let (id, secret) = shown.strip_prefix(PREFIX)?.split_once('_')?;
        let by_id = Arc::clone(&self.by_id.read().unwrap_or_else(PoisonError::into_inner));
        let key = by_id.get(id)?;
        let computed = blake3::keyed_hash(&unhex(&key.salt)?, secret.as_bytes());
        // `blake3::Hash` is compared in constant time.
        if computed != blake3::Hash::from_bytes(unhex(&key.hash)?) {
            return None;
        }
        let expires = key.expires.as_deref().map(|date| dates::micros(date).unwrap_or(i64::MIN));
        let now = clock.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        (expires.is_none_or(|expires| now < expires)).then(|| key.clone())
    }
}

fn by_id(path: &Path) -> Result<BTreeMap<String, Key>, KeyError> {
    Ok(read_keys(path)?.into_iter().map(|key| (key.id.clone(), key)).collect())
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Gives the file another time, however soon after the last one it was written.
    fn touch(path: &Path) {
        File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    fn wanted() -> NewKey {
        NewKey { name: "search page".into(), scopes: vec![Scope::Search], ..NewKey::default() }
    }

    #[test]
    fn a_key_is_known_by_its_hash_until_it_is_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let (first, shown) = add_key(&path, wanted()).unwrap();
        let (second, other) = add_key(&path, wanted()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let secret = shown.rsplit('_').next().unwrap();
        assert!(!text.contains(secret) && secret.len() == 64);
        let keys = Keys::open(&path).unwrap();
        let now = SystemTime::now();
        assert_eq!(keys.find(&shown, now).unwrap(), first);
        assert_eq!(keys.find(&other, now).unwrap(), second);
        let mixed = format!("berth_{}_{secret}", second.id);
        for wrong in
            ["", "berth_", "berth_x_y", secret, &shown[6..], &mixed, &format!("{shown}0"), &shown[..shown.len() - 1]]
        {
            assert_eq!(keys.find(wrong, now), None, "{wrong}");
        }
        assert_eq!(revoke_key(&path, &first.id).unwrap(), first);
        assert!(matches!(revoke_key(&path, &first.id), Err(KeyError::Unknown { .. })));
        touch(&path);
        keys.reload(false).unwrap();
        assert_eq!((keys.find(&shown, now), keys.find(&other, now)), (None, Some(second)));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        add_key(&path, wanted()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_ends_with_its_last_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let (_, shown) = add_key(&path, NewKey { expires: Some("2027-01-31".into()), ..wanted() }).unwrap();
        let keys = Keys::open(&path).unwrap();
        let at = |date: &str| SystemTime::UNIX_EPOCH + Duration::from_micros(dates::micros(date).unwrap() as u64);
        assert!(keys.find(&shown, at("2027-01-30T23:59:59Z")).is_some());
        assert!(keys.find(&shown, at("2027-01-31")).is_none());
        assert!(matches!(add_key(&path, NewKey { expires: Some("soon".into()), ..wanted() }), Err(KeyError::Date(_))));
    }

    #[test]
    fn a_damaged_file_says_where_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let (_, shown) = add_key(&path, wanted()).unwrap();
        let keys = Keys::open(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let doubled = format!("{good}{good}");
        for bad in [
            "[[key]]\nid = 1",
            "key = 3",
            &good.replace("search\"", "fly\""),
            &doubled,
            &good.replace("hash = \"", "hash = \"x"),
        ] {
            fs::write(&path, bad).unwrap();
            touch(&path);
            let message = keys.reload(false).unwrap_err().to_string();
            assert!(message.contains("keys.toml"), "{message}");
            // It is said once, and to whoever asks.
            assert!(keys.reload(false).is_ok() && keys.reload(true).is_err());
            assert!(keys.find(&shown, SystemTime::now()).is_some());
        }
        assert!(matches!(Keys::open(&dir.path().join("none")), Err(KeyError::Io { .. })));
    }
}
