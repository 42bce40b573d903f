//! A vault in a folder, or in a store that speaks S3.
//!
//! The crate is asynchronous; the store's threads are not. So a vault has a runtime of one thread of its
//! own, on which a call waits for its answer.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3ConfigKey;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, parse_url_opts};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::BackupError;
use super::vault::{CHECKS, Listed, MANIFESTS, PARTS, Vault};
use crate::store::Disk;

/// What holds unless the options say otherwise: the time for a part on a slow line; single removals, which
/// every store understands.
const DEFAULTS: [(&str, &str); 2] = [("timeout", "300 seconds"), ("disable_bulk_delete", "true")];

/// Variables of the environment that begin so can be options: where the store's own tools look, too.
const ENVIRONMENT: &str = "AWS_";

/// What a URL can begin with. `https` is for the addresses that a store has by itself.
const SCHEMES: [&str; 3] = ["s3", "s3a", "https"];

/// Options of a target, such as `region`, by their names in the `object_store` crate.
pub type Options = BTreeMap<String, String>;

/// Objects in a folder or an object store.
pub struct Objects {
    store: Box<dyn ObjectStore>,
    /// What stands before every name.
    root: Path,
    runtime: Mutex<Option<Runtime>>,
    url: String,
    /// Where the objects are files.
    folder: Option<PathBuf>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Objects({})", self.url)
    }
}

