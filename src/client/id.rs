//! Command ids: 128 bits that the client chooses, its idempotency keys.

use std::hash::{BuildHasher as _, RandomState};

use bytes::Bytes;

use crate::core::types::CommandId;

/// A random id, for commands that a person or a program sends once. Never zero.
///
/// The standard library's hash keys are the process's source of randomness: they come from the
/// operating system, and no two are alike.
#[must_use]
pub fn random_id() -> CommandId {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    CommandId(((half() << 64) | half()).max(1))
}

/// The id that follows from `parts`: the same ones give the same id, for what may be sent again by
/// another process. Never zero.
#[must_use]
pub fn derived_id(parts: &[&[u8]]) -> CommandId {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        // With its length, so that no two lists of parts run together.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    CommandId(u128::from_be_bytes(id).max(1))
}

/// The id as the API carries it.
#[must_use]
pub fn id_to_bytes(id: CommandId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

/// The 16 bytes of an id, or any other bytes, in hexadecimal, as people read it.
#[must_use]
pub fn id_to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id that `text` writes in up to 32 hexadecimal digits; `None` when it is none, or zero.
#[must_use]
pub fn id_from_hex(text: &str) -> Option<CommandId> {
    let digits = !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
    (id != 0).then_some(CommandId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_differ_and_derived_ids_do_not() {
        assert_ne!(random_id(), random_id());
        assert_eq!(derived_id(&[b"a", b"b"]), derived_id(&[b"a", b"b"]));
        assert_ne!(derived_id(&[b"a", b"b"]), derived_id(&[b"ab", b""]));
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = derived_id(&[b"order"]);
        assert_eq!(id_from_hex(&id_to_hex(&id_to_bytes(id))), Some(id));
        assert_eq!(id_from_hex("1f"), Some(CommandId(31)));
        for bad in ["", "0", "xyz", "+1", "123456789012345678901234567890123"] {
            assert_eq!(id_from_hex(bad), None, "{bad:?}");
        }
    }
}
