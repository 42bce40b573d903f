//! Unpacking what zstd compressed in one piece: a chunk of a snapshot or of a backup.

use std::io::{self, Read as _};

/// Room for so many bytes is made at once; anything longer grows with what is in it.
const ROOM_BYTES: usize = 2 << 20;

/// Unpacks at most `raw_len` bytes, a length that the caller has bounded: a header that lies costs no memory.
/// More bytes than that are cut, or an error.
///
/// # Errors
/// When they cannot be unpacked.
pub fn unpack(stored: &[u8], raw_len: usize) -> io::Result<Vec<u8>> {
    if raw_len <= ROOM_BYTES {
        return zstd::bulk::decompress(stored, raw_len);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(stored)?;
    // What was compressed in one piece has a window as large as itself.
    decoder.window_log_max(raw_len.next_power_of_two().ilog2())?;
    let mut raw = Vec::with_capacity(ROOM_BYTES);
    decoder.take(raw_len as u64 + 1).read_to_end(&mut raw)?;
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_and_a_long_piece_come_back() {
        for len in [0, 1, 1_000, ROOM_BYTES, ROOM_BYTES + 1, 9 << 20] {
            let raw: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
            let stored = zstd::bulk::compress(&raw, 1).expect("packed");
            assert!(unpack(&stored, len).expect("unpacked") == raw, "{len} bytes");
        }
    }

    #[test]
    fn a_length_that_lies_makes_no_room() {
        let stored = zstd::bulk::compress(b"little", 1).expect("packed");
        let raw = unpack(&stored, 256 << 20).expect("unpacked");
        assert_eq!(raw, b"little");
        assert!(raw.capacity() <= ROOM_BYTES);
    }
}