impl Objects {
    /// Opens a target: a folder, which is created, or a URL such as `s3://bucket/folder`. `environment` gives
    /// options that `options` do not.
    ///
    /// # Errors
    /// [`BackupError::Target`] when it cannot be one, or has not this option; nothing is asked of it yet.
    pub fn open(
        target: &str,
        options: &Options,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, BackupError> {
        let wrong = |error: &dyn std::fmt::Display| failed("open", target, error);
        let url = Url::parse(target).ok().filter(|url| url.scheme() != "file");
        let is_option = |name: &str| url.is_some() && name.parse::<AmazonS3ConfigKey>().is_ok();
        if let Some(unknown) = options.keys().find(|name| !is_option(name)) {
            return Err(wrong(&format!("it has no option {unknown}")));
        }
        let mut files = None;
        let (store, root): (Box<dyn ObjectStore>, Path) = match &url {
            Some(url) if !SCHEMES.contains(&url.scheme()) => {
                return Err(wrong(&format!("it is neither a folder nor one of {}", SCHEMES.join("://, "))));
            }
            Some(url) => {
                // Who has set another provider has done so before.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let mut given: Options = environment
                    .into_iter()
                    .filter(|(name, _)| name.starts_with(ENVIRONMENT))
                    .map(|(name, value)| (name.to_ascii_lowercase(), value))
                    .filter(|(name, _)| is_option(name))
                    .collect();
                given.extend(DEFAULTS.map(|(name, value)| (name.to_owned(), value.to_owned())));
                given.extend(options.clone());
                parse_url_opts(url, given).map_err(|error| wrong(&error))?
            }
            None => {
                let folder = FilePath::new(target.strip_prefix("file://").unwrap_or(target));
                Disk::real().create_folder(folder)?;
                files = Some(folder.to_owned());
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| wrong(&error))?;
                (Box::new(store.with_fsync(true).with_automatic_cleanup(true)), Path::default())
            }
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| wrong(&error))?;
        Ok(Self { store, root, runtime: Mutex::new(Some(runtime)), url: target.to_owned(), folder: files })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Waits for an answer of the store.
    fn wait<T>(
        &self,
        what: &'static str,
        name: &str,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, BackupError> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(runtime) = runtime.as_ref() else { return Err(failed(what, name, &"it was closed")) };
        match runtime.block_on(answer) {
            Ok(answer) => Ok(Some(answer)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(what, &format!("{name} in {}", self.url), &error)),
        }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // A runtime may not be dropped where it would have to wait, which a caller's runtime forbids.
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }
}

/// The object that a file was to be, if it is one of a write that was broken off: these are called `NAME#1`
/// and so on until they are whole, and in no listing.
fn broken_off(name: &str) -> Option<&str> {
    let (object, number) = name.rsplit_once('#')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(object)
}

fn failed(what: &'static str, name: &str, error: &dyn std::fmt::Display) -> BackupError {
    BackupError::Target { what, name: name.to_owned(), reason: error.to_string() }
}

impl Vault for Objects {
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), BackupError> {
        let path = self.path(name);
        match self.wait("write", name, self.store.put(&path, bytes.into()))? {
            Some(_) => Ok(()),
            None => Err(failed("write", name, &format!("there is no place for it in {}", self.url))),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Bytes>, BackupError> {
        let path = self.path(name);
        self.wait("read", name, async { self.store.get(&path).await?.bytes().await })
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, BackupError> {
        let path = self.path(folder);
        let found = self.wait("list", folder, self.store.list(Some(&path)).try_collect::<Vec<_>>())?;
        let name = |location: &Path| {
            let parts = location.prefix_match(&self.root)?;
            Some(parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
        };
        let listed = found.unwrap_or_default().into_iter().filter_map(|object| {
            Some(Listed {
                name: name(&object.location)?,
                bytes: object.size,
                written_ms: u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0),
            })
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    fn remove(&self, name: &str) -> Result<(), BackupError> {
        let path = self.path(name);
        self.wait("remove", name, self.store.delete(&path)).map(drop)
    }

    fn sweep(&self, is_old: &dyn Fn(&str) -> bool) -> Result<usize, BackupError> {
        let Some(root) = &self.folder else { return Ok(0) };
        let disk = Disk::real();
        let list = |name: &str| {
            let path = root.join(name);
            if disk.exists(&path)? { disk.list(&path) } else { Ok(Vec::new()) }
        };
        let backups = list(PARTS)?.into_iter().map(|id| format!("{PARTS}/{id}"));
        let mut removed = 0;
        for folder in backups.chain([MANIFESTS.to_owned(), CHECKS.to_owned()]) {
            let files = list(&folder)?;
            let is_swept =
                |file: &&String| broken_off(file).is_some_and(|object| is_old(&format!("{folder}/{object}")));
            let swept: Vec<_> = files.iter().filter(is_swept).collect();
            for file in &swept {
                disk.remove_file(&root.join(&folder).join(file))?;
            }
            if !swept.is_empty() && swept.len() == files.len() && folder.starts_with(PARTS) {
                disk.remove_folder(&root.join(&folder))?;
            }
            removed += swept.len();
        }
        Ok(removed)
    }
}

/// Opens a target, sealed with the key of this file if one is named.
///
/// # Errors
/// As [`Objects::open`]; [`BackupError::Key`].
pub fn open_vault(
    target: &str,
    options: &Options,
    key_file: Option<&FilePath>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn Vault>, BackupError> {
    let objects: Arc<dyn Vault> = Arc::new(Objects::open(target, options, environment)?);
    match key_file {
        None => Ok(objects),
        Some(path) => {
            let key = super::seal::SealKey::read(&Disk::real(), path)?;
            Ok(Arc::new(super::seal::Sealed::new(objects, key)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_objects() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("a/b");
        let open = || Objects::open(&target.display().to_string(), &Options::new(), []).expect("opens");
        let vault = open();
        assert_eq!(vault.list("parts").expect("listed"), []);
        assert_eq!(vault.get("parts/x/one").expect("looked for"), None);
        for (name, content) in [("parts/x/two", "2"), ("parts/x/one", "1"), ("manifests/x", "m")] {
            vault.put(name, content.into()).expect("written");
        }
        vault.put("parts/x/one", "one".into()).expect("written again");
        let vault = open();
        assert_eq!(vault.get("parts/x/one").expect("read"), Some("one".into()));
        let listed = vault.list("parts").expect("listed");
        let names: Vec<&str> = listed.iter().map(|listed| listed.name.as_str()).collect();
        assert_eq!(names, ["parts/x/one", "parts/x/two"]);
        assert!(listed[0].bytes == 3 && listed[0].written_ms > 0);
        vault.remove("parts/x/one").expect("removed");
        vault.remove("parts/x/one").expect("is gone");
        assert_eq!(vault.list("parts").expect("listed").len(), 1);
    }

    #[test]
    fn a_target_that_cannot_be_one_is_refused() {
        for target in ["nonsense://x/y", "memory://x/y", "s3://"] {
            assert!(matches!(Objects::open(target, &Options::new(), []), Err(BackupError::Target { .. })), "{target}");
        }
    }

    #[test]
    fn an_option_that_the_target_has_not_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().display().to_string();
        let option = |name: &str| Options::from([(name.to_owned(), "x".to_owned())]);
        for (target, name) in [(folder.as_str(), "region"), ("s3://books", "regoin"), ("s3://books", "account_name")] {
            let refused = Objects::open(target, &option(name), []).expect_err(name).to_string();
            assert!(refused.contains(&format!("no option {name}")), "{refused}");
        }
        for name in ["region", "timeout"] {
            let options = Options::from([(name.to_owned(), "10 seconds".to_owned())]);
            Objects::open("s3://books", &options, []).expect(name);
        }
        let environment = [("AWS_PROFILE", "mine"), ("AWS_REGION", "here"), ("PATH", "x")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Objects::open("s3://books", &Options::new(), environment).expect("what is no option is another tool's");
    }

    #[test]
    fn what_a_write_that_was_broken_off_left_is_swept_when_it_is_old() {
        let dir = tempfile::tempdir().expect("a folder");
        let vault = Objects::open(&dir.path().display().to_string(), &Options::new(), []).expect("opens");
        assert_eq!(vault.sweep(&|_| true).expect("swept"), 0, "nothing is there yet");
        vault.put("parts/old/log-000001", "x".into()).expect("written");
        let left = ["parts/old/log-000002#1", "parts/older/log-000001#1", "parts/new/log-000001#2", "manifests/old#11"];
        for name in left {
            std::fs::create_dir_all(dir.path().join(name).parent().expect("a folder")).expect("created");
            std::fs::write(dir.path().join(name), "half").expect("written");
        }
        assert_eq!(vault.list("parts").expect("listed").len(), 1, "they are no objects");
        assert_eq!(vault.sweep(&|name| name.split('/').nth(1) != Some("new")).expect("swept"), 3);
        let there = left.map(|name| dir.path().join(name).exists());
        assert_eq!(there, [false, false, true, false]);
        assert!(!dir.path().join("parts/older").exists() && dir.path().join("parts/new").exists());
        assert_eq!(vault.get("parts/old/log-000001").expect("read"), Some("x".into()));
    }

    #[tokio::test]
    async fn a_vault_may_be_dropped_anywhere() {
        let dir = tempfile::tempdir().expect("a folder");
        let vault = Objects::open(&dir.path().display().to_string(), &Options::new(), []).expect("opens");
        let vault = crate::machine::blocking(move || vault.put("a/b", "c".into()).map(|()| vault)).await;
        drop(vault.expect("no panic").expect("written"));
    }
}
