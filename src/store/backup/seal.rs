//! Encryption at rest: a vault whose objects only the holder of the key can read or make.
//!
//! ```text
//! magic (8), key id (8), nonce (24), XChaCha20-Poly1305 of the object's bytes
//! ```
//!
//! The magic, the key's id and the object's name are authenticated with it, so that one object cannot
//! stand in another one's place. Names, sizes and times are not hidden.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use super::BackupError;
use super::vault::{Listed, Vault};
use crate::store::Disk;

const MAGIC: &[u8; 8] = b"CFSEAL01";
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const HEAD_BYTES: usize = MAGIC.len() + KEY_ID_BYTES + NONCE_BYTES;

/// What a key's id is derived by.
const KEY_ID_CONTEXT: &str = "counterfoil 2026 backup key id";

/// The key of sealed backups. Whoever loses it has lost them.
#[derive(Clone)]
pub struct SealKey {
    key: Key,
    id: [u8; KEY_ID_BYTES],
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey({})", self.id())
    }
}

impl SealKey {
    fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&blake3::derive_key(KEY_ID_CONTEXT, &bytes)[..KEY_ID_BYTES]);
        Self { key: bytes.into(), id }
    }

    /// A fresh key from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(Key::generate().into())
    }

    /// The text of a key file: 64 hexadecimal digits.
    #[must_use]
    pub fn to_text(&self) -> String {
        hex(&self.key) + "\n"
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`BackupError::Key`].
    pub fn from_text(text: &str) -> Result<Self, BackupError> {
        let wrong = || BackupError::Key { reason: format!("a key is {} hexadecimal digits", 2 * KEY_BYTES) };
        let digits = text.trim();
        if digits.len() != 2 * KEY_BYTES || !digits.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; KEY_BYTES];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self::new(bytes))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`BackupError::Key`] when it is missing or none; a fault of the disk.
    pub fn read(disk: &Disk, path: &Path) -> Result<Self, BackupError> {
        let missing = || BackupError::Key { reason: format!("there is no key file {}", path.display()) };
        let bytes = disk.read_file(path)?.ok_or_else(missing)?;
        Self::from_text(&String::from_utf8_lossy(&bytes))
    }

    /// What names the key without telling it.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.key)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A vault whose objects are sealed.
#[derive(Debug)]
pub struct Sealed {
    below: Arc<dyn Vault>,
    key: SealKey,
}

impl Sealed {
    /// Seals what goes to `below`.
    #[must_use]
    pub fn new(below: Arc<dyn Vault>, key: SealKey) -> Self {
        Self { below, key }
    }

    /// What is authenticated besides the content.
    fn bound(&self, name: &str) -> Vec<u8> {
        [&MAGIC[..], &self.key.id, name.as_bytes()].concat()
    }

    fn open(&self, name: &str, bytes: &[u8]) -> Result<Bytes, BackupError> {
        let damaged = |reason: &str| BackupError::Damaged { part: name.to_owned(), reason: reason.to_owned() };
        let (head, content) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("it is cut short"))?;
        let (magic, head) = head.split_at(MAGIC.len());
        let (id, nonce) = head.split_at(KEY_ID_BYTES);
        if magic != MAGIC {
            return Err(damaged("it is not sealed, although there is a key"));
        }
        if id != self.key.id {
            let (old, new) = (hex(id), self.key.id());
            let reason =
                format!("{name} is sealed with key {old}, this is key {new}; a new key goes with a new, empty target");
            return Err(BackupError::Key { reason });
        }
        let nonce = XNonce::try_from(nonce).map_err(|_| damaged("it is cut short"))?;
        let payload = Payload { msg: content, aad: &self.bound(name) };
        let opened = self.key.cipher().decrypt(&nonce, payload);
        opened.map(Bytes::from).map_err(|_| damaged("the seal is broken"))
    }
}

impl Vault for Sealed {
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), BackupError> {
        let nonce = XNonce::generate();
        let payload = Payload { msg: &bytes, aad: &self.bound(name) };
        let content = self.key.cipher().encrypt(&nonce, payload).map_err(|_| BackupError::Target {
            what: "seal",
            name: name.to_owned(),
            reason: format!("{} bytes are too many", bytes.len()),
        })?;
        let sealed = [&MAGIC[..], &self.key.id, &nonce, &content].concat();
        self.below.put(name, sealed.into())
    }

    fn get(&self, name: &str) -> Result<Option<Bytes>, BackupError> {
        self.below.get(name)?.map(|bytes| self.open(name, &bytes)).transpose()
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, BackupError> {
        self.below.list(folder)
    }

    fn remove(&self, name: &str) -> Result<(), BackupError> {
        self.below.remove(name)
    }

    fn sweep(&self, is_old: &dyn Fn(&str) -> bool) -> Result<usize, BackupError> {
        self.below.sweep(is_old)
    }
}

/// Whether an object is sealed, so that a missing key can be told from damage.
pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryVault;
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_name_alone() {
        let below = Arc::new(MemoryVault::default());
        let sealed = Sealed::new(below.clone(), SealKey::generate());
        let content = Bytes::from_static(b"what is in it");
        sealed.put("parts/a/one", content.clone()).expect("sealed");
        assert_eq!(sealed.get("parts/a/one").expect("opened"), Some(content));
        assert_eq!(sealed.get("parts/a/two").expect("looked for"), None);
        let stored = below.get("parts/a/one").expect("read").expect("is there");
        assert!(is_sealed(&stored) && !stored.windows(4).any(|window| window == b"what"));

        below.put("parts/a/two", stored.clone()).expect("copied");
        assert!(matches!(sealed.get("parts/a/two"), Err(BackupError::Damaged { .. })), "in another one's place");
        let other = Sealed::new(below.clone(), SealKey::generate());
        assert!(matches!(other.get("parts/a/one"), Err(BackupError::Key { .. })), "another key");
        for bit in 0..stored.len() * 8 {
            let mut bad = stored.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            below.put("parts/a/one", bad.into()).expect("written");
            assert!(sealed.get("parts/a/one").is_err(), "bit {bit}");
        }
        for cut in 0..stored.len() {
            below.put("parts/a/one", stored.slice(..cut)).expect("written");
            assert!(sealed.get("parts/a/one").is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_key_survives_its_file() {
        let key = SealKey::generate();
        let again = SealKey::from_text(&key.to_text()).expect("a key");
        assert_eq!((again.id(), again.to_text()), (key.id(), key.to_text()));
        assert_ne!(SealKey::generate().id(), key.id());
        assert!(!format!("{key:?}").contains(key.to_text().trim()));
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
            assert!(matches!(SealKey::from_text(bad), Err(BackupError::Key { .. })), "{bad:?}");
        }
    }
}
